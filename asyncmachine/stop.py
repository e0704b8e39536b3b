"""How a command is told to end: by SIGTERM, Ctrl-C, or a terminal that is gone.

The first signal lets it end well. The second one ends it at once, whatever it is doing: after the first one, signals do
what they do by default, also while the program is too busy to look at that one.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

import trio

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(slots=True)
class Stopped:
    """Whether, and by which signal, a block was stopped; 0: by none."""

    by: int = 0
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def stop(self, number: int) -> None:
        """End the block."""
        self.by = number
        self.scope.cancel()


@contextmanager
def heeding(stop: Callable[[int], object]) -> Iterator[None]:
    """Call a function, as a task would, with the first signal that comes while the block lasts."""
    token = trio.lowlevel.current_trio_token()

    def hear(number: int, frame: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_DFL)
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(stop, number)

    # nohup has SIGHUP ignored, and means it
    heeded = [each for each in SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
    before = {each: signal.signal(each, hear) for each in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is hear:
                signal.signal(number, handler)


@contextmanager
def until_stopped() -> Iterator[Stopped]:
    """Run the block until a signal comes, which cancels it."""
    stopped = Stopped()
    with heeding(stopped.stop), stopped.scope:
        yield stopped
