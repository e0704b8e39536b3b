"""The logs of machines, as a peer's program sees them: pages of others to be read, and own ones to be served.

What a row holds is `history`'s business; see `pubsub.pull` for the protocol.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

import trio

from pubsub.core import Core
from pubsub.driver import Driver
from pubsub.errors import NotNowError, PullError
from pubsub.messages import Place, PulledRow, Reason
from pubsub.pull import START, Outcome, PullEnded, RowsPulled
from pubsub.serve import RowsAsked

PAGE = 1000  # rows that are read for one page, at most


class Log(Protocol):
    """What a peer serves the logs of its own machines from: a history."""

    async def rows(
        self, machine: str, after: Place, until: Place | None, limit: int
    ) -> tuple[Sequence[PulledRow], bool]:
        """Return the next rows after a place, and whether they are the last ones.

        Raises:
            LookupError: there is no log of that machine.
            NotNowError: there is one, and it cannot be read just now.
        """


class Logs:
    """The pulls of one peer, and what others pull from it.

    Args:
        core, driver: of the peer.
        log: what to serve; None: nothing.
        meet: connects with an owner, if that can be done; a log comes from its owner only.
    """

    def __init__(
        self,
        core: Core[bytes],
        driver: Driver[bytes],
        log: Log | None,
        meet: Callable[[bytes], Awaitable[object]],
    ) -> None:
        self._meet = meet
        self.nursery: trio.Nursery | None = None
        self._core = core
        self._driver = driver
        self._log = log
        self._pulls: dict[tuple[bytes, str], trio.MemorySendChannel[RowsPulled | PullEnded]] = {}

    async def pull(
        self, owner: bytes, id: str, after: Place = START, until: Place | None = None
    ) -> AsyncGenerator[RowsPulled, None]:
        """Yield the log of a machine of another peer, page by page; the next page comes when this one was taken.

        Args:
            owner: whose machine it is.
            id: of the machine.
            after: the place of the last row that is here already.
            until: the place of the last row that is wanted; None: all that there are by then.

        Raises:
            PullError: it ended before its end.
            ValueError: it is being pulled already.
        """
        key = (owner, id)
        if key in self._pulls:
            raise ValueError(f"the log of {id!r} is being pulled already: wait for the end, or stop it")
        sender, receiver = trio.open_memory_channel[RowsPulled | PullEnded](4)  # one page is under way, and the end
        self._pulls[key] = sender
        try:
            await self._meet(owner)
            self._driver.call(self._core.of_logs, self._core.pulls.pull, owner, id, after, until)
            async for event in receiver:
                if isinstance(event, PullEnded):
                    if event.outcome is not Outcome.COMPLETE:
                        message = f"the log of {id!r} ended early: {event.outcome.value}"
                        raise PullError(message, event.after, event.outcome)
                    return
                yield event
                self._driver.call(self._core.of_logs, self._core.pulls.more, owner, id)
        finally:
            del self._pulls[key]
            self._driver.call(self._core.of_logs, self._core.pulls.stop, owner, id)

    def notified(self, event: RowsAsked[bytes] | RowsPulled | PullEnded) -> None:
        """Take an event of the core."""
        if isinstance(event, RowsAsked):
            if self._log is None or self.nursery is None:
                self._answer_none(event)
            else:
                self.nursery.start_soon(self._serve, event, self._log)
            return
        sender = self._pulls.get((event.owner, event.machine))
        if sender is not None:
            sender.send_nowait(event)

    def _answer_none(self, asked: RowsAsked[bytes]) -> None:
        serving = self._core.pulls.serving
        self._driver.call(self._core.of_logs, partial(serving.answer, last=True, kept=False), asked, ())

    async def _serve(self, asked: RowsAsked[bytes], log: Log) -> None:
        serving = self._core.pulls.serving
        try:
            rows, last = await log.rows(asked.machine, asked.after, asked.until, PAGE)
        except LookupError:
            self._answer_none(asked)
        except NotNowError:
            self._driver.call(self._core.of_logs, serving.refuse, asked, Reason.BUSY)
        else:
            self._driver.call(self._core.of_logs, partial(serving.answer, last=last), asked, rows)
