"""What it cost: bytes and frames by plane, copies of what was known already, CPU time by what a real peer takes."""

from __future__ import annotations

from typing import Any

from pubsub.boundary import CHANNELS, TOPIC
from pubsub.events import Published
from pubsub.messages import Parcel
from simulations.conditions import MEASURED
from simulations.instruments.base import Findings, Handler, Instrument
from simulations.outcome import Measure, Plane

SAMPLES = 512  # records that are encoded to know how large one copy of an update is


class Totals(Instrument):
    """What the network had sent when the measuring began."""

    before: tuple[Plane, ...] = (Plane(frames=0, bytes=0),) * len(CHANNELS)
    after: tuple[Plane, ...] = before
    conditions = MEASURED

    def begin(self, now: int) -> None:
        """Read the counters."""
        self.before = self._read()

    def look(self) -> None:
        """Read them again."""
        self.after = self._read()
        self.conditions = self.board.simulation.conditions

    def add(self, other: Totals) -> None:
        """Add what was sent elsewhere."""
        self.before, self.after = (
            tuple([_sum(mine, its) for mine, its in zip(ours, theirs, strict=True)])
            for ours, theirs in ((self.before, other.before), (self.after, other.after))
        )

    def _read(self) -> tuple[Plane, ...]:
        network = self.board.simulation.network
        counters = zip(network.channel_frames, network.channel_bytes, strict=True)
        return tuple([Plane(frames=frames, bytes=sent) for frames, sent in counters])

    def counted(self) -> dict[str, Plane]:
        """Return what was sent since, by channel."""
        return {
            name: Plane(frames=after.frames - before.frames, bytes=after.bytes - before.bytes)
            for name, before, after in zip(CHANNELS, self.before, self.after, strict=True)
        }

    @property
    def copies(self) -> int:
        """Return how many pairs of an update and a peer there are."""
        return self.board.arrivals.copies


def _sum(one: Plane, other: Plane) -> Plane:
    return Plane(frames=one.frames + other.frames, bytes=one.bytes + other.bytes)


class OneCopy(Totals):
    """Knows how large the record of an update is: the least that each peer has to be sent."""

    def __init__(self, board: Any) -> None:
        super().__init__(board)
        self._last: dict[bytes, Any] = {}
        self._bytes = 0
        self._count = 0

    @property
    def handlers(self) -> dict[type, Handler]:
        """Return what is looked at."""
        return {Published: self._published}

    def _published(self, now: int, peer: int, event: Any) -> None:
        state = event.state
        before, self._last[state.owner] = self._last.get(state.owner), state
        if before is None or self._count >= SAMPLES or peer in self.board.liars or not hasattr(state, "record"):
            return
        if self.board.arrivals.began is not None:
            self._bytes += Parcel.of(state.record(full=False, since=before)).size
            self._count += 1

    def add(self, other: Any) -> None:
        """Add the samples."""
        super().add(other)
        self._bytes += other._bytes
        self._count += other._count

    def least(self) -> float | None:
        """Return how many bytes one copy of everything to everybody is, an update and peer."""
        arrivals = self.board.arrivals
        if not self._count or not self.copies:
            return None
        once = sum(arrivals.states.expected)  # states, not updates: those that were published at once share a record
        return self._bytes / self._count * once / self.copies


class Traffic(OneCopy):
    """Bytes and frames by plane, sent, retries and quiet times included."""

    def find(self, found: Findings) -> None:
        """Divide by the updates, peers and seconds."""
        peers, seconds = self.board.peers, self.board.seconds
        planes, least = self.counted(), self.least()
        found.planes.update(planes)
        used = {name: plane for name, plane in planes.items() if plane.frames}
        for name, sent, bound in (
            ("bytes_per_update", sum(plane.bytes for plane in planes.values()), least),
            *((f"bytes_per_update_{name}", plane.bytes, None) for name, plane in used.items()),
        ):
            about = "sent, an update and peer" + (
                "; the bound: one copy of its record a peer" if bound else f", on channel {name.rsplit('_')[-1]}"
            )
            found.measures[name] = Measure(
                value=round(sent / self.copies, 3) if self.copies else None,
                unit="B",
                bound=None if bound is None else round(bound, 3),
                better="lower",
                about=about if name != "bytes_per_update" or bound else "sent, an update and peer",
            )
        total = sum(plane.bytes for plane in planes.values())
        found.measures["bytes_per_second"] = Measure(
            value=round(total / peers / seconds, 3), unit="B/s", better="lower", about="sent by each peer"
        )
        for name, frames in (
            ("frames_per_second", sum(plane.frames for plane in planes.values())),
            *((f"frames_per_second_{name}", plane.frames) for name, plane in used.items()),
        ):
            found.measures[name] = Measure(
                value=round(frames / peers / seconds, 4), unit="1/s", better="lower", about="sent by each peer"
            )


class Redundancy(Totals):
    """Copies of records that a peer did not need. RMR as in Leitão et al., "Epidemic broadcast trees" (2007)."""

    def find(self, found: Findings) -> None:
        """Compare what was delivered with what was new."""
        records, commits = self.board.records, self.board.arrivals.commits
        found.measures["rmr"] = Measure(
            value=round(records / commits - 1, 4) if commits else None,
            bound=0.0,
            better="lower",
            about="relative message redundancy: records delivered for each that was new, less one",
        )
        found.measures["duplicates"] = Measure(
            value=round((records - commits) / self.copies, 4) if self.copies else None,
            bound=0.0,
            better="lower",
            about="records delivered that were not new, an update and peer",
        )


class Cpu(OneCopy):
    """CPU time of a peer, by what frames and bytes take on libp2p: measured, not counted here."""

    def find(self, found: Findings) -> None:
        """Multiply."""
        board = self.board
        cost = self.conditions if self.conditions.costly else MEASURED
        planes = self.counted()
        topic = planes[CHANNELS[TOPIC]].frames
        others = sum(plane.frames for plane in planes.values()) - topic
        sent = sum(plane.bytes for plane in planes.values())
        spent = others * cost.cpu_frame + topic * cost.cpu_topic + sent * cost.cpu_byte_ns / 1000
        scale = 100 / 1e6 / board.peers / board.seconds
        least = self.least()
        bound = None if least is None else least * self.copies * cost.cpu_byte_ns / 1000 * scale
        found.measures["cpu"] = Measure(
            value=round(spent * scale, 5),
            unit="%",
            bound=None if bound is None else round(bound, 5),
            better="lower",
            about="of one CPU, a peer, both ends of a frame; the bound: one copy a peer in frames that cost nothing",
        )
