"""What peers think of each other: how soon a crash is noticed, and who is suspected that runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pubsub.members import MemberChanged, Status
from simulations.faults import Crash, Restart
from simulations.instruments.base import Findings, Handler, Instrument
from simulations.instruments.spread import seconds
from simulations.outcome import Measure
from simulations.simulation import Verb

BAD = (Status.SUSPECT, Status.DEAD)


@dataclass(slots=True)
class Gone:
    """An owner that crashed: which peer, when, how many ran that could notice, and when they did."""

    peer: int
    at: int
    others: int
    suspected: dict[int, int] = field(default_factory=dict)
    declared: dict[int, int] = field(default_factory=dict)


class Detection(Instrument):
    """From a crash to who suspects it, and to who takes it for dead. The median of the crashes."""

    def __init__(self, board: Any) -> None:
        super().__init__(board)
        self._gone: dict[bytes, Gone] = {}
        self._over: list[Gone] = []

    @property
    def handlers(self) -> dict[type, Handler]:
        """Return what is looked at."""
        return {MemberChanged: self._changed}

    def faulted(self, now: int, verb: Verb) -> None:
        """Note who crashes; who starts again, or watches no more, ends what was waited for."""
        if not isinstance(verb, Crash | Restart):
            return
        simulation = self.board.simulation
        owner = next((owner for owner, peer in self.board.peer_of.items() if peer == verb.peer), None)
        if owner in self._gone:
            self._over.append(self._gone.pop(owner))
        runs = simulation.is_alive(verb.peer)
        for gone in self._gone.values() if runs else ():
            if simulation.shard_of[gone.peer] != simulation.shard_of[verb.peer]:
                continue
            if verb.peer not in gone.suspected or verb.peer not in gone.declared:
                gone.others -= 1
                gone.suspected.pop(verb.peer, None)
                gone.declared.pop(verb.peer, None)
        if isinstance(verb, Crash) and runs and owner is not None and self.board.arrivals.began is not None:
            shard = simulation.shards[simulation.shard_of[verb.peer]]
            others = sum(simulation.nodes[peer] is not None for peer in shard) - 1
            self._gone[owner] = Gone(verb.peer, now, others)

    def _changed(self, now: int, peer: int, event: MemberChanged) -> None:
        gone = self._gone.get(event.owner)
        if gone is None or event.status not in BAD:
            return
        gone.suspected.setdefault(peer, now)
        if event.status is Status.DEAD:
            gone.declared.setdefault(peer, now)

    def add(self, other: Detection) -> None:
        """Take over its crashes."""
        self._over += [*other._over, *other._gone.values()]

    def find(self, found: Findings) -> None:
        """Take medians."""
        crashes = [*self._over, *self._gone.values()]
        if not crashes:
            return
        bound = seconds(self.board.ways.time_to(100))
        for name, about, times in (
            (
                "detection_first",
                "until somebody suspects a peer that crashed",
                [_first(g, g.suspected) for g in crashes],
            ),
            ("detection_all", "until everybody does", [_all(g, g.suspected) for g in crashes]),
            ("declared_all", "until everybody takes it for dead", [_all(g, g.declared) for g in crashes]),
        ):
            known = sorted(time for time in times if time is not None)
            never = len(times) - len(known)
            middle = (len(times) - 1) // 2  # those that never came count as the longest
            found.measures[name] = Measure(
                value=seconds(known[middle]) if middle < len(known) else None,
                unit="s",
                bound=bound if name != "detection_first" else None,
                better="lower",
                about=f"from a crash {about}, median of {len(times)}",
            )
            if never and name != "declared_all":
                found.notes.append(f"{name}: {never} of {len(times)} crashes were not noticed so before they were over")


def _first(gone: Gone, times: dict[int, int]) -> int | None:
    return min(times.values()) - gone.at if times else None


def _all(gone: Gone, times: dict[int, int]) -> int | None:
    return max(times.values()) - gone.at if times and len(times) >= gone.others else None


class Suspicions(Instrument):
    """How often a peer that runs is suspected, or taken for dead; across a partition as well."""

    def __init__(self, board: Any) -> None:
        super().__init__(board)
        self._held: dict[tuple[int, bytes], Status] = {}
        self._suspected = self._declared = self._kept = 0

    @property
    def handlers(self) -> dict[type, Handler]:
        """Return what is looked at."""
        return {MemberChanged: self._changed}

    def begin(self, now: int) -> None:
        """Count from now on."""
        self._suspected = self._declared = 0

    def faulted(self, now: int, verb: Verb) -> None:
        """Let what a peer thinks end with it."""
        if isinstance(verb, Crash | Restart):
            for key in [key for key in self._held if key[0] == verb.peer]:
                del self._held[key]

    def _changed(self, now: int, peer: int, event: MemberChanged) -> None:
        if event.status not in BAD:
            self._held.pop((peer, event.owner), None)
            return
        self._held[peer, event.owner] = event.status
        if self._runs(event.owner):
            self._suspected += event.before not in BAD
            self._declared += event.status is Status.DEAD

    def _runs(self, owner: bytes) -> bool:
        peer = self.board.peer_of.get(owner)
        return peer is not None and self.board.simulation.is_alive(peer)

    def look(self) -> None:
        """Count what is still held."""
        self._kept = sum(self._runs(owner) for _, owner in self._held)

    def add(self, other: Suspicions) -> None:
        """Add the counts."""
        self._suspected += other._suspected
        self._declared += other._declared
        self._kept += other._kept

    def find(self, found: Findings) -> None:
        """Report the counts."""
        for name, value, about in (
            (
                "false_suspicions",
                self._suspected,
                "times that a peer suspected one that ran, across a partition as well",
            ),
            ("false_deaths", self._declared, "times that a peer took one for dead that ran"),
            ("false_at_end", self._kept, "of those, held when the run ended"),
        ):
            found.measures[name] = Measure(value=value, bound=0.0, better="lower", about=about)
