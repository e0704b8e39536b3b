"""How a command is told to end: by SIGTERM or SIGINT. The first lets it end well, the second ends it at once."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class Stopped:
    """Whether, and by which signal, a block was stopped; 0: by none."""

    by: int = 0
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def stop(self, number: int) -> None:
        """End the block."""
        self.by = number
        self.scope.cancel()


async def heed_signals(stop: Callable[[int], object], *, task_status: trio.TaskStatus[None]) -> None:
    """Call a function with the first signal that says to end, and let the next one end the process."""
    with trio.open_signal_receiver(*SIGNALS) as signals:
        task_status.started()
        number = await anext(aiter(signals))
    for each in SIGNALS:  # after the receiver has put back what was there before
        signal.signal(each, signal.SIG_DFL)
    stop(number)


@asynccontextmanager
async def until_stopped() -> AsyncIterator[Stopped]:
    """Run the block until a signal comes, which cancels it."""
    stopped = Stopped()
    async with trio.open_nursery() as nursery:
        await nursery.start(heed_signals, stopped.stop)
        with stopped.scope:
            yield stopped
        nursery.cancel_scope.cancel()
