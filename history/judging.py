"""Which rows that came from somebody else may be stored.

What comes may be anything. So a page is refused as a whole unless each row is one that a store could have written
behind those that are there: places and moments increase, ticks fit the schema and do not go back, texts and masks are
such as a question can read.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from operator import gt

import msgspec

from history.codec import BASE, ERROR, KIND, KINDS, UPDATE, RecordedSchema, decode_ticks, encode_ticks, pack_masks
from history.errors import LifeError, LogError
from history.log import GONE, MAX, START, TX_ID, VERSION, Head, LogPart, LogRow, Number, Packed, Place
from history.received import Schemas, WrongError, check_arguments, check_text, text_of
from history.store import MachineRow
from history.stream import Identity, active_mask
from machine.errors import AsyncMachineError

#: What reading bytes of somebody else raises: `_PLAIN` says what is wrong, of the others the name tells as much.
_PLAIN = (WrongError, msgspec.MsgspecError, AsyncMachineError, ValueError, TypeError, zlib.error)
WRONG = (*_PLAIN, RecursionError, OverflowError, KeyError, AttributeError)

_decode = msgspec.msgpack.Decoder(Packed).decode
_decode_ticks = msgspec.msgpack.Decoder(list[Number]).decode


class AheadError(WrongError):
    """A row is of a moment that has not come: somebody's clock is wrong, and the row will be right after a while."""


def judge(
    identity: tuple[str, str],
    rows: Sequence[LogRow],
    standing: MachineRow | None,
    schema: RecordedSchema | None,
    until: int,
) -> LogPart | None:
    """Return what is to be stored of rows that came from somebody else; None if all of them are there already.

    Args:
        identity: owner and name of the machine.
        rows: as `pack` made them.
        standing: the machine as it is here; None: it is not.
        schema: that of `standing`.
        until: the last moment that a row may be of, ns; later ones come from a broken clock.

    Raises:
        LogError: something is wrong with a row. None of them is to be stored.
        LifeError: they are of another life than those that are here, and the owner is not known to have lost these.
    """
    owner, name = identity
    schemas = Schemas()
    page: Judge | None = None
    for n, (epoch, seq, body) in enumerate(rows):
        try:
            row = _read(body)
            if page is None:
                life = 0 if row.head is None else row.head.life
                if standing is not None and standing.life == GONE:
                    page = Judge(identity, None, None, until, schemas, life, anew=True)
                elif standing is not None and life and standing.life not in (0, life):
                    raise LifeError("it is of another database than the one before")
                else:
                    page = Judge(identity, standing, schema, until, schemas, life)
            page.take(n, (epoch, seq), row)
        except LifeError as error:
            raise LifeError(
                f"row {epoch}:{seq} of {name} of {owner} does not go on with what is here: {error}"
            ) from None
        except WRONG as error:
            raise LogError(f"row {epoch}:{seq} of {name} of {owner} is not one: {said(error)}") from error
    return None if page is None else page.part


def said(error: Exception) -> str:
    """Return what is wrong with a row."""
    return str(error) if isinstance(error, _PLAIN) and not isinstance(error, KeyError) else repr(error)


def check_version(body: bytes, known: int) -> None:
    """Refuse a row that is of another version."""
    if not body or body[0] != known:
        raise WrongError(f"it is of version {body[0] if body else 'none'}, and this program knows {known}")


def _read(body: bytes) -> Packed:
    check_version(body, VERSION)
    return _decode(memoryview(body)[1:])


