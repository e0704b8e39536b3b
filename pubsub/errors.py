"""Every error of the package, by whose fault it is.

    PubsubError
    ├── (you)    ExposeError      a machine that cannot be published as it is; nothing of it was exposed
    │            IdentityError    a key, or a file of one, that cannot be used
    │            PullError        the log of another peer's machine that did not come to its end
    └── (peer)   WireError        bytes that are not what they should be; counted and ignored, never raised to you

What peers send never raises: it is refused under a name, and the refusals are counted.
"""

from __future__ import annotations

from machine.errors import AsyncMachineError


class PubsubError(AsyncMachineError):
    """Be the base of all errors of this package."""


class ExposeError(PubsubError, ValueError):
    """Report a machine that cannot be published as it is; says what is too large, and the limit. See `WireError`."""


class IdentityError(PubsubError, ValueError):
    """Report a key that cannot be used, or a file of one; says what is wrong with it."""


class PullError(PubsubError):
    """Report a log that ended early; says why. ``after`` is the place of the last row that came: ask on from there."""

    def __init__(self, message: str, after: tuple[int, int]) -> None:
        super().__init__(message)
        self.after = after


class WireError(PubsubError):
    """Report bytes from a peer that are no canonical message. Only decoders raise it; the core counts it."""
