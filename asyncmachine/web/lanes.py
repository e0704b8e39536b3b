"""The answer about spans: when each state of a machine was active, for its swimlanes."""

from __future__ import annotations

from itertools import islice
from typing import Final

from asyncmachine.web.answers import IntervalsAnswer, Lane, Span
from asyncmachine.web.asked import AskIntervals, WrongError
from asyncmachine.web.log import check_state
from asyncmachine.web.source import Source
from history import Interval
from machine import EXCEPTION

SPANS: Final = 2000  # of a lane
LANES: Final = 100


def intervals(source: Source, ask: AskIntervals) -> IntervalsAnswer:
    """Return when the states of a machine were active."""
    one = source.roster.find(ask.machine, ask.owner)
    low, high = source.window(ask.since, ask.until, one)
    known = source.roster.schema_of(one.row).states
    wanted = [name for name in known if name != EXCEPTION] if ask.states is None else ask.states.split(",")
    if len(wanted) > LANES and ask.states is not None:
        raise WrongError(f"{len(wanted)} states are too many: name {LANES} at most", "states")
    lanes, truncated = [], len(wanted) > LANES
    for state in wanted[:LANES]:
        if ask.states is not None:
            _check(source, ask, state)
        spans = list(islice(source.questions.intervals((one.row.owner, one.row.name), state, low, high), SPANS + 1))
        truncated = truncated or len(spans) > SPANS
        lanes.append(Lane(state=state, spans=[_span(span) for span in spans[:SPANS]]))
    return IntervalsAnswer(since=str(low), until=str(high), lanes=lanes, truncated=truncated)


def _check(source: Source, ask: AskIntervals, state: str) -> None:
    try:
        check_state(source, source.roster.find(ask.machine, ask.owner), state)
    except WrongError as error:
        raise WrongError(str(error), "states") from None


def _span(span: Interval) -> Span:
    """Return a span; one that lasts has no end, though it is cut at that of the window."""
    end = str(span.end) if span.ended and span.end is not None else None
    return Span(start=str(span.start), end=end, began=span.began, ended=span.ended)
