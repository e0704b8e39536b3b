"""How long things take in a `MemoryNetwork`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

P_contra = TypeVar("P_contra", bound=Hashable, contravariant=True)


class Delays(Protocol[P_contra]):
    """How long things take."""

    def base(self, source: P_contra, target: P_contra) -> int:
        """Return how long the steps of a dial, and the news of a hang-up, take on this way, us."""

    def frames(self, source: P_contra, target: P_contra, generation: int) -> Callable[[int], int | None]:
        """Return how long each frame of a connection takes on this way, us, by its size; None: it is lost.

        ``generation``: how many connections the two had before. The function is called once a frame, in order.
        """


@dataclass(frozen=True, slots=True)
class Steady:
    """The same latency everywhere, us."""

    us: int = 0

    def base(self, source: object, target: object) -> int:
        """Return it."""
        return self.us

    def frames(self, source: object, target: object, generation: int) -> Callable[[int], int | None]:
        """Return it, for each frame."""
        return lambda size: self.us
