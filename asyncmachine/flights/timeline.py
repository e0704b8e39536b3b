"""What happens to a flight, and when: the events of a replay, in the one order that all who replay agree on.

A file tells when a flight left and landed, but not when it was cancelled, or known to be diverted, or when its doors
opened; so these are laid down here. What is told is only what happens: what follows from it is the machines' business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from asyncmachine.flights.data import HOUR, MINUTE, Leg

AHEAD = 3 * HOUR  # before its schedule, a flight appears
BOARDING = 30 * MINUTE  # before it leaves, its doors open
OVERDUE = 15 * MINUTE  # after its schedule; from there on the US counts a flight as delayed
MISSING = HOUR  # after it should have landed, a flight is given up
AFTER = HOUR  # after its end, a flight is retired


class Kind(IntEnum):
    """What happens. At the same moment they come in this order."""

    LAND = 1
    DIVERT = 2
    OVERDUE = 3
    DEPART = 4
    CANCEL = 5
    APPEAR = 6
    BOARD = 7
    RETIRE = 8


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a flight, ``at`` ns since 1970."""

    at: int
    kind: Kind
    leg: Leg


def events_of(leg: Leg) -> list[Event]:
    """Return all that happens to a flight, in order."""
    scheduled, departed = leg.scheduled, leg.departed
    found = [(scheduled + OVERDUE, Kind.OVERDUE)]
    appears = scheduled - AHEAD
    if departed is None:
        end = scheduled
        found.append((end, Kind.CANCEL))
    else:
        boards = departed - BOARDING
        appears = min(appears, boards)
        found += [(boards, Kind.BOARD), (departed, Kind.DEPART)]
        if leg.landed is not None:
            end = leg.landed
            found.append((end, Kind.LAND))
        else:
            end = max(leg.due, departed + leg.due - scheduled) + MISSING
            found.append((end, Kind.DIVERT))
    found += [(appears, Kind.APPEAR), (max(end, scheduled + OVERDUE) + AFTER, Kind.RETIRE)]
    return [Event(at, kind, leg) for at, kind in sorted(found)]


def timeline(legs: Iterable[Leg]) -> list[Event]:
    """Return all that happens to some flights, in order: by time, then kind, then the flights' ids."""
    events = [event for leg in legs for event in events_of(leg)]
    return sorted(events, key=lambda event: (event.at, event.kind, event.leg.id))