class Judge:
    """Judges rows of one machine, one after the other, in the light of those before them.

    Args:
        identity, standing, schema, until: see `judge`.
        schemas: of the page.
        life: of all of them; 0: unknown.
        anew: see `LogPart`.

    Attributes:
        part: what may be stored so far.
    """

    def __init__(
        self,
        identity: tuple[str, str],
        standing: MachineRow | None,
        schema: RecordedSchema | None,
        until: int,
        schemas: Schemas,
        life: int,
        *,
        anew: bool = False,
    ) -> None:
        self.part: LogPart | None = None
        self._identity = identity
        self._until = until
        self._schemas = schemas
        self._life = life
        self._anew = anew
        self._standing = standing
        self._before: Place = START  # the last row of this page
        self._at = 0
        self._schema: RecordedSchema | None = None  # that heads of this page gave
        self._head: Head | None = None
        # the row before, in the store or in this page
        self._stored: Place = START if standing is None else (standing.epoch, standing.seq)
        self._stored_at = 0 if standing is None else standing.last_at
        self._stored_schema = schema
        self._ticks = None if standing is None else decode_ticks(standing.ticks)

    def take(self, n: int, place: Place, row: Packed) -> None:
        """Judge the next row, which is the n-th of its page. Raises one of `WRONG`, if it is none."""
        if not (1 <= place[0] <= MAX and 1 <= place[1] <= MAX and place > self._before):
            raise WrongError(f"it comes after {self._before[0]}:{self._before[1]}")
        if row.at <= self._at:
            raise WrongError(f"its moment {row.at} is not after {self._at}")
        if row.at > self._until:
            raise AheadError(f"its moment {row.at} is ahead of the clock here by far")
        self._before, self._at = place, row.at
        if row.head is not None:
            self._schema, self._head = self._read_schema(row.head), row.head
        if self._schema is None or self._head is None:
            raise WrongError("it is the first one, and has no schema")
        ticks = _decode_ticks(row.ticks)
        called, changed = _read_mask(row.called), _read_mask(row.changed)
        _check(row, self._schema, ticks, called | changed)
        if place > self._stored:
            self._add(n, place, row, ticks, called, changed)
        elif place == self._stored and self.part is None and row.at != self._stored_at:
            raise LifeError("another one is here under this number, so its owner went back to an older database")

    def _read_schema(self, head: Head) -> RecordedSchema:
        found = self._schemas.read(head)
        for text in (*head.tags, head.parent):
            check_text(text)
        return found

    def _add(self, n: int, place: Place, row: Packed, ticks: list[int], called: int, changed: int) -> None:
        schema, head = self._schema, self._head
        assert schema is not None
        assert head is not None
        if row.at <= self._stored_at:
            raise WrongError(f"its moment {row.at} is not after {self._stored_at}, the last one that is here")
        total, active, kind = sum(ticks), active_mask(ticks), row.mutation & KIND
        same_schema = self._stored_schema is not None and self._stored_schema.hash == schema.hash
        follows = place == (self._stored[0], self._stored[1] + 1)
        if same_schema and self._ticks is not None:
            if kind not in (BASE, UPDATE) and place[0] == self._stored[0] and any(map(gt, self._ticks, ticks)):
                raise WrongError("its ticks went back")
            if follows and kind != BASE and row.time_diff != total - sum(self._ticks):
                raise WrongError(f"its time grew by something else than {row.time_diff}")
            if kind == BASE or not (follows or place[1] == 1):
                changed |= active ^ active_mask(self._ticks)  # while nobody looked, or in rows that are gone
        part = self.part
        if part is None:
            first_at = min(max(head.first_at, 1), row.at)
            horizon = min(max(head.horizon, first_at), row.at)
            part = self.part = LogPart(Identity(*self._identity, head.tags, head.parent), first_at, horizon)
            part.life, part.anew = self._life, self._anew
            if self._standing is not None:  # it is known since when
                part.first_at, part.horizon = self._standing.first_at, self._standing.horizon
        if not same_schema:
            # of a machine that is new here, it was so before what is known, too
            part.periods.append((row.at if self._stored_schema is not None else part.first_at, schema))
        part.missing += place[1] - 1 - (self._stored[1] if place[0] == self._stored[0] else 0)
        packed = encode_ticks(ticks)
        told = (row.tx_id, row.source_machine, row.source_tx, None if row.arguments is None else text_of(row.arguments))
        masks = pack_masks(called, changed, active)
        part.rows.append((row.at, *place, row.mutation, *masks, total, row.time_diff, packed, *told))
        part.order.append(n)
        if part.identity.tags != head.tags or part.identity.parent != head.parent:
            part.identity = Identity(*self._identity, head.tags, head.parent)
        part.machine_tick, part.schema_hash = head.machine_tick, schema.hash
        part.last_at, (part.epoch, part.seq), part.ticks = row.at, place, packed
        self._stored, self._stored_at, self._stored_schema, self._ticks = place, row.at, schema, ticks


def _check(row: Packed, schema: RecordedSchema, ticks: list[int], named: int) -> None:
    """Refuse what does not fit the schema, and what no question could read."""
    if len(ticks) != len(schema.states):
        raise WrongError(f"it has {len(ticks)} ticks for {len(schema.states)} states")
    if sum(ticks) > MAX or abs(row.time_diff) > MAX:
        raise WrongError("its time is too large")
    if named >> len(schema.states):
        raise WrongError("it names states that its schema does not have")
    if row.mutation & KIND >= len(KINDS) or row.mutation >= 2 * ERROR:
        raise WrongError(f"{row.mutation} is no kind of mutation")
    if row.mutation & KIND == BASE and row.time_diff:
        raise WrongError("it is where a recording began, and its time grew")
    if row.tx_id is not None and not TX_ID.fullmatch(row.tx_id):
        raise WrongError(f"{row.tx_id!r:.80} is no number of a transition")
    for text in (row.source_machine, row.source_tx):
        check_text(text)
    if row.arguments is not None:
        check_arguments(text_of(row.arguments))


def _read_mask(mask: int | bytes) -> int:
    return int.from_bytes(mask, "little") if isinstance(mask, bytes) else mask
