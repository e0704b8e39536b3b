"""Logs between histories: rows of our machines for others, and rows of theirs that came from their owners."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from history.errors import LogError, QuestionError
from history.log import MAX, MAX_ANSWER, START, Answer, LogPart, LogRow, Place, judge, pack
from history.stream import check_texts

if TYPE_CHECKING:
    from history.history import History

logger = logging.getLogger("asyncmachine.history")


class Logs:
    """The part of a `History` that gives and takes rows as bytes.

    Attributes:
        pulled: rows that were stored.
        missing: how many rows between them nobody has any more.
        refused: pages of which nothing was stored, as something was wrong with them.
        cut: rows that were given away without their arguments, which were too large.
        held: (owner, machine) of the logs that are being kept here.
    """

    def __init__(self, history: History) -> None:
        self.pulled = self.missing = self.refused = self.cut = 0
        self.held: dict[tuple[str, str], None] = {}
        self._history = history
        self._store = history.store
        self._clock = history.clock

    def read(self, owner: str, name: str, after: Place, until: Place | None, limit: int) -> Answer:
        """Return rows for somebody else; see `History.rows`."""
        entry = self._history.questions._directory.one((owner, name))
        machine = self._store.machine(entry.id)  # before its rows: retention may let go of some meanwhile
        rows = self._store.numbered(entry.id, after, until or (MAX, MAX), limit + 1)
        periods = [(at, self._store.recorded_schema(hash)) for at, hash in self._store.periods_of(entry.id)[1]]
        answer = pack(machine, rows, periods, limit, MAX_ANSWER)
        if answer.cut:
            self.cut += answer.cut
            logger.warning("%d rows of %s were given away without their arguments: too large", answer.cut, name)
        return answer

    async def take(self, owner: str, name: str, rows: Sequence[LogRow]) -> int:
        """Store rows of somebody else; see `History.store_rows`."""
        if not owner:
            raise QuestionError("these rows have no owner: what is recorded here is not to be mixed with them")
        check_texts(owner=owner, name=name)
        if self._history.is_recorded(owner, name):
            raise QuestionError(f"{name} of {owner} is being recorded: stop that recorder before its log is stored")
        self.held[owner, name] = None
        parts: list[LogPart] = []
        until = self._clock.now() + self._clock.max_skew

        def store() -> bool:
            found = self._store.find(owner, name)
            standing = found if found is not None and found.pulled else None
            schema = None if standing is None else self._store.recorded_schema(standing.schema_hash)
            part = judge((owner, name), rows, standing, schema, until)
            if part is None:
                return False
            aside = self._store.write_log(part)
            parts.append(part)
            return aside

        try:
            aside = await self._history.run_job(store)
        except LogError:
            self.refused += 1
            raise
        if aside:
            self._history.questions._directory.refresh()  # one of them has another owner now
        if not parts:
            return 0
        (part,) = parts
        self._clock.observe(part.last_at)
        self._history.announce()
        self.pulled += len(part.rows)
        self.missing += part.missing
        return len(part.rows)

    def place(self, owner: str, name: str) -> Place:
        """Return the place of the last row that was stored; see `History.place`."""
        found = self._store.find(owner, name)
        return START if found is None or not found.pulled else (found.epoch, found.seq)

    def check_free(self, owner: str, name: str) -> None:
        """Raise if the log of a machine is kept here, so that it cannot be recorded under this owner too."""
        if (owner, name) in self.held:
            raise QuestionError(
                f"the log of {name} of {owner} is kept here: record the machine under another owner, or not at all"
            )
