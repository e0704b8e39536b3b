"""Logs between histories: rows of our machines for others, and rows of theirs that came from their owners."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from history.codec import Row
from history.errors import LifeError, LogError, QuestionError
from history.judging import judge
from history.log import GONE, MAX, MAX_ANSWER, START, LogPart, LogRow, Place
from history.packing import Answer, pack
from history.stream import check_texts

if TYPE_CHECKING:
    from history.history import History

logger = logging.getLogger("asyncmachine.history")
LOT = 256  # rows that are read at a time: of some machines, a few fill an answer


class Logs:
    """The part of a `History` that gives and takes rows as bytes.

    Attributes:
        pulled: rows that were stored.
        missing: how many rows between them nobody has any more.
        refused: pages of which nothing was stored, as something was wrong with them.
        cut: rows that were given away without their arguments, which were too large.
        lives: logs that began anew, while the ones before are kept.
        held: (owner, machine) of the logs that are being kept here.
        held_owners: of the journals that are.
    """

    def __init__(self, history: History) -> None:
        self.pulled = self.missing = self.refused = self.cut = self.lives = 0
        self.held: dict[tuple[str, str], None] = {}
        self.held_owners: dict[str, None] = {}
        self._history = history
        self._store = history.store
        self._clock = history.clock

    def read(self, owner: str, name: str, after: Place, until: Place | None, limit: int) -> Answer:
        """Return rows for somebody else; see `History.rows`."""
        store = self._store
        entry = self._history.questions._directory.one((owner, name))
        machine = store.machine(entry.id)  # before its rows: retention may let go of some meanwhile
        newest = store.newest(entry.id, MAX)
        end = START if newest is None else (newest.epoch, newest.seq)
        end = end if until is None else min(until, end)
        # after the newest row that is given: so each is under one of these
        periods = [(at, store.recorded_schema(hash)) for at, hash in store.periods_of(entry.id)[1]]
        rows = lots(lambda last, lot: store.numbered(entry.id, after if last is None else last[3:5], end, lot))
        life = machine.life if machine.pulled else store.life()
        answer = pack(machine, life, rows, periods, limit, MAX_ANSWER)
        self.note_cut(answer, name)
        return answer

    def note_cut(self, answer: Answer, name: str) -> None:
        """Count what was left out of an answer, and say so."""
        if answer.cut:
            self.cut += answer.cut
            logger.warning("%d rows of %s were given away without their arguments: too large", answer.cut, name)

    async def take(self, owner: str, name: str, rows: Sequence[LogRow]) -> int:
        """Store rows of somebody else; see `History.store_rows`."""
        check_owner(owner, name=name)
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
            aside = self._store.write_logs(owner, [part])
            parts.append(part)
            return aside

        try:
            aside = await self._history.run_job(store)
        except LifeError:
            raise
        except LogError:
            self.refused += 1
            raise
        self.stored(parts, aside)
        return sum(len(part.rows) for part in parts)

    def stored(self, parts: Sequence[LogPart], aside: bool) -> None:
        """Note what was stored, and tell whoever waits for it. ``aside``: some machines have another owner now."""
        if aside:
            self._history.questions._directory.refresh()
        if not parts:
            return
        self._clock.observe(max(part.last_at for part in parts))
        self._history.announce()
        self.pulled += sum(len(part.rows) for part in parts)
        self.missing += sum(part.missing for part in parts)
        for part in parts:
            if part.anew:
                self.lives += 1
                owner, name = part.identity.key
                logger.warning(
                    "the log of %s of %s began anew: its owner has another database; the earlier log is kept as of the "
                    "owner 'earlier log of %s'",
                    name,
                    owner,
                    owner,
                )

    def place(self, owner: str, name: str) -> Place:
        """Return the place of the last row that was stored; see `History.place`."""
        found = self._store.find(owner, name)
        return START if found is None or not found.pulled or found.life == GONE else (found.epoch, found.seq)

    async def rewind(self, owner: str, name: str | None) -> None:
        """Note that logs are gone with their owner; see `History.rewind`."""
        check_owner(owner)
        await self._history.run_job(lambda: self._store.rewind(owner, name))

    def check_free(self, owner: str, name: str) -> None:
        """Raise if the log of a machine is kept here, so that it cannot be recorded under this owner too."""
        if (owner, name) in self.held or owner in self.held_owners:
            raise QuestionError(
                f"the log of {name} of {owner} is kept here: record the machine under another owner, or not at all"
            )


def lots(read: Callable[[Row | None, int], list[Row]]) -> Iterator[Row]:
    """Yield rows as they are needed; `read` returns at most so many behind the last one, if there was one."""
    last: Row | None = None
    while rows := read(last, LOT):
        yield from rows
        if len(rows) < LOT:
            return
        last = rows[-1]


def check_owner(owner: str, **texts: str) -> None:
    """Refuse rows of nobody, and names that cannot be stored."""
    if not owner:
        raise QuestionError("these rows have no owner: what is recorded here is not to be mixed with them")
    check_texts(owner=owner, **texts)
