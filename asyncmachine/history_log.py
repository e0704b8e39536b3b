"""Serve what a history recorded to whoever asks a peer for it: the log of a machine, or the journal of all of them.

    async with open_history(url) as history, open_peer("flights", log=HistoryLog(history)) as peer:
        history.record(machine)
        peer.expose(machine)

`pubsub` and `history` know nothing of each other; they meet here, in `mirror_log` and in `observer`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from history import History, HistoryError, UnknownMachineError
from history.log import LogRow, Place
from pubsub.errors import NotNowError

logger = logging.getLogger("asyncmachine.mirror")
COMMIT = 2.0  # s that an answer waits for what was recorded just now
JOURNAL = "@journal"  # in place of a machine's id: the rows of all machines, in the order in which they were recorded

Rows = tuple[Sequence[LogRow], bool]


@dataclass(slots=True)
class Served:
    """What a `HistoryLog` has done. ``failed``: asks that the history could not answer, though it has the log."""

    answers: int = 0
    rows: int = 0
    unknown: int = 0
    failed: int = 0


class HistoryLog:
    """What a peer serves from a history: the recorded transitions of its own machines. Give it as ``log`` to a peer.

    Whoever may connect to the peer may read all of it: arguments too, if they are recorded; and machines that were
    recorded and not exposed, unless `serves` leaves them out.

    Args:
        history: that records the machines.
        owner: under which it does so, if not as its own.
        serves: tells whether the machine with this name is for others; None: all are.
    """

    def __init__(self, history: History, *, owner: str = "", serves: Callable[[str], bool] | None = None) -> None:
        self.counts = Served()
        self._history = history
        self._owner = owner
        self._serves = serves

    async def rows(self, machine: str, after: Place, until: Place | None, limit: int) -> Rows:
        """Return the next rows after a place, and whether they are the last ones; see `pubsub.logs.Log`.

        Raises:
            LookupError: there is no log of that machine.
            NotNowError: there is one, and the history cannot read it just now.
        """
        history, owner, serves = self._history, self._owner, self._serves
        if machine != JOURNAL and serves is not None and not serves(machine):
            self.counts.unknown += 1
            raise LookupError(f"the log of {machine} is not for others")

        async def read() -> Rows:
            if machine == JOURNAL:
                return await history.journals.rows(after, until, limit, owner=owner, serves=serves)
            return await history.rows(machine, after, until, limit, owner=owner)

        try:
            rows, last = await self._read(machine, read)
        except UnknownMachineError:
            self.counts.unknown += 1
            raise
        except HistoryError as error:
            self.counts.failed += 1
            logger.warning("the log of %s cannot be served: %s", machine, error)
            # it is there, so "no log" would not be true
            raise NotNowError(f"the log of {machine} cannot be read just now: {error}") from error
        self.counts.answers += 1
        self.counts.rows += len(rows)
        return rows, last

    async def _read(self, machine: str, read: Callable[[], Awaitable[Rows]]) -> Rows:
        history = self._history
        found: Rows | None = None
        waiting = history.writer.waiting  # asked for first: what is committed during the read need not be in it
        try:
            found = await read()
        except UnknownMachineError:
            if not history.is_recorded(self._owner, machine):
                raise
        if found is not None and (not found[1] or not waiting):
            return found
        # whoever asks has heard of the newest change, and it may not be committed yet
        with trio.move_on_after(COMMIT) as patience:
            await history.sync()
        if not patience.cancelled_caught:
            return await read()
        # what is still to come must not be taken for all there is
        try:
            rows, _ = await read()
        except UnknownMachineError:
            rows = ()
        if not rows:
            raise NotNowError(f"what was recorded last of {machine} is not committed yet")
        return rows, False
