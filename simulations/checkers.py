"""Checkers: they see what happens and raise a `Violation` when it must not.

The generic ones here know nothing of a protocol. A protocol adds its own, which read what its nodes `NOTIFY`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pubsub.boundary import CHANNELS, Message
from simulations.errors import Violation

if TYPE_CHECKING:
    from simulations.simulation import Simulation, Verb


class Checker:
    """Sees everything and minds nothing. Override what matters; `delivered` is called only where it is overridden."""

    def started(self, simulation: Simulation) -> None:
        """See the simulation before its first event."""

    def delivered(self, now: int, source: int, target: int, channel: int, message: Message) -> None:
        """See a frame just before its receiver does."""

    def notified(self, now: int, peer: int, event: object) -> None:
        """See what a node tells its application."""

    def faulted(self, now: int, verb: Verb) -> None:
        """See a fault just before it is applied."""

    def paused(self, simulation: Simulation) -> None:
        """See the simulation after each `run`."""

    def ended(self, simulation: Simulation) -> None:
        """See the simulation at its end."""


class Conservation(Checker):
    """Every frame that was sent is delivered, lost, dropped or in flight: by the counters and by counting."""

    def paused(self, simulation: Simulation) -> None:
        """Compare."""
        counts, found = simulation.network.tally(), simulation.network.count_in_flight()
        if counts.in_flight() != found:
            raise Violation(f"{found} frames are in flight, by the counters it is {counts.in_flight()}: {counts}")


class NothingFromTheDead(Checker):
    """No frame reaches a peer that is down, or comes from one across its crash, or passes a partition."""

    def __init__(self) -> None:
        self._simulation: Simulation | None = None

    def started(self, simulation: Simulation) -> None:
        """Keep it, to ask who is alive."""
        self._simulation = simulation

    def delivered(self, now: int, source: int, target: int, channel: int, message: Message) -> None:
        """Look at both ends, and between them."""
        simulation = self._simulation
        assert simulation is not None
        for peer in (source, target):
            if not simulation.is_alive(peer):
                raise Violation(f"a frame {source}->{target} ({CHANNELS[channel]}) was delivered while {peer} was down")
        # One that came through before the wall was built may still wait for CPU time at its receiver.
        if not simulation.conditions.costly and simulation.network.is_cut(source, target):
            raise Violation(f"a frame {source}->{target} ({CHANNELS[channel]}) passed a partition")


class BoundedQueues(Checker):
    """No node holds more than a bound: `measure` says how much a node holds, of whatever it must not hoard."""

    def __init__(self, name: str, measure: Callable[[object], int], bound: int) -> None:
        self.name, self.measure, self.bound = name, measure, bound
        self.highest = 0

    def paused(self, simulation: Simulation) -> None:
        """Measure all nodes."""
        for peer, node in enumerate(simulation.nodes):
            if node is not None:
                held = self.measure(node)
                self.highest = max(self.highest, held)
                if held > self.bound:
                    raise Violation(f"peer {peer} holds {held} {self.name}, more than {self.bound}")


class Agreement(Checker):
    """At the end all running nodes say the same: `view` is what is compared, and for those that `count` only."""

    def __init__(self, view: Callable[[object], object], among: Callable[[int], bool] = lambda peer: True) -> None:
        self.view, self.among = view, among

    def ended(self, simulation: Simulation) -> None:
        """Compare with the first."""
        views = [(p, self.view(n)) for p, n in enumerate(simulation.nodes) if n is not None and self.among(p)]
        others = [peer for peer, view in views if view != views[0][1]]
        if others:
            shown = ", ".join(map(str, others[:5]))
            raise Violation(f"{len(others)} of {len(views)} peers do not agree with peer {views[0][0]}: {shown}")


__all__ = ["Agreement", "BoundedQueues", "Checker", "Conservation", "NothingFromTheDead"]
