"""How a machine behaves, and what it has counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from machine.clock import Time
from machine.errors import MisuseError, did_you_mean

if TYPE_CHECKING:
    from machine.machine import Machine


@dataclass(frozen=True, slots=True)
class Options:
    """How a machine behaves. One object is shared by all machines that are built with the same options.

    Attributes:
        queue_limit: mutations that may wait at once; more are canceled and counted.
        handler_timeout: seconds that one handler may hold the machine before it counts as refused; None: any time.
        drain_budget: mutations that are processed in one go before other tasks get a turn.
        raise_errors: let what a handler raises leave the mutation call too, for debugging.
        on_change: called with (machine, time before, time after) after every transition, canceled ones included.
        on_error: called with (machine, error) when an error becomes the Exception state.
        clock: seconds from anywhere, monotonic; measures handlers.
    """

    queue_limit: int = 1000
    handler_timeout: float | None = 0.1
    drain_budget: int = 10_000
    raise_errors: bool = False
    on_change: Callable[[Machine, Time, Time], object] | None = None
    on_error: Callable[[Machine, BaseException], object] | None = None
    clock: Callable[[], float] = time.perf_counter


DEFAULTS = Options()


@dataclass(slots=True)
class Counts:
    """What a machine counts while it works; see `Statistics`."""

    canceled: int = 0
    dropped: int = 0
    duplicates: int = 0
    errors: int = 0
    handler_timeouts: int = 0
    drain_pauses: int = 0
    callback_errors: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a machine has done and refused so far; every number only grows but the last three.

    ``transitions`` counts all processed mutations, of which ``canceled`` were refused. ``dropped`` mutations never ran
    (full queue, disposal); ``duplicates`` were found to be in the queue already.
    """

    transitions: int
    canceled: int
    dropped: int
    duplicates: int
    errors: int
    handler_timeouts: int
    drain_pauses: int
    callback_errors: int
    tracer_errors: int
    queued: int
    waits: int
    tasks: int


def read_options(options: dict[str, Any]) -> Options:
    """Return the options given by keyword, or raise `MisuseError` for one that does not exist or cannot work."""
    if not options:
        return DEFAULTS
    try:
        made = Options(**options)
    except TypeError:
        wrong = next(o for o in options if o not in Options.__slots__)
        raise MisuseError(f"{wrong!r} is no option of Machine{did_you_mean(wrong, Options.__slots__)}") from None
    if made.queue_limit < 1 or made.drain_budget < 1:
        raise MisuseError("queue_limit and drain_budget must be at least 1")
    return made
