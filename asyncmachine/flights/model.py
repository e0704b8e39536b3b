"""What a flight, an airport and an aircraft are. The rules are relations; a replay only tells what happens.

A flight whose departure is told after its cancellation stays where it is, since *Departed* needs *Operating* and
*Cancelled* took that away for good. So a replay may be told the same twice, which is how an airport goes on after a
crash in the middle of a step.
"""

from __future__ import annotations

from collections.abc import Callable

import asyncmachine as am

DISRUPTED = 3  # flights cancelled in a row, without a departure between them
CLOSED = 8
BUSY = 8  # flights that board at the same time


class Flight(am.Schema):
    """From three hours before its schedule to an hour after its end."""

    Scheduled = am.State(add="Operating")
    Operating = am.State()
    """It takes place, as far as anybody knows. Only a cancellation ends that."""
    Boarding = am.State(require=Scheduled)
    Overdue = am.State(require=Scheduled, add="Delayed")
    """A quarter of an hour after its schedule it is still here."""
    Delayed = am.State()
    """It was overdue, and stays a delayed flight whatever comes."""
    Departed = am.State(require=Operating, remove=[Scheduled, Boarding, Overdue, "Cancelled"])
    Airborne = am.State(auto=True, require=Departed)
    Landed = am.State(require=Departed, remove=[Airborne, "Diverted"])
    Diverted = am.State(require=Departed, remove=Airborne)
    """It left, and did not arrive where it should have, or nobody knows."""
    Cancelled = am.State(remove=[Scheduled, Operating, Boarding, Overdue, Delayed])


class Airport(am.Schema):
    """It follows its flights, by pipes. What the last flights did is what it is."""

    Boarding = am.State(multi=True)
    """One more flight boards."""
    Departing = am.State(multi=True, remove=["Cancelling", "Disrupted", "Closed"])
    """One more has left. A single one is enough to be open again."""
    Cancelling = am.State(multi=True, remove=Departing)
    """One more was cancelled."""
    Disrupted = am.State(require=Cancelling)
    Closed = am.State(require=Disrupted, remove=["Open", "Busy"])
    Open = am.State(auto=True)
    Busy = am.State(require=Open)


class Aircraft(am.Schema):
    """It follows the flight that it makes, by a pipe."""

    Parked = am.State(auto=True)
    Flying = am.State(remove=Parked)


class Clock(am.Schema):
    """How far a replay is, for others to see, and to wait for."""

    Step = am.State(multi=True)
    """One more step is done, and everything in it."""
    Done = am.State()
    """That was all of them."""


class AirportRules:
    """The handlers of an airport: they count, and ask the flights that are here.

    Args:
        boarding: returns how many flights board at the moment.

    Attributes:
        cancelled: how many were cancelled since the last departure.
    """

    def __init__(self, boarding: Callable[[], int]) -> None:
        self.cancelled = 0
        self._boarding = boarding

    @Airport.Boarding.state
    def boards(self, event: am.Event) -> None:
        """See whether there is much to do."""
        self.settle(event.machine)

    @Airport.Departing.state
    def departs(self, event: am.Event) -> None:
        """Begin to count anew."""
        self.heard(departure=True)
        self.settle(event.machine)

    @Airport.Cancelling.state
    def cancels(self, event: am.Event) -> None:
        """Count, and see what it has come to."""
        self.heard(cancellation=True)
        self.settle(event.machine)

    def heard(self, departure: bool = False, cancellation: bool = False) -> None:
        """Count a departure, or a cancellation."""
        self.cancelled = 0 if departure else self.cancelled + cancellation

    def settle(self, airport: am.Machine) -> None:
        """Ask for what follows from the counts, unless it is so already."""
        if self.cancelled >= CLOSED:
            _make(airport, True, Airport.Disrupted, Airport.Closed)
        elif self.cancelled >= DISRUPTED:
            _make(airport, True, Airport.Disrupted)
        _make(airport, self._boarding() >= BUSY, Airport.Busy)


def _make(airport: am.Machine, active: bool, *states: str) -> None:
    if active and not airport.is_active(*states):
        airport.add(*states)
    elif not active and airport.any_active(*states):
        airport.remove(*states)
