"""What is served of a history whose database is slow: never as if it were all there is.

The clock jumps when all wait and no thread works, but for the one that the test holds up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from trio.testing import MockClock

from asyncmachine.history_log import JOURNAL, HistoryLog
from history import History, HybridClock, Limits
from history.memory import MemoryStore
from history.stream import Stream
from machine import Machine, State
from pubsub.errors import NotNowError
from tests.patient_clock import patient_clock

START = (0, 0)


class Gate(MemoryStore):
    """A store that writes while its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open_gate = threading.Event()
        self._is_reached = False

    @property
    def holds(self) -> bool:
        """Whether the writer stands before it, and will not go on."""
        return self._is_reached and not self.open_gate.is_set()

    def write(self, rows: Iterable[tuple[Any, ...]], streams: Sequence[Stream]) -> int:
        self._is_reached = True
        self.open_gate.wait()
        self._is_reached = False
        return super().write(rows, streams)


@asynccontextmanager
async def opened(gate: Gate) -> AsyncIterator[History]:
    clock = HybridClock(time.time_ns)
    clock.resume(gate.open())
    history = History(gate, clock, Limits(), lambda error: None)
    history.writer.start()
    try:
        yield history
    finally:
        gate.open_gate.set()
        await history.close()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def clock(gate: Gate) -> MockClock:
    return patient_clock(held=lambda: gate.holds)


@pytest.mark.parametrize("asked", ["m", JOURNAL])
async def test_with_nothing_committed_whoever_asks_is_told_to_come_again(
    gate: Gate, clock: MockClock, asked: str
) -> None:
    async with opened(gate) as history:
        log, machine = HistoryLog(history), Machine({"On": State()}, id="m")
        history.record(machine)
        with pytest.raises(NotNowError):
            await log.rows(asked, START, None, 100)
        gate.open_gate.set()
        await history.sync()
        rows, last = await log.rows(asked, START, None, 100)
        assert len(rows) == 1
        assert last


@pytest.mark.parametrize("asked", ["m", JOURNAL])
async def test_what_is_committed_is_served_and_not_called_the_last(gate: Gate, clock: MockClock, asked: str) -> None:
    gate.open_gate.set()
    async with opened(gate) as history:
        log, machine = HistoryLog(history), Machine({"On": State()}, id="m")
        history.record(machine)
        await history.sync()
        gate.open_gate.clear()
        machine.add("On")
        rows, last = await log.rows(asked, START, None, 100)
        assert len(rows) == 1
        assert not last
        gate.open_gate.set()
        more, last = await log.rows(asked, rows[-1][:2], None, 100)
        assert len(more) == 1
        assert last
