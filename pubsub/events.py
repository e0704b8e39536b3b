"""What the core tells the application, beside what `catalog`, `members`, `pull` and `serve` tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pubsub.proof import Proof
from pubsub.state import OwnerState


class Committed(NamedTuple):
    """This peer has accepted a new state of an owner. ``before``: the one it had."""

    state: OwnerState
    before: OwnerState | None


@dataclass(frozen=True, slots=True)
class Published:
    """This peer has published a new state of its own."""

    state: OwnerState


@dataclass(frozen=True, slots=True)
class Convicted:
    """An owner has signed two records that contradict each other."""

    proof: Proof
