"""Journals that go from one history to another: all machines of an owner at once, in the order of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from history import History, HistoryError, LifeError, LogError, QuestionError, Record
from history.journal import MARK, Entry, pack_journal
from history.journals import Stored, goes_on
from history.log import START, Head, LogRow, Packed, Place
from history.store import Mark
from machine import Machine, Schema, State
from tests.history.test_log import fill, machine
from tests.history.test_model import KEYS, STEPS, Model, Stage, bare

if TYPE_CHECKING:
    from tests.history.conftest import Fresh, Kept, Wall
    from tests.history.conftest import Place as Where

SECOND = 10**9
BEGINNING = 1_360_195_200 * SECOND


async def here(history: History, owner: str) -> Place:
    """Return after which place the journal of an owner goes on."""
    mark = await history.journals.mark(owner)
    return START if mark is None else (mark.life, mark.id)


async def copy(source: History, target: History, owner: str, limit: int = 1000, of: str = "") -> list[Stored]:
    """Bring a journal up to date."""
    out: list[Stored] = []
    last = False
    while not last:
        rows, last = await source.journals.rows(await here(target, owner), None, limit, owner=of)
        if rows:
            out.append(await target.journals.take(owner, rows))
    return out


def told(history: History, owner: str) -> list[Record]:
    """Return the records of an owner in the order in which they came, without what belongs to the store."""
    return [replace(r, id=0, owner="") for r in history.questions.feed(0, 1_000_000) if r.owner == owner]


async def crowd(history: History, count: int, wave: str = "", **more: Any) -> list[Machine]:
    """Record many machines, whose rows are mixed."""
    rng = Random(count)
    machines = [machine(f"{wave}{i}", **more) for i in range(count)]
    for one in machines:
        history.record(one)
    for _ in range(5 * count):
        rng.choice(machines).toggle(rng.choice("ABM"))
    await history.sync()
    return machines


# -- out, and in again


async def test_a_journal_is_the_same_and_in_the_same_order_on_the_other_side(
    place: Where, fresh: Fresh, kept: Kept
) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        await crowd(theirs, 20, tags=("red",))
        assert await here(ours, "ann") == START
        pages = await copy(theirs, ours, "ann", limit=7)
        count = len(told(theirs, ""))
        assert [page.rows for page in pages] == count // 7 * [7] + ([count % 7] if count % 7 else [])
        assert told(ours, "ann") == told(theirs, "")
        assert await here(ours, "ann") == (theirs.store.life(), theirs.store.last_id())
        mine = {m.name: replace(m, id=0, owner="") for m in await ours.machines()}
        assert mine == {m.name: replace(m, id=0) for m in await theirs.machines()}
        assert await copy(theirs, ours, "ann") == []
        await crowd(theirs, 20, "more")
        await copy(theirs, ours, "ann")
        assert told(ours, "ann") == told(theirs, "")
        assert ours.statistics().pulled == len(told(theirs, "")) > count
        assert ours.statistics().pulled_missing == 0


async def test_a_journal_passes_through_every_store(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as middle, kept(fresh("memory")) as first, kept(fresh("memory")) as last:
        await crowd(first, 10)
        await crowd(middle, 10)
        await copy(first, middle, "ann")
        await copy(middle, last, "bob", of="ann")
        assert told(last, "bob") == told(first, "")
        await copy(middle, last, "middle")
        assert told(last, "middle") == told(middle, "")


async def test_what_was_stored_is_there_after_the_end_of_either_side(lasting: Where, fresh: Fresh, kept: Kept) -> None:
    source = fresh("sqlite-file")
    for _ in range(3):
        async with kept(source) as theirs, kept(lasting) as ours:
            before = len(told(ours, "ann"))
            for one in [machine(f"{i}") for i in range(5)]:
                await theirs.restore(one)
                one.toggle("A")
            await theirs.sync()
            pages = await copy(theirs, ours, "ann")
            assert sum(page.rows for page in pages) == len(told(ours, "ann")) - before == 10
            assert told(ours, "ann") == told(theirs, "")
            assert {m.epoch for m in await ours.machines()} == {m.epoch for m in await theirs.machines()}


async def test_pages_have_the_schemas_once_and_explain_themselves(fresh: Fresh, kept: Kept) -> None:
    async with kept(fresh("sqlite-file")) as theirs:
        ones = await crowd(theirs, 100)
        ones[3].set_schema(Schema({**ones[3].schema, "C": State()}))
        ones[3].add("C")
        await theirs.sync()
        for limit in (1000, 50):
            after, last = START, False
            while not last:
                rows, last = await theirs.journals.rows(after, None, limit)
                entries = [msgspec.msgpack.decode(body[1:], type=Entry) for _, _, body in rows]
                heads = [e.row.head for e in entries if e.row.head is not None]
                bodies = [h.schema for h in heads if isinstance(h.schema, bytes)]
                assert len(bodies) == len(set(bodies)) <= 2
                assert {e.machine for e in entries if e.name is not None} == {e.machine for e in entries}
                after = rows[-1][:2]


async def test_pages_are_not_much_larger_than_what_a_peer_sends(fresh: Fresh, kept: Kept) -> None:
    noise = Random(1)
    async with kept(fresh("sqlite-file")) as theirs, kept(fresh("memory")) as ours:
        one, two = machine("one"), machine("two")
        theirs.record(one, arguments=True)
        theirs.record(two)
        for size in (1000, 200_000, 50_000, 50_000, 10):
            one.add("M", noise="".join(noise.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=size)))
            two.add("M")
        await theirs.sync()
        after, last, pages = START, False, 0
        while not last:
            rows, last = await theirs.journals.rows(after)
            assert len(rows) == 1 or sum(len(body) for *_, body in rows) <= 64 * 1024
            await ours.journals.take("ann", rows)
            after, pages = rows[-1][:2], pages + 1
        assert pages == 2
        assert [r.seq for r in told(ours, "ann")] == [r.seq for r in told(theirs, "")]
        assert theirs.statistics().cut_rows == 1


async def test_a_row_that_cannot_be_sent_holds_nobody_up(fresh: Fresh, kept: Kept) -> None:
    noise = Random(1)
    names = ["S" + "".join(noise.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=60)) for _ in range(3000)]
    async with kept(fresh("sqlite-file")) as theirs, kept(fresh("memory")) as ours:
        wide = Machine({name: State() for name in names}, id="wide", handler_timeout=None)
        theirs.record(wide)
        await fill(theirs)
        pages = await copy(theirs, ours, "ann", limit=1)
        assert [m.name for m in ours.questions.machines()] == ["m"]
        assert len(told(ours, "ann")) == 11
        assert theirs.statistics().unsent_rows == 1
        assert [page.rows for page in pages] == [0] + 11 * [1]
        wide.add(names[0])
        await theirs.sync()
        await copy(theirs, ours, "ann")
        assert ours.statistics().pulled_missing == 0
        assert await here(ours, "ann") == (theirs.store.life(), 13)


async def test_what_retention_let_go_there_is_counted_as_missing(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("sqlite-file")) as theirs:
        ones = await crowd(theirs, 10)
        await copy(theirs, ours, "ann", limit=10)
        mark = await ours.journals.mark("ann")
        for one in ones:
            theirs.clock._now.step()  # type: ignore[attr-defined]
            for _ in range(10):
                one.add("M")
        await theirs.sync()
        await theirs.prune(max_rows=3)
        assert mark is not None
        rows, _ = await theirs.journals.rows((mark.life, mark.id - 1))
        assert goes_on(mark, rows)
        pages = await copy(theirs, ours, "ann")
        assert sum(page.missing for page in pages) == 70
        assert ours.statistics().pulled_missing == 70
        assert told(ours, "ann")[-30:] == told(theirs, "")


@pytest.mark.parametrize("how", ["numbered", "owned"])
async def test_a_schema_that_changes_while_rows_are_read_fits_those_rows(
    fresh: Fresh, kept: Kept, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("history.logs.LOT", 4)
    async with kept(fresh("sqlite-file")) as theirs, kept(fresh("memory")) as ours:
        one = await fill(theirs)
        read, letters = getattr(theirs.store, how), iter("CDEFGHIJKLMNOPQRSTUVWXYZ")

        def change() -> None:
            letter = next(letters)
            one.set_schema(Schema({**one.schema, letter: State()}))
            one.add(letter)

        def reading(*args: Any) -> Any:
            rows = read(*args)
            if one.tick("A") < 15:
                trio.from_thread.run_sync(change)
                trio.from_thread.run(theirs.sync)
                one.add("A")
            return rows

        monkeypatch.setattr(theirs.store, how, reading)
        for _ in range(3):
            if how == "numbered":
                rows, _ = await theirs.rows("m", await ours.place("m", "ann"))
                await ours.store_rows("ann", "m", rows)
            else:
                rows, _ = await theirs.journals.rows(await here(ours, "ann"))
                assert not (await ours.journals.take("ann", rows)).refused
        monkeypatch.undo()
        await theirs.sync()
        await copy(theirs, ours, "ann")
        assert told(ours, "ann") == told(theirs, "")
        assert ours.questions.machine("m").states == theirs.questions.machine("m").states


# -- in a store of several


async def test_rows_of_others_are_passed_over(
    place: Where, fresh: Fresh, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history.journals.SPAN", 40)
    async with kept(place) as theirs, kept(fresh("memory")) as ours, kept(fresh("memory")) as third:
        await fill(theirs)
        await crowd(third, 50)
        await copy(third, theirs, "third")
        pages = await copy(theirs, ours, "ann")
        assert len(told(ours, "ann")) == 11
        assert [page.rows for page in pages] == [11] + (len(pages) - 1) * [0]
        assert len(pages) > 4
        assert theirs.store.last_id() - (await here(ours, "ann"))[1] < 40
        await fill(theirs, name="n")
        pages = await copy(theirs, ours, "ann")
        assert sum(page.rows for page in pages) == 11
        assert told(ours, "ann") == told(theirs, "")


async def test_machines_that_are_not_for_others_are_left_out(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as theirs, kept(fresh("memory")) as ours:

        async def pull() -> int:
            rows, last = await theirs.journals.rows(await here(ours, "ann"), serves=lambda name: name != "mine")
            assert last
            return (await ours.journals.take("ann", rows)).rows

        await fill(theirs, name="mine")
        assert await pull() == 0
        assert await here(ours, "ann") == (theirs.store.life(), 11)
        await fill(theirs)
        await fill(theirs, name="mine")
        assert await pull() == 11
        assert [m.name for m in ours.questions.machines()] == ["m"]
        assert await pull() == 0
        assert await here(ours, "ann") == (theirs.store.life(), 33)


async def test_no_row_is_passed_over_where_several_record_into_one_database(postgresql: Where, kept: Kept) -> None:
    rng = Random(3)
    async with (
        kept(postgresql, batch=20) as one,
        kept(postgresql, batch=20) as two,
        kept(replace(postgresql, url="memory:")) as ours,
    ):
        machines = [machine(f"{owner}{i}") for owner in ("one", "two") for i in range(5)]
        for i, m in enumerate(machines):
            (one if i < 5 else two).record(m, owner="one" if i < 5 else "two")

        async def follow(owner: str) -> None:
            count = 0
            while count < 1005:
                count += sum(stored.rows for stored in await copy(one, ours, owner, rng.randrange(1, 100), owner))
                await trio.sleep(0.005)

        with trio.fail_after(300):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow, "one")
                nursery.start_soon(follow, "two")
                for _ in range(200):
                    for m in machines:
                        m.toggle("A")
                    await trio.sleep(0.001)
        for owner in ("one", "two"):
            assert told(ours, owner) == told(one, owner)
        assert ours.statistics().pulled_missing == 0


# -- lives


async def test_another_database_of_the_owner_is_another_life(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours:
        lives = []
        for life in range(3):
            async with kept(fresh("memory")) as theirs:
                await crowd(theirs, 5 + life)
                pages = await copy(theirs, ours, "ann", limit=9)
                assert sum(page.anew for page in pages) == (5 + life - 1 if life else 0)
                lives.append(told(theirs, ""))
                assert sorted(told(ours, "ann"), key=str) == sorted(lives[-1], key=str)
                await crowd(theirs, 3)
        names = {r.machine for r in lives[0]} & {r.machine for r in lives[1]}
        kept_apart = told(ours, "earlier log of ann")
        assert [r for r in kept_apart if r.machine in names] == [r for r in lives[0] if r.machine in names]
        assert {m.owner for m in ours.questions.machines()} == {
            "ann",
            "earlier log of ann",
            "earlier log of ann (2)",
        }
        assert ours.statistics().earlier_logs == 11
        assert ours.statistics().refused_pages == 0


async def test_who_asks_a_new_database_gets_all_of_it(place: Where, kept: Kept) -> None:
    async with kept(place) as history:
        await fill(history)
        life = history.store.life()
        rows, last = await history.journals.rows((life - 1, 500))
        assert (len(rows), last) == (11, True)
        assert await history.journals.rows((life + 1, 0)) == ((), True)
        assert [row[1] for row in rows] == list(range(1, 12))
        rows, last = await history.journals.rows((life, 4), (life, 9))
        assert ([row[1] for row in rows], last) == ([5, 6, 7, 8, 9], True)
        rows, last = await history.journals.rows((life, 4), (life + 1, 0), 3)
        assert ([row[1] for row in rows], last) == ([5, 6, 7], False)
        assert await history.journals.rows((life, 4), (life - 1, 9)) == ((), True)
        with pytest.raises(QuestionError, match="0 rows are none"):
            await history.journals.rows(limit=0)


async def test_a_journal_that_went_back_is_noticed_by_its_last_row(fresh: Fresh, kept: Kept) -> None:
    async with kept(fresh("memory")) as theirs:
        await fill(theirs)
        rows, _ = await theirs.journals.rows()
        life, id, _ = rows[-1]
        at = told(theirs, "")[-1].at
        assert goes_on(None, ())
        assert goes_on(Mark(life, id, 0), ())
        assert not goes_on(Mark(life, id, at), ())
        again, _ = await theirs.journals.rows((life, id - 1))
        assert goes_on(Mark(life, id, at), again)
        assert not goes_on(Mark(life, id, at + 1), again)
        assert goes_on(Mark(life, id - 1, at), again)  # retention let go of it
        assert goes_on(Mark(life, id, at), [(life, id, b"nonsense")])  # which is found out later


async def test_logs_that_their_owner_lost_are_kept_beside_those_that_come(
    lasting: Where, fresh: Fresh, kept: Kept
) -> None:
    """An owner goes back to what it had before its last ten rows, in the same life."""
    async with kept(fresh("memory")) as theirs:
        async with kept(lasting) as ours:
            await crowd(theirs, 4)
            await copy(theirs, ours, "ann")
            before = told(ours, "ann")
            await ours.rewind("ann")
        async with kept(lasting) as ours:
            assert await ours.place("1", "ann") == START
            assert await here(ours, "ann") == (1, 0)
            assert told(ours, "ann") == before
            pages = await copy(theirs, ours, "ann", limit=3)
            assert sum(page.anew for page in pages) == 4
            assert told(ours, "ann") == told(ours, "earlier log of ann") == before
            await crowd(theirs, 4, "more")
            await copy(theirs, ours, "ann")
            assert told(ours, "ann") == told(theirs, "")
            await ours.rewind("ann", "1")
            await copy(theirs, ours, "ann")
            assert await here(ours, "ann") == (theirs.store.life(), theirs.store.last_id())
            rows, _ = await theirs.rows("1")
            assert await ours.store_rows("ann", "1", rows) == len(rows)
            assert ours.statistics().earlier_logs == 5
            assert ours.questions.machine(("earlier log of ann (2)", "1")).seq == len(rows)


async def test_a_log_that_does_not_go_on_with_what_is_here_says_so(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as one, kept(fresh("memory")) as two:
        for theirs in (one, two):
            await fill(theirs)
        rows, _ = await one.rows("m")
        await ours.store_rows("ann", "m", rows)
        others, _ = await two.rows("m")
        with pytest.raises(LifeError, match="m of ann does not go on with what is here: it is of another database"):
            await ours.store_rows("ann", "m", others)
        fork = [replaced(row, at=row_at(row) + 1) for row in rows[-1:]]
        with pytest.raises(LifeError, match="another one is here under this number"):
            await ours.store_rows("ann", "m", [*rows[:-1], *fork])
        assert ours.statistics().refused_pages == 0
        assert len(told(ours, "ann")) == 11
        with pytest.raises(QuestionError, match="have no owner"):
            await ours.rewind("")


def row_at(row: LogRow) -> int:
    return msgspec.msgpack.decode(row[2][1:])[0]  # type: ignore[no-any-return]


def replaced(row: LogRow, *, at: int) -> LogRow:
    """Return a row of a log at another moment."""
    return (*row[:2], row[2][:1] + msgspec.msgpack.encode([at, *msgspec.msgpack.decode(row[2][1:])[1:]]))


# -- beside what is recorded here


async def test_updates_that_were_recorded_here_make_room_for_the_journal(
    place: Where, fresh: Fresh, kept: Kept
) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        sampled = machine()
        recorder = ours.record(sampled, owner="ann")
        sampled.add("A")
        await fill(theirs)
        rows, _ = await theirs.journals.rows()
        with pytest.raises(QuestionError, match="m of ann is being recorded: stop"):
            await ours.journals.take("ann", rows)
        recorder.stop()
        await ours.sync()
        await copy(theirs, ours, "ann")
        assert {(m.owner, m.seq) for m in ours.questions.machines()} == {("ann", 11), ("updates of ann", 2)}
        assert await ours.journals.known("ann", ["m", "n"]) == {"m"}
        assert await ours.journals.known("updates of ann", ["m"]) == set()
        with pytest.raises(QuestionError, match="the log of m of ann is kept here"):
            ours.record(machine(), owner="ann")


async def test_what_a_mirror_has_stored_is_not_stored_twice(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        await crowd(theirs, 5)
        rows, _ = await theirs.rows("3")
        await ours.store_rows("ann", "3", rows)
        pages = await copy(theirs, ours, "ann")
        assert sum(page.rows for page in pages) == len(told(theirs, "")) - len(rows)
        assert await ours.store_rows("ann", "3", rows) == 0
        assert sorted(told(ours, "ann"), key=str) == sorted(told(theirs, ""), key=str)


async def test_rows_of_nobody_and_after_the_end_are_refused(fresh: Fresh, kept: Kept) -> None:
    async with kept(fresh("memory")) as ours, kept(fresh("memory")) as theirs:
        await fill(theirs)
        rows, _ = await theirs.journals.rows()
        for owner, problem in (("", "have no owner"), ("a\0", "cannot be stored")):
            with pytest.raises(QuestionError, match=problem):
                await ours.journals.take(owner, rows)
        assert await ours.journals.take("ann", ()) == Stored(0, 0, (), {}, 0)
    with pytest.raises(HistoryError, match="closed"):
        await ours.journals.take("ann", rows)


# -- what is wrong


def entry(row: LogRow) -> list[Any]:
    return msgspec.msgpack.decode(row[2][1:])  # type: ignore[no-any-return]


def changed(row: LogRow, *, of: type[msgspec.Struct] = Packed, **changes: Any) -> LogRow:
    """Return a row with some of its parts changed: of the entry, of the row in it, or of its head."""
    values = entry(row)
    part = values if of is Entry else values[-1] if of is Packed else values[-1][-1]
    for name, value in changes.items():
        part[of.__struct_fields__.index(name)] = value
    return (*row[:2], MARK + msgspec.msgpack.encode(values))


PAGES: dict[str, Any] = {
    "no bytes": lambda rows: [(*rows[0][:2], b"")],
    "another version": lambda rows: [(*rows[0][:2], b"\2" + rows[0][2][1:])],
    "no msgpack": lambda rows: [(*rows[0][:2], MARK + b"\xc1")],
    "cut off": lambda rows: [(*rows[0][:2], rows[0][2][:-1])],
    "something behind it": lambda rows: [(*rows[0][:2], rows[0][2] + b"\0")],
    "out of order": lambda rows: [rows[0], rows[2], rows[1]],
    "twice": lambda rows: [rows[0], rows[0]],
    "two lives": lambda rows: [rows[0], (rows[1][0] + 1, *rows[1][1:])],
    "a life of 0": lambda rows: [(0, *rows[0][1:])],
    "an id of 0": lambda rows: [(rows[0][0], 0, rows[0][2])],
    "an id no column holds": lambda rows: [(rows[0][0], 1 << 63, rows[0][2])],
    "no name": lambda rows: [changed(rows[0], of=Entry, name=None)],
    "a name with a null": lambda rows: [changed(rows[0], of=Entry, name="\0")],
    "two names": lambda rows: [rows[0], changed(rows[1], of=Entry, machine=entry(rows[0])[0])],
    "a name of two": lambda rows: [rows[0], changed(rows[1], of=Entry, name=entry(rows[0])[3])],
    "a negative number": lambda rows: [changed(rows[0], of=Entry, machine=-1)],
    "from the future": lambda rows: [changed(rows[0], at=BEGINNING + 11 * SECOND)],
    "a moment that is none": lambda rows: [changed(rows[0], at="now")],
}
MACHINES: dict[str, Any] = {
    "no head": lambda row: changed(row, head=None),
    "a place of 0": lambda row: changed(row, of=Entry, epoch=0),
    "no time": lambda row: changed(row, at=0),
    "too few ticks": lambda row: changed(row, ticks=[1]),
    "a growth at the beginning": lambda row: changed(row, time_diff=1),
    "no kind": lambda row: changed(row, mutation=7),
    "arguments that are no JSON": lambda row: changed(row, arguments=b"{"),
    "states beyond the schema": lambda row: changed(row, called=1 << 20),
    "a schema that did not come": lambda row: changed(row, of=Head, schema=7),
    "a tag with a null": lambda row: changed(row, of=Head, tags=["\0"]),
}


@pytest.mark.parametrize("what", PAGES)
async def test_a_page_whose_rows_cannot_be_told_apart_is_refused(
    fresh: Fresh, kept: Kept, wall: Wall, what: str
) -> None:
    async with kept(fresh("memory")) as theirs, kept(fresh("memory")) as ours:
        wall.at = BEGINNING
        await crowd(theirs, 3)
        rows, _ = await theirs.journals.rows()
        with pytest.raises(LogError, match=r"of ann is (not one|too early): ."):
            await ours.journals.take("ann", PAGES[what](list(rows)))
        assert ours.questions.machines() == []
        assert ours.statistics().refused_pages == 1
        assert await ours.journals.mark("ann") is None
        await copy(theirs, ours, "ann")
        assert told(ours, "ann") == told(theirs, "")


@pytest.mark.parametrize("what", MACHINES)
async def test_a_machine_with_a_wrong_row_is_refused_and_no_other(
    place: Where, fresh: Fresh, kept: Kept, wall: Wall, what: str
) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        wall.at = BEGINNING
        ones = await crowd(theirs, 5)
        rows, _ = await theirs.journals.rows()
        wrong = [MACHINES[what](row) if entry(row)[3] == "2" else row for row in rows]
        stored = await ours.journals.take("ann", wrong)
        assert list(stored.refused) == ["2"]
        assert stored.refused["2"].startswith("row ")
        assert told(ours, "ann") == [r for r in told(theirs, "") if r.machine != "2"]
        assert ours.journals.refused == 1
        ones[2].add("M")
        ones[1].add("M")
        await theirs.sync()
        await copy(theirs, ours, "ann")
        assert ours.statistics().pulled_missing == sum(r.machine == "2" for r in told(theirs, "")) - 1
        assert told(ours, "ann")[-2:] == told(theirs, "")[-2:]


async def test_rows_that_do_not_fit_behind_those_here_are_refused(place: Where, fresh: Fresh, kept: Kept) -> None:
    async with kept(place) as ours, kept(fresh("memory")) as theirs:
        await fill(theirs)
        rows, _ = await theirs.journals.rows(limit=5)
        await ours.journals.take("ann", rows)
        rest, _ = await theirs.journals.rows(rows[-1][:2])
        for wrong, problem in (
            (changed(rest[0], ticks=[0, 0, 0, 0]), "ticks went back"),
            (changed(rest[0], of=Entry, epoch=2, seq=1), "grew by"),
            (changed(rows[4], of=Entry, name="m", seq=5), "has no schema"),
        ):
            stored = await ours.journals.take("ann", [wrong])
            assert problem in str(stored.refused) or stored.rows == 1
        old = changed(rest[0], of=Entry, epoch=3, seq=1)
        stored = await ours.journals.take("ann", [changed(old, at=entry(rows[0])[-1][0])])
        assert "the last one that is here" in stored.refused["m"]


def scramble(data: st.DataObject, rows: Sequence[LogRow]) -> list[LogRow]:
    out = list(rows)
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(out) - 1))
        life, id, body = out[i]
        bytes_ = bytearray(body)
        for _ in range(data.draw(st.integers(1, 4))):
            bytes_[data.draw(st.integers(0, len(bytes_) - 1))] = data.draw(st.integers(0, 255))
        out[i] = (life, id, bytes(bytes_))
    return out


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
async def test_damaged_rows_are_refused_or_can_be_read(
    fresh: Fresh, kept: Kept, wall: Wall, data: st.DataObject
) -> None:
    wall.at = BEGINNING
    async with kept(fresh("memory")) as theirs, kept(fresh("memory")) as ours:
        ones = [machine("m"), machine("n")]
        for one in ones:
            theirs.record(one, arguments=True)
        for i in range(8):
            ones[i % 2].toggle("AM"[i // 2 % 2], i=[i])
        await theirs.sync()
        rows, _ = await theirs.journals.rows()
        try:
            await ours.journals.take("ann", scramble(data, rows))
        except LogError:
            assert ours.questions.machines() == []
            return
        for record in told(ours, "ann"):
            ours.questions.as_of(record.machine, record.at)
            ours.questions.effects(record)
        ours.questions.network()
        for found in ours.questions.machines():
            for state in found.states:
                list(ours.questions.intervals(found.name, state))


# -- the law


@pytest.mark.parametrize("kind", ["memory", "sqlite-file", "postgresql"])
@settings(max_examples=8, suppress_health_check=list(HealthCheck), deadline=None)
@given(steps=st.lists(STEPS, max_size=60), data=st.data())
async def test_whatever_was_recorded_comes_over(
    fresh: Fresh, kept: Kept, wall: Wall, kind: str, steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    wall.at = BEGINNING
    async with kept(fresh("memory"), batch=7) as theirs, kept(fresh(kind)) as ours:
        model = Model(wall)
        stage = Stage(theirs, model)
        owners = {key[0]: key[0] or "own" for key in KEYS}
        cuts = data.draw(st.lists(st.integers(0, len(steps)), max_size=3))
        top = wall.at
        for i, step in enumerate([*steps, ("step", 0.5)]):
            stage.play(step)
            top = max(top, wall.at)
            if i in cuts or i == len(steps):
                wall.at = top  # stamps of the two may differ by what the clock allows
                await theirs.sync()
                for of, owner in owners.items():
                    await copy(theirs, ours, owner, data.draw(st.integers(1, 20)), of)
        assert sorted(bare(ours.questions.between()), key=lambda r: r.at) == [
            replace(r, owner=owners[r.owner]) for r in model.records
        ]
        assert ours.journals.refused == ours.statistics().pulled_missing == 0


def test_packing_nothing_is_the_end() -> None:
    answer = pack_journal(1, [], lambda id: pytest.fail("there is no machine"), 10, 10)
    assert (answer.rows, answer.last) == ((), True)
