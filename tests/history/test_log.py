"""Logs that go from one history to another: what comes out goes in, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from history import History, HistoryError, LogError, QuestionError, Record, UnknownMachineError
from history.codec import RecordedSchema
from history.log import MAX_ROW, VERSION, Head, LogRow, Packed, Place
from machine import Machine, Schema, State
from tests.history.test_model import KEY, KEYS, OWN, STEPS, Model, Stage, bare

if TYPE_CHECKING:
    from tests.history.conftest import Fresh, Kept, Wall
    from tests.history.conftest import Place as Where

SECOND = 10**9
BEGINNING = 1_360_195_200 * SECOND
SCHEMA = {"A": State(), "B": State(remove="A"), "M": State(multi=True)}


def machine(name: str = "m", schema: Any = None, **more: Any) -> Machine:
    return Machine(SCHEMA if schema is None else schema, id=name, handler_timeout=None, **more)


async def copy(source: History, target: History, name: str, owner: str, limit: int = 200, of: str = "") -> int:
    """Bring a log up to date; return how many rows were new."""
    new, last = 0, False
    while not last:
        rows, last = await source.rows(name, await target.place(name, owner), None, limit, owner=of)
        new += await target.store_rows(owner, name, rows)
    return new


def told(history: History) -> list[Record]:
    """Return all records, without what belongs to the store."""
    return [replace(r, id=0, owner="") for r in history.questions.between()]


async def fill(history: History, steps: int = 10, **more: Any) -> Machine:
    one = machine(**more)
    history.record(one)
    for _ in range(steps):
        one.toggle("A")
    await history.sync()
    return one


# -- out, and in again


async def test_a_log_is_the_same_on_the_other_side(place: Where, fresh: Fresh, kept: Kept, wall: Wall) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        await fill(theirs, tags=("red",))
        assert await ours.place("m", "ann") == (0, 0)
        assert await copy(theirs, ours, "m", "ann", limit=3) == 11
        assert told(ours) == told(theirs)
        assert await ours.place("m", "ann") == (1, 11)
        mine, (its,) = [m for m in await ours.machines() if m.owner == "ann"], await theirs.machines()
        assert mine == [replace(its, id=mine[0].id, owner="ann")]
        assert ours.statistics().pulled == 11


async def test_a_log_passes_through_every_store(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as middle, kept(fresh("memory")) as first, kept(fresh("memory")) as last:
        await fill(first)
        await copy(first, middle, "m", "ann")
        await copy(middle, last, "m", "bob", limit=2, of="ann")
        assert told(last) == told(first)


async def test_rows_are_asked_for_by_their_places(place: Where, kept: Kept) -> None:
    async with kept(place) as history:
        for _ in range(2):
            one = await fill(history, 4)
            one.dispose()
        places = [(epoch, seq) for epoch in (1, 2) for seq in range(1, 6)]

        async def ask(after: Place, until: Place | None, limit: int) -> tuple[list[Place], bool]:
            rows, last = await history.rows("m", after, until, limit)
            return [row[:2] for row in rows], last

        assert await ask((0, 0), None, 99) == (places, True)
        assert await ask((0, 0), None, 10) == (places, True)
        assert await ask((0, 0), None, 9) == (places[:9], False)
        assert await ask((1, 2), (2, 1), 99) == (places[2:6], True)
        assert await ask((1, 2), (2, 1), 2) == (places[2:4], False)
        assert await ask((1, 5), None, 1) == ([(2, 1)], False)
        assert await ask((2, 5), None, 1) == ([], True)
        assert await ask((7, 0), (8, 0), 1) == ([], True)
        with pytest.raises(QuestionError, match="0 rows are none"):
            await history.rows("m", limit=0)


async def test_a_machine_that_was_never_recorded_has_no_log(place: Where, kept: Kept) -> None:
    async with kept(place) as history:
        await fill(history)
        with pytest.raises(UnknownMachineError, match="was recorded here") as caught:
            await history.rows("n")
        assert isinstance(caught.value, LookupError)
        with pytest.raises(UnknownMachineError):
            await history.rows("m", owner="ann")
        assert await history.place("m", "") == (0, 0)  # it is our own


async def test_storing_twice_is_storing_once(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        await fill(theirs)
        rows, _ = await theirs.rows("m")
        assert await ours.store_rows("ann", "m", rows[:7]) == 7
        assert await ours.store_rows("ann", "m", rows[:7]) == 0
        assert await ours.store_rows("ann", "m", rows) == 4
        assert told(ours) == told(theirs)
        assert await ours.store_rows("ann", "m", ()) == 0


async def test_what_was_stored_is_there_after_the_end(lasting: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(fresh("memory")) as theirs:
        one = await fill(theirs)
        async with kept(lasting) as ours:
            await copy(theirs, ours, "m", "ann")
        one.add("A")
        await theirs.sync()
        async with kept(lasting) as ours:
            assert await ours.place("m", "ann") == (1, 11)
            await copy(theirs, ours, "m", "ann")
            assert told(ours) == told(theirs)
            assert ours.clock.last >= ours.questions.machines()[0].last_at


async def test_the_clock_is_past_what_was_stored(fresh: Fresh, kept: Kept, wall: Wall) -> None:
    async with kept(fresh("memory")) as ours, kept(fresh("memory")) as theirs:
        wall.step(5)
        await fill(theirs)
        wall.step(-5)
        await copy(theirs, ours, "m", "ann")
        assert ours.clock.stamp() > theirs.questions.machines()[0].last_at


async def test_who_follows_sees_what_is_stored(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        await fill(theirs)
        seen: list[int] = []
        async with trio.open_nursery() as nursery:

            async def follow() -> None:
                async with aclosing(ours.changes("5m ago")) as changes:
                    async for record in changes:
                        seen.append(record.seq)
                        if len(seen) == 11:
                            return

            nursery.start_soon(follow)
            await trio.testing.wait_all_tasks_blocked()
            await copy(theirs, ours, "m", "ann", limit=4)
        assert seen == list(range(1, 12))


async def test_schemas_come_along_and_change_where_they_did(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        one = await fill(theirs, 3)
        await copy(theirs, ours, "m", "ann")
        assert ours.questions.as_of("m").clock == theirs.questions.as_of("m").clock
        for state in "CD":
            one.set_schema(Schema({**one.schema, state: State()}))
            one.add(state)
        await theirs.sync()
        await copy(theirs, ours, "m", "ann", limit=3)
        assert told(ours) == told(theirs)
        for state in "ACD":
            spans = [[(i.start, i.end) for i in h.questions.intervals("m", state)] for h in (ours, theirs)]
            assert spans[0] == spans[1]
        assert ours.questions.machine("m").states == theirs.questions.machine("m").states


async def test_every_kind_of_row_comes_through(place: Where, fresh: Fresh, kept: Kept) -> None:
    """Wide masks, arguments, causes, refusals, errors, and some states only."""
    wide = {f"S{i}": State() for i in range(80)}
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        one, two = machine("one", wide), machine("two", {**wide, "R": State(require="S79")})
        theirs.record(one, arguments=True, states=["S1", "S70", "S79"])
        theirs.record(two, rejected=True, arguments=True)
        for i in (1, 70, 79, 3):
            one.add(f"S{i}", who="Änn\0", text="x" * 2000, n=i)
            two.add("R", i=[{"a": [i]}])
        two.add_error(ValueError("no"))
        await theirs.sync()
        for name in ("one", "two"):
            await copy(theirs, ours, name, "ann", limit=2)
        assert sorted(map(str, told(ours))) == sorted(map(str, told(theirs)))
        assert sorted(told(ours), key=lambda r: r.at) == told(theirs)
        assert {r.mutation for r in told(ours)} == {"base", "add"}


async def test_what_retention_let_go_there_is_beyond_the_horizon_here(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        one = machine()
        theirs.record(one)
        for _ in range(10):
            theirs.clock._now.step()  # type: ignore[attr-defined]
            one.toggle("A")
        await theirs.sync()
        await theirs.prune(max_rows=3)
        await copy(theirs, ours, "m", "ann")
        assert told(ours) == told(theirs)
        (mine,), (its,) = ours.questions.machines(), theirs.questions.machines()
        assert (mine.first_at, mine.horizon) == (its.first_at, its.horizon)
        assert ours.statistics().pulled_missing == 8
        for history in (ours, theirs):
            with pytest.raises(HistoryError, match="beyond the horizon"):
                history.questions.as_of("m", its.first_at)


async def test_a_gap_is_counted_and_does_not_hide_what_changed_in_it(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        one = machine()
        theirs.record(one)
        one.add("A")
        await theirs.sync()
        await copy(theirs, ours, "m", "ann")
        one.remove("A")  # which nobody will see
        one.add("M")
        one.add("M")
        await theirs.sync()
        await theirs.prune(max_rows=1)
        await copy(theirs, ours, "m", "ann")
        assert ours.statistics().pulled_missing == 2
        assert [r.seq for r in told(ours)] == [1, 2, 5]
        (span,) = ours.questions.intervals("m", "A")
        assert span.end == told(ours)[-1].at
        assert not ours.questions.as_of("m").is_active("A")


async def test_retention_here_is_our_own(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        one = await fill(theirs)
        await copy(theirs, ours, "m", "ann")
        await ours.prune(max_rows=3)
        one.add("M")
        await theirs.sync()
        assert await copy(theirs, ours, "m", "ann") == 1
        assert told(ours) == told(theirs)[-4:]


# -- beside what is recorded here


async def test_updates_that_were_recorded_here_make_room_for_the_log(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        sampled = machine()
        recorder = ours.record(sampled, owner="ann")
        sampled.add("A")
        await ours.sync()
        await fill(theirs)
        rows, _ = await theirs.rows("m")
        with pytest.raises(QuestionError, match="m of ann is being recorded: stop"):
            await ours.store_rows("ann", "m", rows)
        recorder.stop()
        await ours.sync()
        assert ours.questions.as_of(("ann", "m")).active == ("A",)
        await copy(theirs, ours, "m", "ann")
        assert {(m.owner, m.seq) for m in ours.questions.machines()} == {("ann", 11), ("updates of ann", 2)}
        assert [bare(ours.questions.between(machines=[("ann", "m")]))] == [
            [replace(r, owner="ann") for r in told(theirs)]
        ]
        with pytest.raises(QuestionError, match="the log of m of ann is kept here"):
            ours.record(machine(), owner="ann")
        ours.record(sampled, owner="updates of ann")
        await ours.sync()
        assert ours.questions.machine(("updates of ann", "m")).epoch == 2


async def test_our_own_machines_are_not_for_others_to_write(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        await fill(theirs)
        rows, _ = await theirs.rows("m")
        with pytest.raises(QuestionError, match="have no owner"):
            await ours.store_rows("", "m", rows)
        with pytest.raises(QuestionError, match="cannot be stored"):
            await ours.store_rows("a\0", "m", rows)
        assert ours.questions.machines() == []


async def test_a_history_that_is_closed_takes_nothing(fresh: Fresh, kept: Kept) -> None:
    async with kept(fresh("sqlite-file")) as ours:
        pass
    with pytest.raises(HistoryError, match="closed"):
        await ours.store_rows("ann", "m", [])
    with pytest.raises(HistoryError, match="closed"):
        await ours.rows("m")


# -- what is too large


async def test_a_row_that_is_too_large_goes_without_its_arguments(place: Where, fresh: Fresh, kept: Kept) -> None:
    noise = Random(1)
    async with kept(place) as theirs, kept(fresh("memory")) as ours:
        one = machine()
        theirs.record(one, arguments=True)
        for size in (1000, 200_000, 1000):
            one.add("M", noise="".join(noise.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=size)))
        one.add("M", dull="x" * 500_000)
        await theirs.sync()
        await copy(theirs, ours, "m", "ann")
        lengths = [None if r.arguments is None else len(str(r.arguments)) for r in told(ours)]
        assert lengths[1:] == [1013, None, 1013, 500_012]
        assert theirs.statistics().cut_rows >= 1


async def test_a_machine_of_a_great_many_states_goes_through(fresh: Fresh, kept: Kept) -> None:
    schema: dict[str, Any] = {f"StateWithALongName{i}": State(tags=("some", "tags")) for i in range(4000)}
    async with kept(fresh("memory")) as theirs, kept(fresh("memory")) as ours:
        one = machine("m", schema)
        theirs.record(one)
        for i in range(0, 4000, 50):
            one.add(f"StateWithALongName{i}")
        await theirs.sync()
        rows, last = await theirs.rows("m")
        assert not last
        assert max(len(body) for _, _, body in rows) <= MAX_ROW
        await copy(theirs, ours, "m", "ann")
        assert told(ours) == told(theirs)


async def test_a_row_that_cannot_be_sent_says_so(fresh: Fresh, kept: Kept) -> None:
    async with kept(fresh("memory")) as theirs:
        await fill(theirs)
        (schema,) = theirs.store._schemas  # type: ignore[attr-defined]
        noise = Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=150_000)
        body = msgspec.json.encode({"states": ["A"], "schema": {"A": {}, "".join(noise): {}}}).decode()
        theirs.store._schemas[schema] = RecordedSchema.received(body)  # type: ignore[attr-defined]
        with pytest.raises(LogError, match=r"row 1:1 of m has \d+ bytes .* 1 states, .* record fewer states"):
            await theirs.rows("m")


# -- what is wrong


def parts(row: LogRow) -> list[Any]:
    """Return what a row is packed from."""
    return msgspec.msgpack.decode(row[2][1:])  # type: ignore[no-any-return]


def packed(row: LogRow, **changes: Any) -> LogRow:
    """Return a row with some of its parts changed."""
    values = dict(zip(Packed.__struct_fields__, parts(row), strict=True)) | changes
    return (*row[:2], bytes((VERSION,)) + msgspec.msgpack.encode(list(values.values())))


def head(row: LogRow, **changes: Any) -> list[Any]:
    return list((dict(zip(Head.__struct_fields__, parts(row)[-1], strict=True)) | changes).values())


WRONG: dict[str, Any] = {
    "nothing": lambda rows: [(1, 1, b"")],
    "another version": lambda rows: [(1, 1, b"\1" + rows[0][2][1:])],
    "no msgpack": lambda rows: [(1, 1, b"\2\xc1")],
    "cut off": lambda rows: [(1, 1, rows[0][2][:-1])],
    "something behind it": lambda rows: [(1, 1, rows[0][2] + b"\0")],
    "a bomb of lists": lambda rows: [(1, 1, b"\2" + b"\x91" * 50_000)],
    "no schema": lambda rows: rows[1:],
    "out of order": lambda rows: [rows[0], rows[2], rows[1]],
    "twice": lambda rows: [rows[0], rows[0]],
    "an epoch of 0": lambda rows: [(0, 1, rows[0][2])],
    "a number of 0": lambda rows: [(1, 0, rows[0][2])],
    "a number no column holds": lambda rows: [(1, 1 << 63, rows[0][2])],
    "time stands still": lambda rows: [rows[0], packed(rows[1], at=parts(rows[0])[0])],
    "before all time": lambda rows: [packed(rows[0], at=-1)],
    "never": lambda rows: [packed(rows[0], at=0)],
    "from the future": lambda rows: [packed(rows[0], at=BEGINNING + 11 * SECOND)],
    "a moment no column holds": lambda rows: [packed(rows[0], at=1 << 63)],
    "too few ticks": lambda rows: [rows[0], packed(rows[1], ticks=[1, 0, 0])],
    "too many ticks": lambda rows: [packed(rows[0], ticks=[0] * 5)],
    "a negative tick": lambda rows: [packed(rows[0], ticks=[-1, 0, 0, 1])],
    "a tick of text": lambda rows: [packed(rows[0], ticks=["0"] * 4)],
    "ticks that are none": lambda rows: [packed(rows[0], ticks=7)],
    "a time no column holds": lambda rows: [packed(rows[0], ticks=[(1 << 63) - 1] * 4)],
    "ticks that go back": lambda rows: [*rows[:2], packed(rows[2], ticks=[0, 0, 0, 0], time_diff=-1)],
    "time that grows by something else": lambda rows: [rows[0], packed(rows[1], time_diff=7)],
    "a recording that begins with growth": lambda rows: [packed(rows[0], time_diff=1)],
    "states beyond the schema": lambda rows: [packed(rows[0], called=16)],
    "many states beyond the schema": lambda rows: [packed(rows[0], changed=b"\xff" * 100)],
    "a mask of text": lambda rows: [packed(rows[0], called="1")],
    "no kind": lambda rows: [packed(rows[0], mutation=7)],
    "no flag": lambda rows: [packed(rows[0], mutation=64)],
    "a number of a transition that is none": lambda rows: [rows[0], packed(rows[1], tx_id="one:two")],
    "a number that Python would not read": lambda rows: [rows[0], packed(rows[1], tx_id="9" * 5000 + ":1")],
    "a null in a text": lambda rows: [packed(rows[0], source_machine="a\0b")],
    "arguments that are no JSON": lambda rows: [packed(rows[0], arguments=b"{")],
    "no arguments at all": lambda rows: [packed(rows[0], arguments=b"")],
    "arguments without end": lambda rows: [packed(rows[0], arguments=b"[" * 100_000)],
    "arguments as deep as a well": lambda rows: [packed(rows[0], arguments=b"[" * 500 + b"]" * 500)],
    "arguments that are no text": lambda rows: [packed(rows[0], arguments=b'"\xff"')],
    "arguments compressed badly": lambda rows: [packed(rows[0], arguments=b"x\x9cnonsense")],
    "a number that nobody reads": lambda rows: [packed(rows[0], arguments=b"9" * 5000)],
    "a bomb": lambda rows: [packed(rows[0], arguments=bomb(100_000_000))],
    "a bomb of a schema": lambda rows: [packed(rows[0], head=head(rows[0], schema=bomb(100_000_000)))],
    "a head that is none": lambda rows: [packed(rows[0], head=[1, 2, 3])],
    "a first moment before all": lambda rows: [packed(rows[0], head=head(rows[0], first_at=-5))],
    "tags that are none": lambda rows: [packed(rows[0], head=head(rows[0], tags=[1]))],
    "a tag with a null": lambda rows: [packed(rows[0], head=head(rows[0], tags=["\0"]))],
    **{
        f"a schema of {text[:30].decode()}": lambda rows, text=text: [
            packed(rows[0], head=head(rows[0], schema=text), ticks=[0])
        ]
        for text in (
            b"",
            b"7",
            b"[]",
            b"{}",
            b'{"states": "A", "schema": {"A": {}}}',
            b'{"states": [1], "schema": {"1": {}}}',
            b'{"states": ["A"]}',
            b'{"states": ["A"], "schema": []}',
            b'{"states": ["A"], "schema": {"A": 7}}',
            b'{"states": ["A"], "schema": {"A": {"colour": "red"}}}',
            b'{"states": ["A"], "schema": {"A": {"require": "Nothing"}}}',
            b'{"states": ["A"], "schema": {"A": {"add": 7}}}',
            b'{"states": ["A"], "schema": {"B": {}}}',
            b'{"states": [], "schema": {"B": {}}}',
            b'{"states": ["A", "A"], "schema": {"A": {}}}',
            b'{"states": ["A\\u0000"], "schema": {"A\\u0000": {}}}',
            b'{"states": ["\\ud800"], "schema": {"\\ud800": {}}}',
            b'{"states": ' + b"[" * 5000,
        )
    },
}


def bomb(size: int) -> bytes:
    import zlib

    return zlib.compress(b'"' + b"x" * size + b'"')


@pytest.mark.parametrize("what", WRONG)
async def test_a_page_with_a_wrong_row_is_refused_as_a_whole(fresh: Fresh, kept: Kept, wall: Wall, what: str) -> None:
    async with kept(fresh("memory")) as theirs, kept(fresh("memory")) as ours:
        wall.at = BEGINNING
        await fill(theirs)
        rows, _ = await theirs.rows("m")
        with pytest.raises(LogError, match=r"row \d+:\d+ of m of ann is not one: ."):
            await ours.store_rows("ann", "m", WRONG[what](list(rows)))
        assert ours.questions.machines() == []
        assert ours.statistics().refused_pages == 1
        # behind what is there already, too
        await ours.store_rows("ann", "m", rows[:1])
        wrong = [(epoch + 1, seq, body) for epoch, seq, body in WRONG[what](list(rows))]
        if what not in ("an epoch of 0", "a number that nobody reads"):
            with pytest.raises(LogError):
                await ours.store_rows("ann", "m", wrong)
        await copy(theirs, ours, "m", "ann")
        assert told(ours) == told(theirs)


async def test_rows_that_do_not_fit_behind_those_here_are_refused(place: Where, kept: Kept, fresh: Fresh) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        await fill(theirs)
        rows, _ = await theirs.rows("m")
        await ours.store_rows("ann", "m", rows[:5])
        with pytest.raises(LogError, match="the last one that is here"):
            await ours.store_rows("ann", "m", [(2, 1, rows[0][2])])
        later = packed(rows[5], ticks=[0, 0, 0, 0], head=parts(rows[0])[-1])
        with pytest.raises(LogError, match="ticks went back"):
            await ours.store_rows("ann", "m", [later])
        assert ours.statistics().refused_pages == 2
        await copy(theirs, ours, "m", "ann")
        assert told(ours) == told(theirs)


def scramble(data: st.DataObject, rows: Sequence[LogRow]) -> list[LogRow]:
    out = list(rows)
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(out) - 1))
        epoch, seq, body = out[i]
        changed = bytearray(body)
        for _ in range(data.draw(st.integers(1, 4))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        out[i] = (epoch, seq, bytes(changed))
    return out


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
async def test_damaged_rows_are_refused_or_can_be_read(
    fresh: Fresh, kept: Kept, wall: Wall, data: st.DataObject
) -> None:
    wall.at = BEGINNING
    async with kept(fresh("memory")) as theirs, kept(fresh("memory")) as ours:
        one = machine()
        theirs.record(one, arguments=True)
        for i in range(6):
            one.toggle("AM"[i % 2], i=[i])
        await theirs.sync()
        rows, _ = await theirs.rows("m")
        try:
            await ours.store_rows("ann", "m", scramble(data, rows))
        except LogError:
            assert ours.questions.machines() == []
            return
        for record in told(ours):
            ours.questions.as_of("m", record.at)
            ours.questions.cause(record)
            ours.questions.effects(record)
        ours.questions.network()
        (found,) = ours.questions.machines()
        for state in found.states:
            list(ours.questions.intervals("m", state))
        ours.store.recorded_schema(ours.store.machines()[0].schema_hash).schema()


# -- the law


@pytest.mark.parametrize("kind", ["memory", "sqlite-memory", "sqlite-file", "postgresql"])
@settings(max_examples=8, suppress_health_check=list(HealthCheck), deadline=None)
@given(steps=st.lists(STEPS, max_size=60), data=st.data())
async def test_every_question_is_answered_as_at_the_owner(
    fresh: Fresh, kept: Kept, wall: Wall, kind: str, steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    wall.at = BEGINNING
    async with kept(fresh("memory"), batch=7) as theirs, kept(fresh(kind)) as ours:
        model = Model(wall)
        stage = Stage(theirs, model)
        keys = {key: (key[0] or "own", key[1]) for key in KEYS}
        cuts = data.draw(st.lists(st.integers(0, len(steps)), max_size=3))
        top = wall.at
        for i, step in enumerate([*steps, ("step", 0.5)]):
            stage.play(step)
            top = max(top, wall.at)
            if i in cuts or i == len(steps):
                wall.at = top  # stamps of the two may differ by what the clock allows
                await theirs.sync()
                limit = data.draw(st.integers(1, 20))
                for key, (owner, name) in keys.items():
                    await copy(theirs, ours, name, owner, limit, of=key[0])
        assert sorted(bare(ours.questions.between()), key=lambda r: r.at) == [
            replace(r, owner=keys[r.owner, r.machine][0]) for r in model.records
        ]
        stamps = [r.at for r in model.records]
        moment = st.one_of(
            st.builds(int.__add__, st.sampled_from(stamps), st.sampled_from([-1, 0, 0, 1])),
            st.integers(BEGINNING - 5 * SECOND, model.last + 5 * SECOND),
        )
        both = [(theirs.questions, {k: k for k in KEYS}), (ours.questions, keys)]
        for key, state, low, high in data.draw(
            st.lists(st.tuples(KEY, st.sampled_from(OWN), moment, moment), min_size=1, max_size=6)
        ):
            assert answers(*both[0], key, state, low, high) == answers(*both[1], key, state, low, high)
        for at in data.draw(st.lists(moment, min_size=1, max_size=4)):
            cuts_of = [{(m.machine, m.at, m.seq, m.clock) for m in ask.network(at).values()} for ask, _ in both]
            assert cuts_of[0] == cuts_of[1]


def answers(ask: Any, names: Any, key: Any, state: str, low: int, high: int) -> list[Any]:
    """Return what questions about one machine and one window come to, whoever owns it."""
    name = names[key]
    out: list[Any] = []

    def add(question: Any) -> None:
        try:
            out.append(question())
        except QuestionError as error:
            out.append(type(error))

    for at in (low, high):
        add(lambda at=at: replace(ask.as_of(name, at), owner=""))
    add(lambda: [(i.start, i.end, i.began, i.ended) for i in ask.intervals(name, state, low, high)])
    for question in (ask.activated_between, ask.deactivated_between, ask.active_between, ask.inactive_between):
        add(lambda question=question: question(name, state, low, high))
    add(lambda: ask.uptime(state, low, high, [name]))
    add(lambda: [(d.activated, d.deactivated, d.ticks) for d in ask.diff(low, high, [name]).values()])
    records = list(ask.between(machines=[name]))
    add(lambda: [None if (c := ask.cause(r)) is None else (c.machine, c.at) for r in records])
    add(lambda: [[(e.machine, e.at) for e in ask.effects(r)] for r in records])
    add(lambda: replace(ask.machine(name), id=0, owner=""))
    return out
