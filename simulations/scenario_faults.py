"""What happens to a scenario's network over time: each fault is a table of a file, and becomes verbs at times.

    [[faults]]
    kind = "partition"
    at = 10.0
    who = "50 %"
    lasts = 30.0

`at` counts in seconds from the end of the settling. A fault that `lasts` ends by itself; one without goes on until a
fault of the opposite kind, or for ever. Who is meant is told as `simulations.scenario_who` reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from random import Random
from typing import Annotated, TypeAlias

from msgspec import Meta

from pubsub.boundary import SECOND
from simulations import faults as verbs
from simulations.conditions import Conditions
from simulations.scenario_parts import Chance, Count, KeyFault, Millis, Part, Period, Seconds, microseconds
from simulations.scenario_who import Crowd, Who
from simulations.seeds import stream
from simulations.simulation import Verb

Timed = tuple[int, Verb]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a fault becomes verbs in. Times in us."""

    crowd: Crowd
    begin: int
    """When the settling is over."""
    end: int

    def time(self, seconds: float) -> int:
        """Return a time of the scenario as one of the simulation."""
        return self.begin + microseconds(seconds)

    def rng(self, key: str) -> Random:
        """Return what a fault draws from."""
        return stream(self.crowd.seed, "fault", key)


class _Sided(Part, frozen=True, kw_only=True):
    """A fault between two sides; `others`: by default everybody else."""

    at: Seconds
    who: Who
    others: Who | None = None
    lasts: Period | None = None

    def sides(self, scene: Scene, key: str) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """Return both."""
        left = scene.crowd.pick(self.who, f"{key}.who")
        return left, None if self.others is None else scene.crowd.pick(self.others, f"{key}.others")

    def apart(self, scene: Scene, key: str) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """Return both, neither of which may be empty."""
        left, right = self.sides(scene, key)
        if not left or right == () or (right is None and len(left) == scene.crowd.peers):
            raise KeyFault(f"{key}.who", f"{self.who!r} leaves one of the two sides empty")
        return left, right

    def ending(self, scene: Scene, verb: Verb) -> Iterator[Timed]:
        """Yield the end, if it ends by itself."""
        if self.lasts is not None:
            yield scene.time(self.at + self.lasts), verb


class PartitionFault(_Sided, tag="partition", tag_field="kind", frozen=True, kw_only=True):
    """No frame passes between two sides, or (`one_way`) to the others only."""

    one_way: bool = False

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        left, right = self.apart(scene, key)
        yield scene.time(self.at), verbs.Partition(left, right, self.one_way)
        yield from self.ending(scene, verbs.Heal(left, right))


class HealFault(Part, tag="heal", tag_field="kind", frozen=True, kw_only=True):
    """All partitions end, or (`who`, `others`) the one between exactly these."""

    at: Seconds
    who: Who | None = None
    others: Who | None = None

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        left = None if self.who is None else scene.crowd.pick(self.who, f"{key}.who")
        right = None if self.others is None else scene.crowd.pick(self.others, f"{key}.others")
        yield scene.time(self.at), verbs.Heal(left, right)


class HoldFault(_Sided, tag="hold", tag_field="kind", frozen=True, kw_only=True):
    """What is sent to the others waits, until a release."""

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        left, right = self.apart(scene, key)
        yield scene.time(self.at), verbs.Hold(left, right)
        yield from self.ending(scene, verbs.Release())


class ReleaseFault(Part, tag="release", tag_field="kind", frozen=True, kw_only=True):
    """All that is held goes on its way."""

    at: Seconds

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        yield scene.time(self.at), verbs.Release()


