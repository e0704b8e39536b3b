"""Members: what an owner may be held for, what may become of a suspicion, and the events that tell of changes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """What an owner is held for."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"
    LEFT = "left"


class Hearing(Enum):
    """What became of a suspicion. Only `NEW` and `WAITING` ones are passed on."""

    NEW = "new"
    WAITING = "waiting"  # about a record that has not come, or from a witness that is dead or gone: it does not count
    DUPLICATE = "duplicate"
    REFUTED = "refuted"  # there is a newer record
    OURSELVES = "ourselves"  # this peer's next record denies it
    AHEAD = "ahead"  # of this peer itself, and about a record that it has not published
    ABOUT_ITSELF = "about itself"
    ENOUGH = "enough"
    LEFT = "left"
    EARLY = "early"  # the target or the witness is not known: it is heard again when they are
    NOT_ALLOWED = "not allowed"  # on a closed topic, the witness is a stranger
    CROWDED = "crowded"
    TOO_FAST = "too fast"
    BAD_SIGNATURE = "bad signature"


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """An event: this peer holds an owner for something else than before."""

    owner: bytes
    status: Status
    before: Status


@dataclass(frozen=True, slots=True)
class MemberHidden:
    """An event: an owner that is dead or left is not to be offered to others any more."""

    owner: bytes


@dataclass(frozen=True, slots=True)
class MemberForgotten:
    """An event: an owner is to be deleted, and its order remembered until a time (us)."""

    owner: bytes
    until: int


Event = MemberChanged | MemberHidden | MemberForgotten


@dataclass(frozen=True, slots=True)
class Member:
    """An owner, for whoever asks.

    Attributes:
        owner: its public key.
        status: what it is held for.
        since: us, when that began here; None for those that are alive.
        seen: the stamp of its newest record, ms since 1970 by its own clock.
        witnesses: how many say that they do not hear of it.
    """

    owner: bytes
    status: Status
    since: int | None
    seen: int
    witnesses: int = 0
