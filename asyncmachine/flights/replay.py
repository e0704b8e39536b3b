"""The replay of one airport: its machines, moved on event by event, in steps that others can follow.

It does no I/O. A `Stage` keeps the machines: it records and exposes them. After a crash the same replay is built
again, the stage brings the machines back as they were recorded, and the step that was under way is done once more; what
had happened in it already is refused by the relations of the machines, and is not told to the airport again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from itertools import takewhile
from typing import Protocol

import trio

import asyncmachine as am
from asyncmachine.flights.data import Leg
from asyncmachine.flights.model import Aircraft, Airport, AirportRules, Clock, Flight
from asyncmachine.flights.timeline import Event, Kind, timeline

CLOCK = "clock"  # the id of the machine that tells how far a replay is

STATE = {
    Kind.APPEAR: Flight.Scheduled,
    Kind.BOARD: Flight.Boarding,
    Kind.OVERDUE: Flight.Overdue,
    Kind.DEPART: Flight.Departed,
    Kind.LAND: Flight.Landed,
    Kind.DIVERT: Flight.Diverted,
    Kind.CANCEL: Flight.Cancelled,
}
TOLD = {
    Kind.BOARD: Airport.Boarding,
    Kind.DEPART: Airport.Departing,
    Kind.CANCEL: Airport.Cancelling,
}
"""What an airport hears of its flights, by pipes."""


class ReplayClock:
    """The time that is replayed, in ns since 1970: what a history takes for the wall clock.

    While an event is carried out it stands at the event's own time, however late that is. So what is recorded has the
    times of the file, at any speed.

    Args:
        start: where it begins.
        speed: replayed seconds a second; None: no waiting at all.
        began: the reading of ``monotonic`` at the start. Processes of one computer share it.
        monotonic: seconds.
    """

    def __init__(
        self,
        start: int,
        speed: float | None = None,
        began: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._speed = speed
        self._began = began
        self._monotonic = monotonic
        self._position = self._limit = start

    def __call__(self) -> int:
        """Return the time: never beyond the next event, so that nothing is stamped later than what comes after it."""
        return max(self._position, min(self._scaled(), self._limit))

    def _scaled(self) -> int:
        if self._speed is None:
            return self._position
        return self._start + int((self._monotonic() - self._began) * self._speed * 1e9)

    async def reach(self, at: int) -> None:
        """Wait until it is this late, and stand there."""
        self._limit = max(self._limit, at)
        if self._speed is not None:
            while (left := at - self._scaled()) > 0:  # noqa: ASYNC110 - it is a time that is waited for
                await trio.sleep(left / 1e9 / self._speed)
        self._position = self._limit


class Stage(Protocol):
    """Where the machines of a replay stand."""

    async def enter(self, machine: am.Machine) -> None:
        """Take a machine, which is new: record and expose it."""

    async def come_back(self, machine: am.Machine) -> bool:
        """Take a machine as it was recorded in an earlier life; tell whether there was one. If not, do nothing."""

    def leave(self, machine: am.Machine) -> None:
        """Let go of a machine. It is disposed of afterwards."""


class Plan:
    """Which steps a replay has. All who replay together make the same one.

    Attributes:
        start, end: of the whole replay, ns since 1970; whole steps.
        step: length of a step, ns.
        steps: how many.
    """

    def __init__(self, legs: Iterable[Leg], step: int) -> None:
        times = [event.at for event in timeline(legs)]
        self.step = step
        self.start = (min(times) - 1) // step * step
        self.steps = -(-(max(times) - self.start) // step)
        self.end = self.start + self.steps * step

    def end_of(self, number: int) -> int:
        """Return when a step is over; steps count from 1."""
        return self.start + number * self.step


class AirportReplay:
    """The machines of one airport.

    Attributes:
        code: of the airport, which is its machine's id.
        airport, clock: its machines; ``clock`` tells how many steps are done.
        flights, aircraft: those that are here now, by id of the machine. An aircraft stays until its last flight from
            here is over, and each airport has a machine of its own for it.
    """

    def __init__(self, code: str, legs: Iterable[Leg], plan: Plan, now: ReplayClock, stage: Stage) -> None:
        mine = [leg for leg in legs if leg.origin == code]
        self.code = code
        self.plan = plan
        self.flights: dict[str, am.Machine] = {}
        self.aircraft: dict[str, am.Machine] = {}
        self._events = timeline(mine)
        self._next = 0  # of the events
        self._now = now
        self._stage = stage
        self._uses = Counter(leg.aircraft for leg in mine)  # flights that are not over yet, by tail number
        self._heard = 0  # events of this step of which the airport heard in an earlier life
        self._rules = AirportRules(self._count_boarding)
        self.airport = am.Machine(Airport, id=code, tags="airport", handlers=self._rules, handler_timeout=None)
        self.clock = am.Machine(Clock, id=CLOCK, tags=f"airport:{code}")

    @property
    def done(self) -> int:
        """How many steps are done."""
        return am.activations(self.clock.tick(Clock.Step))

    async def open(self, *, again: bool = False) -> None:
        """Begin; ``again``: go on where an earlier life came to, if there was one."""
        if again and await self._stage.come_back(self.clock):
            await self._go_on()
        else:
            await self._stage.enter(self.clock)
            await self._stage.enter(self.airport)
        self.airport.add(Airport.Open)

    async def run_step(self) -> None:
        """Carry out the next step, as fast as the clock lets it, and tell that it is done."""
        until = self.plan.end_of(self.done + 1)
        while (event := self._peek(until)) is not None:
            self._next += 1
            await self._now.reach(event.at)
            await self._carry_out(event)
        await self._now.reach(until)
        is_last = self.done + 1 == self.plan.steps
        self.clock.add(Clock.Step, *((Clock.Done,) if is_last else ()))
        await trio.lowlevel.checkpoint()

    def _peek(self, until: int) -> Event | None:
        event = self._events[self._next] if self._next < len(self._events) else None
        return event if event is not None and event.at <= until else None

    async def _carry_out(self, event: Event) -> None:
        leg = event.leg
        if event.kind is Kind.RETIRE:
            self._retire(leg)
            return
        if event.kind is Kind.APPEAR and leg.id not in self.flights:
            await self._appear(leg, self._stage.enter)
        flight, state = self.flights[leg.id], STATE[event.kind]
        before = flight.tick(state)
        flight.add(state)
        if event.kind not in TOLD:
            return
        if self._heard:
            self._heard -= 1
        elif flight.tick(state) == before:  # it happened in an earlier life, which ended before the airport heard of it
            self.airport.add(TOLD[event.kind])

    async def _appear(self, leg: Leg, take: Callable[[am.Machine], Awaitable[bool | None]]) -> None:
        tags = ["flight", f"carrier:{leg.carrier}", f"from:{leg.origin}", f"to:{leg.destination}"]
        if leg.aircraft is not None:
            tags.append(f"aircraft:{leg.aircraft}")
        flight = am.Machine(Flight, id=leg.id, parent=self.airport, tags=tags)
        if await take(flight) is False:
            return
        self.flights[leg.id] = flight
        for kind, state in TOLD.items():
            am.pipe_add(flight, STATE[kind], self.airport, state)
        if leg.aircraft is not None:
            id = f"{leg.aircraft}@{self.code}"
            if id not in self.aircraft:
                await self._roll_out(id, take)
            am.bind_state(flight, Flight.Airborne, self.aircraft[id], Aircraft.Flying)

    async def _roll_out(self, id: str, take: Callable[[am.Machine], Awaitable[bool | None]]) -> None:
        craft = self.aircraft[id] = am.Machine(Aircraft, id=id, parent=self.airport, tags="aircraft")
        if await take(craft) is False:
            await self._stage.enter(craft)
        craft.add(Aircraft.Parked)

    def _retire(self, leg: Leg) -> None:
        self._let_go(self.flights.pop(leg.id))
        self._uses[leg.aircraft] -= 1
        if leg.aircraft is not None and not self._uses[leg.aircraft]:
            self._let_go(self.aircraft.pop(f"{leg.aircraft}@{self.code}"))

    def _let_go(self, machine: am.Machine) -> None:
        self._stage.leave(machine)
        machine.dispose()

    def _count_boarding(self) -> int:
        return sum(flight.is_active(Flight.Boarding) for flight in self.flights.values())

    # -- after a crash

    async def _go_on(self) -> None:
        """Be where the last whole step led to, and have what was recorded of the one after it."""
        until = self.plan.end_of(self.done)
        if not await self._stage.come_back(self.airport):
            await self._stage.enter(self.airport)
        here: dict[str, Leg] = {}
        while (event := self._peek(until)) is not None:
            self._next += 1
            if event.kind is Kind.APPEAR:
                here[event.leg.id] = event.leg
            elif event.kind is Kind.RETIRE:
                del here[event.leg.id]
                self._uses[event.leg.aircraft] -= 1
        await self._now.reach(until)
        told = [event.kind for event in self._events if event.kind in TOLD]
        before = sum(event.kind in TOLD for event in self._events[: self._next])
        heard = sum(am.activations(self.airport.tick(state)) for state in TOLD.values())
        self._heard = heard - before
        for kind in told[:heard]:
            self._rules.heard(kind is Kind.DEPART, kind is Kind.CANCEL)
        step = list(takewhile(lambda event: event.at <= until + self.plan.step, self._events[self._next :]))
        here.update({event.leg.id: event.leg for event in step if event.kind is Kind.APPEAR})
        for leg in here.values():
            await self._appear(leg, self._stage.come_back)
        self._settle()
        happened = [event for event in step if event.kind in TOLD and self._has_happened(event)]
        if len(happened) == self._heard:  # else it settles when it is told the last one
            self._rules.settle(self.airport)

    def _has_happened(self, event: Event) -> bool:
        flight = self.flights.get(event.leg.id)
        return flight is not None and flight.tick(STATE[event.kind]) > 0

    def _settle(self) -> None:
        """Let follow what was to follow from the last row, and was not recorded any more. Relations refuse the rest."""
        for flight in self.flights.values():
            flight.add(Flight.Airborne)
        for id, craft in self.aircraft.items():
            tag = f"aircraft:{id.partition('@')[0]}"
            flying = any(tag in flight.tags and flight.is_active(Flight.Airborne) for flight in self.flights.values())
            (craft.add if flying else craft.remove)(Aircraft.Flying)
            craft.add(Aircraft.Parked)