class CrashFault(Part, tag="crash", tag_field="kind", frozen=True, kw_only=True):
    """Peers end without warning; with `lasts`, they are back after it.

    Attributes:
        within: they go one by one over so long, instead of all at once.
        silent: the power fails, and nobody is told.
        disk: whether they find their disks as they were.
    """

    at: Seconds
    who: Who
    within: Seconds = 0.0
    lasts: Period | None = None
    silent: bool = False
    disk: bool = True

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        peers = scene.crowd.pick(self.who, f"{key}.who")
        for order, peer in enumerate(peers):
            at = self.at + self.within * order / len(peers)
            yield scene.time(at), verbs.Crash(peer, self.silent)
            if self.lasts is not None:
                yield scene.time(at + self.lasts), verbs.Restart(peer, self.disk)


class RestartFault(Part, tag="restart", tag_field="kind", frozen=True, kw_only=True):
    """Peers start that were absent, crashed or run; one by one over `within`. `disk`: as it was, or empty."""

    at: Seconds
    who: Who
    within: Seconds = 0.0
    disk: bool = True

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        peers = scene.crowd.pick(self.who, f"{key}.who")
        for order, peer in enumerate(peers):
            yield scene.time(self.at + self.within * order / len(peers)), verbs.Restart(peer, self.disk)


class ChurnFault(Part, tag="churn", tag_field="kind", frozen=True, kw_only=True):
    """Peers come and go: `rate` crashes/s as a Poisson process, each for a time drawn about `down` (exponential).

    Attributes:
        lasts: for how long; all are back by its end.
        silent, disk: the shares of crashes nobody is told of, and of restarts that find their disk.
        who: among whom.
    """

    at: Seconds = 0.0
    lasts: Period
    rate: Period = 1.0
    down: Period = 5.0
    silent: Chance = 0.0
    disk: Chance = 1.0
    who: Who = "all"

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        rng = scene.rng(key)
        peers = scene.crowd.pick(self.who, f"{key}.who")
        end = self.at + self.lasts
        back: dict[int, float] = {}
        at = self.at
        while (at := at + rng.expovariate(self.rate)) < end:
            peer, down = rng.choice(peers), rng.expovariate(1 / self.down)
            silent, disk = rng.random() < self.silent, rng.random() < self.disk
            if back.get(peer, -1.0) >= at:
                continue  # it is down: nothing more can happen to it
            back[peer] = min(at + down, end)
            yield scene.time(at), verbs.Crash(peer, silent)
            yield scene.time(back[peer]), verbs.Restart(peer, disk)


class LossFault(_Sided, tag="loss", tag_field="kind", frozen=True, kw_only=True):
    """The connections to the others get worse (`both_ways`: and those from them); all of them for `who = "all"`."""

    both_ways: bool = False
    loss: Chance = 0.0
    jitter_ms: Millis | None = None
    duplicate: Chance = 0.0
    reorder: Chance = 0.0

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        left, right = self.sides(scene, key)
        if right is None and len(left) == scene.crowd.peers:
            right = left
        jitter = 10_000 if self.jitter_ms is None else round(self.jitter_ms * 1000)
        worse = Conditions(loss=self.loss, jitter=jitter, duplicate=self.duplicate, reorder=self.reorder)
        yield scene.time(self.at), verbs.Degrade(worse, left, right)
        if self.both_ways and right is not left:
            here = frozenset(left)
            others = tuple([peer for peer in range(scene.crowd.peers) if peer not in here]) if right is None else right
            yield scene.time(self.at), verbs.Degrade(worse, others, left)
        yield from self.ending(scene, verbs.Restore())


class RestoreFault(Part, tag="restore", tag_field="kind", frozen=True, kw_only=True):
    """All connections are as they were at the beginning."""

    at: Seconds

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        yield scene.time(self.at), verbs.Restore()


class SkewFault(Part, tag="skew", tag_field="kind", frozen=True, kw_only=True):
    """Wall clocks go wrong: by `ms` at once, and by `ppm` (parts per million) from then on.

    Attributes:
        drawn: each peer by an amount between minus and plus these, instead of all by the same.
    """

    at: Seconds = 0.0
    who: Who = "all"
    ms: int = 0
    ppm: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 0
    drawn: bool = True

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        rng, at = scene.rng(key), scene.time(self.at)
        for peer in scene.crowd.pick(self.who, f"{key}.who"):
            share = rng.uniform(-1, 1) if self.drawn else 1.0
            if ms := round(share * self.ms):
                yield at, verbs.Jump(peer, ms)
            if ppm := round(share * self.ppm):
                yield at, verbs.Skew(peer, ppm)


