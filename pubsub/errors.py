"""Every error of the package, by whose fault it is.

    PubsubError
    ├── (you)    ExposeError      a machine that cannot be published as it is; nothing of it was exposed
    │            IdentityError    a key, or a file of one, that cannot be used
    │            PullError        the log of another peer's machine that did not come to its end
    │            NotNowError      a log of our own that cannot be read just now: a `Log` raises it
    └── (peer)   WireError        bytes that are not what they should be; counted and ignored, never raised to you

What peers send never raises: it is refused under a name, and the refusals are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.errors import AsyncMachineError

if TYPE_CHECKING:
    from pubsub.pull import Outcome


class PubsubError(AsyncMachineError):
    """Be the base of all errors of this package."""


class ExposeError(PubsubError, ValueError):
    """Report a machine that cannot be published as it is; says what is too large, and the limit. See `WireError`."""


class IdentityError(PubsubError, ValueError):
    """Report a key that cannot be used, or a file of one; says what is wrong with it."""


class PullError(PubsubError):
    """Report a log that ended early; says why.

    Attributes:
        after: the place of the last row that came: ask on from there.
        outcome: how it ended.
    """

    def __init__(self, message: str, after: tuple[int, int], outcome: Outcome) -> None:
        super().__init__(message)
        self.after = after
        self.outcome = outcome


class NotNowError(PubsubError):
    """Report that a log is there and cannot be read just now: whoever asked is told to come again."""


class WireError(PubsubError):
    """Report bytes from a peer that are no canonical message. Only decoders raise it; the core counts it."""
