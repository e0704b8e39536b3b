"""What the parts of a scenario are made of: the base of their structs, and numbers with bounds."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from simulations.errors import SetupError


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a scenario."""


Seconds: TypeAlias = Annotated[float, Meta(ge=0)]
Period: TypeAlias = Annotated[float, Meta(gt=0)]
Millis: TypeAlias = Annotated[float, Meta(ge=0)]  # ms, as the name of the key says
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Chance: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


class KeyFault(SetupError):
    """A scenario that cannot be run because of one key. `key` is empty where it is about the whole."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}" if key else what)
        self.key = key
        self.what = what

    def __reduce__(self) -> tuple[type[KeyFault], tuple[str, str]]:
        return KeyFault, (self.key, self.what)


def microseconds(seconds: float) -> int:
    """Return seconds as the engine counts."""
    return round(seconds * 1_000_000)