class StormFault(Part, tag="storm", tag_field="kind", frozen=True, kw_only=True):
    """`count` faults of all kinds, drawn; after `lasts` the network is whole again, but for the clocks."""

    at: Seconds = 0.0
    lasts: Period
    count: Count = 10

    def verbs(self, scene: Scene, key: str) -> Iterator[Timed]:
        """Yield what it does."""
        seed = scene.crowd.seed
        until = round(self.lasts * SECOND)
        begin = scene.time(self.at)
        for at, verb in verbs.storm(seed, scene.crowd.peers, until, count=self.count):
            yield begin + at, verb


Fault: TypeAlias = (
    PartitionFault
    | HealFault
    | HoldFault
    | ReleaseFault
    | CrashFault
    | RestartFault
    | ChurnFault
    | LossFault
    | RestoreFault
    | SkewFault
    | StormFault
)


def scheduled(faults: tuple[Fault, ...], scene: Scene) -> list[Timed]:
    """Return all verbs of all faults, by time; at the same time in the order of the file.

    Raises:
        KeyFault: a fault means nobody, or begins when all is over.
    """
    found: list[Timed] = []
    for number, fault in enumerate(faults):
        key = f"faults.{number}"
        if scene.time(fault.at) > scene.end:
            raise KeyFault(f"{key}.at", f"{fault.at:g} s is after the end, {(scene.end - scene.begin) / SECOND:g} s")
        found += fault.verbs(scene, key)
    return sorted(found, key=lambda timed: timed[0])


def expanded(faults: tuple[Fault, ...], scene: Scene) -> tuple[Fault, ...]:
    """Return the same faults with each verb for itself, and nothing left to be drawn: so that some can be left out."""
    return tuple([_of_verb(verb, (at - scene.begin) / SECOND) for at, verb in scheduled(faults, scene)])


def _of_verb(verb: Verb, at: float) -> Fault:
    match verb:
        case verbs.Partition(left, right, one_way):
            return PartitionFault(at=at, who=_listed(left), others=_listed_or_none(right), one_way=one_way)
        case verbs.Heal(left, right):
            return HealFault(at=at, who=_listed_or_none(left), others=_listed_or_none(right))
        case verbs.Hold(left, right):
            return HoldFault(at=at, who=_listed(left), others=_listed_or_none(right))
        case verbs.Release():
            return ReleaseFault(at=at)
        case verbs.Crash(peer, silent):
            return CrashFault(at=at, who=(peer,), silent=silent)
        case verbs.Restart(peer, disk):
            return RestartFault(at=at, who=(peer,), disk=disk)
        case verbs.Degrade(worse, left, right):
            return LossFault(
                at=at,
                who=_listed(left),
                others=_listed_or_none(right),
                loss=worse.loss,
                jitter_ms=worse.jitter / 1000,
                duplicate=worse.duplicate,
                reorder=worse.reorder,
            )
        case verbs.Restore():
            return RestoreFault(at=at)
        case verbs.Jump(peer, ms):
            return SkewFault(at=at, who=(peer,), ms=ms, drawn=False)
        case verbs.Skew(peer, ppm):
            return SkewFault(at=at, who=(peer,), ppm=ppm, drawn=False)
    raise TypeError(f"{verb!r} is no verb of a fault")


def _listed(peers: Collection[int]) -> tuple[int, ...]:
    return tuple(sorted(peers))


def _listed_or_none(peers: Collection[int] | None) -> tuple[int, ...] | None:
    return None if peers is None else _listed(peers)


__all__ = ["Fault", "Scene", "expanded", "scheduled"]
