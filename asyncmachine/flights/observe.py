"""What the observer makes of what it hears: how everything is just now, how fast it comes, and how far all are.

It knows nothing of files and processes. Rows come from its own history, in the order in which they were committed
there; records come from its peer. Its own clock follows the slowest airport, and holds up those that are too far ahead.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import trio

import asyncmachine as am
from asyncmachine.flights.model import Airport, Clock, Flight
from asyncmachine.flights.replay import CLOCK, Plan
from pubsub.events import Committed
from pubsub.hlc import wall_ms_of
from pubsub.names import is_internal, owner_of

WINDOW = 5  # s of which the rate is the mean
SAMPLES = 1000  # latencies of an airport that are kept

#: How a flight is called that has any of these active; the first one counts.
STAGES = (
    (Flight.Cancelled, "cancelled"),
    (Flight.Diverted, "diverted"),
    (Flight.Landed, "landed"),
    (Flight.Airborne, "airborne"),
    (Flight.Boarding, "boarding"),
    (Flight.Scheduled, "scheduled"),
)
MOODS = (
    (Airport.Closed, "closed"),
    (Airport.Disrupted, "disrupted"),
    (Airport.Busy, "busy"),
    (Airport.Open, "open"),
)


def first_active(clock: am.Clock, names: Sequence[tuple[str, str]], otherwise: str = "") -> str:
    """Return the word for the first of some states that is active."""
    return next((word for state, word in names if clock.is_active(state)), otherwise)


class Latency:
    """Times from an owner's stamp of a record until it is committed here, ms. Both are of one computer's clock."""

    def __init__(self) -> None:
        self.count = 0
        self._last: deque[int] = deque(maxlen=SAMPLES)

    def add(self, ms: int) -> None:
        """Take one more."""
        self.count += 1
        self._last.append(ms)

    def quantile(self, share: float) -> int | None:
        """Return what so many of the newest ones were not above; None: there are none."""
        if not self._last:
            return None
        return sorted(self._last)[min(math.ceil(share * len(self._last)), len(self._last)) - 1]


@dataclass(slots=True)
class AirportSeen:
    """What is known of an airport.

    Attributes:
        mood: closed, disrupted, busy, open; empty: nothing is known yet.
        since: when that began, ns since 1970.
        steps: that are done, and of which all is in the history.
        is_done: whether that was all of them.
        machines: that it shares now.
        rows: of its log that are here.
        latency: of its records.
    """

    mood: str = ""
    since: int = 0
    steps: int = 0
    is_done: bool = False
    machines: int = 0
    rows: int = 0
    latency: Latency = field(default_factory=Latency)


class Tower:
    """What is known of all airports.

    Args:
        store: the history in which the logs of the airports are kept.
        peer: that hears of them.
        airports: their peer ids, by code.
        plan: the steps of all.

    Attributes:
        owners: peer ids of the airports, by code.
        clock: the machine that tells how far the observer is.
        airports: what is known of each.
        stages: how many flights are at which stage, of those that were ever seen.
        delayed: how many were ever delayed.
        first_replica, all_replicas: the monotonic clock's reading when there was a replica of one airport's machine;
            and when there was one of each. None: not yet.
        finished: is set when all is there.
    """

    def __init__(self, store: am.History, peer: am.Peer, airports: Mapping[str, str], plan: Plan) -> None:
        self.clock = am.Machine(Clock, id=CLOCK, tags="observer")
        self.airports = {code: AirportSeen() for code in airports}
        self.stages: Counter[str] = Counter()
        self.delayed = 0
        self.first_replica: float | None = None
        self.all_replicas: float | None = None
        self.finished = trio.Event()
        self._plan = plan
        self._store = store
        self._peer = peer
        self.owners = dict(airports)
        self._codes = {owner: code for code, owner in airports.items()}
        self._keys = {owner_of(owner): code for code, owner in airports.items()}
        self._flights: dict[str, str] = {}
        self._rates: deque[tuple[float, int]] = deque()  # when rows came, and how many there were by then
        self._told = 0  # steps that the airport which is ahead has told of
        self._moved = trio.Event()
        peer.listen(self._heard)

    @property
    def replayed(self) -> int:
        """How late it is in the replay, ns since 1970: everything up to there is here."""
        return self._plan.end_of(min(seen.steps for seen in self.airports.values()))

    def heard(self) -> int:
        """Return how late it is by the newest that any airport has told, ns since 1970.

        What the peer hears of is not later than that, and at most a step earlier, which is as far as one airport may be
        ahead of another.
        """
        return self._plan.end_of(self._told)

    @property
    def rows(self) -> int:
        """How many rows of logs are here."""
        return sum(seen.rows for seen in self.airports.values())

    @property
    def machines(self) -> int:
        """How many machines are shared now."""
        return sum(seen.machines for seen in self.airports.values())

    def rate(self) -> float:
        """Return how many transitions came a second, lately."""
        now = trio.current_time()
        while len(self._rates) > 1 and self._rates[0][0] < now - WINDOW:
            self._rates.popleft()
        if not self._rates:
            return 0.0
        began, had = self._rates[0]
        return (self.rows - had) / max(now - began, 1.0)

    def latency(self, share: float) -> int | None:
        """Return the quantile of the worst airport, ms."""
        found = [ms for seen in self.airports.values() if (ms := seen.latency.quantile(share)) is not None]
        return max(found, default=None)

    async def has(self, steps: Mapping[str, int]) -> None:
        """Wait until so many steps of each airport are here."""
        while any(self.airports[code].steps < count for code, count in steps.items()):
            await self._moved.wait()

    async def run(self) -> None:
        """Follow the history, for ever."""
        self._rates.append((trio.current_time(), 0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._meet)
            await self._follow()

    async def _meet(self) -> None:
        """Note when there were replicas."""
        for owner in self.owners.values():
            await self._peer.replica(CLOCK, owner)
        self.all_replicas = time.monotonic()

    async def _follow(self) -> None:
        async for record in self._store.changes("2000-01-01T00:00:00Z"):
            code = self._codes.get(record.owner)
            if code is not None:
                self._take(self.airports[code], record)

    # -- rows

    def _take(self, seen: AirportSeen, record: am.Record) -> None:
        seen.rows += 1
        now = trio.current_time()
        if now - self._rates[-1][0] > 0.2:
            self._rates.append((now, self.rows - 1))
        if record.machine == CLOCK:
            seen.steps = am.activations(record.clock[Clock.Step])
            seen.is_done = record.clock.is_active(Clock.Done)
            self._tick()
        elif Flight.Airborne in record.clock:
            self._see_flight(record)
        elif Airport.Departing in record.clock:
            mood = first_active(record.clock, MOODS)
            if mood != seen.mood:
                seen.mood, seen.since = mood, record.at

    def _see_flight(self, record: am.Record) -> None:
        name = record.machine
        stage, was = first_active(record.clock, STAGES), self._flights.get(name, "")
        if Flight.Delayed in record.activated:
            self.delayed += 1
        if stage != was:
            self._flights[name] = stage
            self.stages[stage] += 1
            self.stages[was] -= 1

    def _tick(self) -> None:
        """Let the own clock follow the slowest one."""
        steps = min(seen.steps for seen in self.airports.values())
        is_done = all(seen.is_done for seen in self.airports.values())
        for _ in range(steps - am.activations(self.clock.tick(Clock.Step))):
            self.clock.add(Clock.Step)
        if is_done:
            self.clock.add(Clock.Done)
            self.finished.set()
        moved, self._moved = self._moved, trio.Event()
        moved.set()

    # -- records

    def _heard(self, event: object) -> None:
        if not isinstance(event, Committed):
            return
        code = self._keys.get(event.state.owner)
        if code is None:
            return
        seen = self.airports[code]
        for clock in self._peer.replicas(id=CLOCK, owner=event.state.owner):
            self._told = max(self._told, am.activations(clock.tick(Clock.Step)))
        seen.latency.add(max(time.time_ns() // 1_000_000 - wall_ms_of(event.state.header.hlc), 0))
        seen.machines = sum(not is_internal(machine.description.id) for machine in event.state.values())
        if self.first_replica is None and self._peer.replicas(id=CLOCK):
            self.first_replica = time.monotonic()
