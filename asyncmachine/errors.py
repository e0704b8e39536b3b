"""Every error of the front door, by whose fault it is.

SetupError
├── (you)    ConfigError    a configuration file, an option or what one of them names; says where it stands
│            TargetError    FILE.py:NAME that gives no machines; says what is there instead
└── (world)  ServeError     an address where nothing can be served
"""

from __future__ import annotations

from machine.errors import AsyncMachineError


class SetupError(AsyncMachineError):
    """Be the base of what keeps a peer from being set up."""


class ConfigError(SetupError, ValueError):
    """Report a wrong setting; says in which file, line and key, or option. See `TargetError` for programs."""


class TargetError(SetupError, ValueError):
    """Report a FILE.py:NAME that gives no machines; says what is there instead. See `ConfigError` for all else."""


class ServeError(SetupError):
    """Report an address where nothing can be served, such as a port in use; names it."""
