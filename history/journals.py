"""Journals between histories: all rows of an owner in one log, given and taken page by page. See `history.journal`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from history.codec import RecordedSchema, Row
from history.errors import LogError, QuestionError
from history.journal import MARK, JournalPage, judge_journal, pack_journal, read_journal
from history.log import MAX_ANSWER, START, LogPart, LogRow, Place
from history.logs import Logs, check_owner, lots
from history.packing import Answer, Periods
from history.store import MachineRow, Mark

if TYPE_CHECKING:
    from history.history import History

logger = logging.getLogger("asyncmachine.history")
SPAN = 50_000  # ids that are looked at for an answer, whoever's rows they are: some 50 ms


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a page of a journal.

    Attributes:
        rows: that were new here.
        missing: rows before or between them that nobody has any more.
        machines: whose rows are in the page, by name.
        refused: machines of which nothing in the page was stored, and why.
        anew: machines whose log is another one than before; the earlier one is kept, too.
    """

    rows: int
    missing: int
    machines: tuple[str, ...]
    refused: dict[str, str]
    anew: int


class Journals:
    """The part of a `History` that gives and takes journals.

    Attributes:
        unsent: rows of ours that are too large to be sent.
        refused: (machine, page) pairs of which nothing was stored.
    """

    def __init__(self, history: History, logs: Logs) -> None:
        self.unsent = self.refused = 0
        self._warned: dict[str, None] = {}
        self._history = history
        self._store = history.store
        self._logs = logs

    # -- for others

    async def rows(
        self,
        after: Place = START,
        until: Place | None = None,
        limit: int = 1000,
        *,
        owner: str = "",
        serves: Callable[[str], bool] | None = None,
    ) -> tuple[Sequence[LogRow], bool]:
        """Return rows of all machines of an owner packed as (life, id, bytes), and whether they are the last ones.

        They come in the order in which they were stored, after a place of this store; after one of a store that was
        made earlier, from the first on. There may be fewer than `limit`. What decodes them needs nothing but them.

        Args:
            after: the place (life, id) of the last row that is there already.
            until: the place of the last row that is wanted; None: all there are.
            limit: how many rows, at most.
            owner: of the machines.
            serves: tells whether the machine with this name is for others; None: all are.
        """
        if limit < 1:
            raise QuestionError(f"{limit} rows are none: ask for at least 1")
        answer = await self._history._ask(self._read, owner, after, until, limit, serves)
        return answer.rows, answer.last

    def _read(
        self, owner: str, after: Place, until: Place | None, limit: int, serves: Callable[[str], bool] | None
    ) -> Answer:
        store, life = self._store, self._store.life()
        low = after[1] if after[0] == life else 0
        last = store.last_id()
        if until is not None:
            last = min(last, until[1]) if until[0] == life else last if until[0] > life else 0
        if after[0] > life or low >= last:
            return Answer((), True)
        top = min(last, low + SPAN)
        rows = lots(lambda before, lot: store.owned(owner, low if before is None else before.id, top, lot))
        if serves is not None:
            rows = self._served(rows, serves)
        answer = pack_journal(life, rows, self._look_up, limit, MAX_ANSWER)
        self._logs.note_cut(answer, "the journal")
        self.unsent += len(answer.unsent)
        for problem in answer.unsent:
            name = problem.partition(" of ")[2]
            if name not in self._warned:
                self._warned[name] = None
                logger.warning("%s", problem)
        if not answer.last or (top == last and (answer.rows or serves is None)):
            return answer
        if answer.rows:
            return Answer(answer.rows, False, answer.cut)
        return Answer(((life, top, MARK),), top == last)  # so that these rows need not be looked at again

    def _served(self, rows: Iterable[Row], serves: Callable[[str], bool]) -> Iterator[Row]:
        known: dict[int, bool] = {}
        for row in rows:
            if row.machine_id not in known:
                known[row.machine_id] = serves(self._store.machine(row.machine_id).name)
            if known[row.machine_id]:
                yield row

    def _look_up(self, machine_id: int) -> tuple[MachineRow, Periods]:
        store = self._store
        machine = store.machine(machine_id)
        return machine, [(at, store.recorded_schema(hash)) for at, hash in store.periods_of(machine_id)[1]]

    # -- of others

    async def mark(self, owner: str) -> Mark | None:
        """Return up to where an owner's journal is here; None if nothing of it is."""
        return await self._history._ask(self._store.mark, owner)

    async def known(self, owner: str, names: Collection[str]) -> set[str]:
        """Return those of an owner's machines, of these names, whose logs are here."""
        found = await self._history._ask(self._store.found, owner, names)
        return {name for name, machine in found.items() if machine.pulled}

    async def take(self, owner: str, rows: Sequence[LogRow]) -> Stored:
        """Store rows of somebody else's journal; they are durable when this returns, and the clock is past them.

        They go behind those that are here of each machine; what is here already is left out. The rows of a machine in
        a page are stored or refused as a whole. Where the owner has another database than before, what is here of it
        becomes that of the owner ``earlier log of …``. What was recorded here of such machines under this owner
        becomes that of ``updates of …``.

        Raises:
            LogError: one cannot be told from others, or is ahead of the clock here. Nothing of the page was stored.
            QuestionError: one of the machines is being recorded here, under this owner.
        """
        self._history._alive()
        check_owner(owner)
        if not rows:
            return Stored(0, 0, (), {}, 0)
        try:
            page = read_journal(owner, rows)
            return await self._take(page)
        except LogError:
            self._logs.refused += 1
            raise

    async def _take(self, page: JournalPage) -> Stored:
        owner, store = page.owner, self._store
        for name in page.names:
            if self._history.is_recorded(owner, name):
                raise QuestionError(f"{name} of {owner} is being recorded: stop that recorder before its log is stored")
        self._logs.held_owners[owner] = None
        clock = self._history.clock
        until = clock.now() + clock.max_skew

        def job() -> tuple[list[LogPart], dict[str, str], bool]:
            found = store.found(owner, page.names)
            standings = {name: machine for name, machine in found.items() if machine.pulled}
            parts, refused = judge_journal(page, standings, self._schema, until)
            mark = Mark(*page.place, page.at)
            aside = bool(parts or mark != store.mark(owner)) and store.write_logs(owner, parts, mark)
            return parts, refused, aside

        parts, refused, aside = await self._history.run_job(job)
        self._logs.stored(parts, aside)
        self.refused += len(refused)
        for problem in refused.values():
            logger.warning("%s", problem)
        rows, missing = sum(len(part.rows) for part in parts), sum(part.missing for part in parts)
        return Stored(rows, missing, tuple(page.names), refused, sum(part.anew for part in parts))

    def _schema(self, hash: str) -> RecordedSchema:
        return self._store.recorded_schema(hash)


def goes_on(mark: Mark | None, rows: Sequence[LogRow]) -> bool:
    """Tell whether rows may come behind those up to a mark, where the one at the mark was asked for again.

    If not, their owner went back to an older database, see `History.rewind`. Only an owner that let go of it does not
    have that row any more, and then it has later ones.
    """
    if mark is None or not mark.at:
        return True
    if not rows:
        return False
    if rows[0][:2] != (mark.life, mark.id):
        return True
    try:
        return read_journal("", rows[:1]).at == mark.at
    except LogError:
        return True  # `Journals.take` says what is wrong
