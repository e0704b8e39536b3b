"""The journal of an owner as bytes: the rows of all its machines, in the order in which its store learned of them.

A row's place is (life, id): which store it is, see `Store.life`, and the row's id there; so places grow, within a store
and from one to that which took its place. The bytes are a version (u8) and a msgpack array, see `Entry`. A page
explains itself: the first row of a machine in it has the machine's name and head, and of several machines with the same
schema only the first has that. A version alone is a mark: up to here there is nothing more that can be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from history.codec import RecordedSchema, Row
from history.errors import LogError
from history.judging import WRONG, AheadError, Judge, check_version, said
from history.log import MAX, MAX_ROW, LogPart, LogRow, Number, Packed, Place
from history.packing import Answer, Periods, encode, make_head, pack_row, schema_at, squeezed, too_large
from history.received import Schemas, WrongError, check_text
from history.store import MachineRow

VERSION = 1
MARK = bytes((VERSION,))
PLACE = 13  # bytes that a place and a length have on the way


class Entry(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """A row of a journal. ``machine``: its number there; ``name``: with the first row of a machine in a page."""

    machine: Number
    epoch: Number
    seq: Number
    name: str | None
    row: Packed


_decode = msgspec.msgpack.Decoder(Entry).decode


def pack_journal(
    life: int, rows: Iterable[Row], look_up: Callable[[int], tuple[MachineRow, Periods]], limit: int, size: int
) -> Answer:
    """Return rows of many machines packed: at most `limit` of them, and of `size` bytes, but at least one.

    Arguments without which a row is small enough are left out of it. A row that is too large all the same becomes a
    mark, so that it does not hold up the others.

    Args:
        life: of the store.
        rows: by id.
        look_up: returns a machine, and from when on which schema it had.
        limit, size: see above.
    """
    out: list[LogRow] = []
    cut = total = 0
    unsent: list[str] = []
    machines: dict[int, tuple[MachineRow, Periods, list[int]]] = {}
    told: dict[int, str] = {}  # the schema that each machine has so far, by hash
    numbers: dict[str, int] = {}  # of schemas
    for row in rows:
        if len(out) == limit:
            return Answer(tuple(out), False, cut, tuple(unsent))
        found = machines.get(row.machine_id)
        if found is None:
            machine, periods = look_up(row.machine_id)
            found = machines[row.machine_id] = machine, periods, [at for at, _ in periods]
        machine, periods, starts = found
        schema = schema_at(starts, periods, row.at)
        known = told.get(row.machine_id)
        head = None
        if known != schema.hash:
            number = numbers.get(schema.hash)
            head = make_head(machine, 0, squeezed(schema.body) if number is None else number)
        name = machine.name if known is None else None
        body = MARK + encode(Entry(row.machine_id, row.epoch, row.seq, name, pack_row(row, head, row.arguments)))
        is_cut = len(body) > MAX_ROW and row.arguments is not None
        if is_cut:
            body = MARK + encode(Entry(row.machine_id, row.epoch, row.seq, name, pack_row(row, head, None)))
        if len(body) > MAX_ROW:
            unsent.append(too_large(machine, row, len(body), schema))
            body, is_cut = MARK, False
        total += len(body) + PLACE
        if out and total > size:
            if body is MARK:
                unsent.pop()
            return Answer(tuple(out), False, cut, tuple(unsent))
        cut += is_cut
        out.append((life, row.id, body))
        if body is not MARK and head is not None:
            told[row.machine_id] = schema.hash
            numbers.setdefault(schema.hash, len(numbers))
    return Answer(tuple(out), True, cut, tuple(unsent))


@dataclass(slots=True)
class JournalPage:
    """Rows of a journal that came from somebody else, as far as they can be told apart.

    Attributes:
        place: of the last one.
        at: its moment; 0: it is a mark.
        entries: each with the name of its machine.
        names: of all machines, in the order in which they came.
    """

    owner: str
    place: Place
    at: int = 0
    entries: list[tuple[str, Entry]] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)


def read_journal(owner: str, rows: Sequence[LogRow]) -> JournalPage:
    """Return rows that came from somebody else, told apart. There is at least one.

    Raises:
        LogError: one cannot be told from others. None of them is to be stored.
    """
    page = JournalPage(owner, rows[-1][:2])
    names: dict[int, str] = {}
    life, before = rows[0][0], 0
    for number, id, body in rows:
        try:
            if not (number == life and 1 <= life <= MAX and before < id <= MAX):
                raise WrongError(f"it comes after {life}:{before}")
            check_version(body, VERSION)
            before, page.at = id, 0
            if body == MARK:
                continue
            entry = _decode(memoryview(body)[1:])
            if entry.name is not None and entry.machine not in names:
                check_text(entry.name)
                if entry.name in page.names:
                    raise WrongError(f"{entry.name!r:.80} is the name of two machines")
                names[entry.machine] = entry.name
                page.names[entry.name] = None
            name = names.get(entry.machine)
            if name is None or entry.name not in (None, name):
                raise WrongError(f"machine {entry.machine} has no name, or two of them")
            page.entries.append((name, entry))
            page.at = entry.row.at
        except WRONG as error:
            raise LogError(f"row {number}:{id} of the journal of {owner} is not one: {said(error)}") from error
    return page


def judge_journal(
    page: JournalPage,
    standings: Mapping[str, MachineRow],
    read_schema: Callable[[str], RecordedSchema],
    until: int,
) -> tuple[list[LogPart], dict[str, str]]:
    """Return what is to be stored of a page, and of which machines nothing is, and why not.

    The rows of a machine are stored or refused as a whole, and those of one are no reason to refuse those of another.

    Args:
        page: as it was read.
        standings: the machines as they are here, by name, as far as they came from logs.
        read_schema: returns one that is here, by its hash.
        until: see `judge`.

    Raises:
        LogError: a row is ahead of the clock here; none of the page is to be stored now.
    """
    life = page.place[0]
    schemas = Schemas()
    judges: dict[str, Judge] = {}
    refused: dict[str, str] = {}
    for n, (name, entry) in enumerate(page.entries):
        head = entry.row.head
        try:
            if name in refused:
                if head is not None:
                    schemas.read(head)  # others may rely on it
                continue
            judge = judges.get(name)
            if judge is None:
                key, standing = (page.owner, name), standings.get(name)
                if standing is not None and standing.life not in (0, life):
                    judge = Judge(key, None, None, until, schemas, life, anew=True)
                else:
                    schema = None if standing is None else read_schema(standing.schema_hash)
                    judge = Judge(key, standing, schema, until, schemas, life)
                judges[name] = judge
            judge.take(n, (entry.epoch, entry.seq), entry.row)
        except AheadError as error:
            raise LogError(f"row {entry.epoch}:{entry.seq} of {name} of {page.owner} is too early: {error}") from error
        except WRONG as error:
            where = f"row {entry.epoch}:{entry.seq} of {name} of {page.owner}"
            refused.setdefault(name, f"{where} is not one: {said(error)}")
    parts = [judge.part for name, judge in judges.items() if judge.part is not None and name not in refused]
    return parts, refused
