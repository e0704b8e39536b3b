"""The questions, one by one, with answers that were worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from history import (
    Diff,
    History,
    LogicalTime,
    QuestionError,
    Questions,
    Record,
    UnknownMachineError,
    open_store,
)
from machine import Event, Machine, State, bind_state

if TYPE_CHECKING:
    from tests.history.conftest import Kept, Place, Wall

SECOND = 10**9
NOON = int(datetime(2013, 2, 7, 12, tzinfo=UTC).timestamp()) * SECOND


@pytest.fixture
def wall(wall: Wall) -> Wall:
    """Begin at noon."""
    wall.at = NOON
    return wall


def build(id: str = "lamp", states: Sequence[str] = ("On", "Broken"), **options: Any) -> Machine:
    return Machine({n: State() for n in states}, id=id, handler_timeout=None, **options)


def play(machine: Machine, wall: Wall, script: str) -> None:
    """Carry out ``+On -On =Broken .``, a second apart each; a dot lets a second pass."""
    for word in script.split():
        wall.step()
        if word != ".":
            call = {"+": machine.add, "-": machine.remove, "=": machine.set}[word[0]]
            call(*filter(None, word[1:].split(",")))


def seconds(at: int | None) -> float | None:
    """Return a moment as seconds after noon."""
    return None if at is None else (at - NOON) / SECOND


def spans(found: Sequence[Any]) -> list[tuple[float | None, float | None, bool, bool]]:
    return [(seconds(i.start), seconds(i.end), i.began, i.ended) for i in found]


async def listed(history: History, *args: Any, **question: Any) -> list[float | None]:
    """Return the moments of the records of a question, but for the bases."""
    return [seconds(r.at) async for r in history.between(*args, **question) if r.mutation != "base"]


# -- as of


async def test_as_of_a_wall_time(place: Place, kept: Kept, wall: Wall) -> None:
    lamp = build()
    async with kept(place) as history:
        history.record(lamp)
        play(lamp, wall, "+On -On +Broken +On")
        await history.sync()
        expected = [(), ("On",), (), ("Broken",), ("On", "Broken"), ("On", "Broken")]
        for second, active in enumerate(expected):
            for at in (NOON + second * SECOND, NOON + (second + 1) * SECOND - 1):
                moment = await history.as_of("lamp", at)
                assert moment.active == active
                assert (moment.asked, moment.at) == (at, NOON + min(second, 4) * SECOND)
        assert (await history.as_of("lamp", datetime(2013, 2, 7, 12, 0, 1, tzinfo=UTC))).active == ("On",)
        assert (await history.as_of("lamp", "2013-02-07T12:00:03.5Z")).active == ("Broken",)
        assert (await history.as_of("lamp", "2s ago")).active == ()
        assert (await history.as_of("lamp", timedelta(seconds=1))).active == ("Broken",)
        assert (await history.as_of("lamp", "now")).active == ("On", "Broken")
        assert (await history.as_of("lamp")).is_active("On", "Broken")
        assert str(await history.as_of("lamp")) == "lamp (On:3 Broken:1)"


async def test_as_of_a_machine_time(place: Place, kept: Kept, wall: Wall) -> None:
    lamp = build()
    async with kept(place) as history:
        history.record(lamp)
        play(lamp, wall, "+On,Broken -On . . +On -Broken,On")  # sums 2 3 4 6
        await history.sync()
        for clock, second in {0: 0, 1: 1, 2: 1, 3: 2, 4: 5, 5: 6, 6: 6}.items():
            for when in (f"@{clock}", LogicalTime(clock), LogicalTime(clock, 1)):
                assert seconds((await history.as_of("lamp", when)).at) == second
        with pytest.raises(QuestionError, match="lamp has not been at @7: it reached 6 in epoch 1"):
            await history.as_of("lamp", "@7")
        with pytest.raises(QuestionError, match="lamp has not been at @1 in epoch 2"):
            await history.as_of("lamp", LogicalTime(1, 2))


async def test_a_machine_time_in_a_long_history_is_found_by_bisection(place: Place, kept: Kept, wall: Wall) -> None:
    lamp = build()
    async with kept(place) as history:
        history.record(lamp)
        for i in range(300):
            wall.step(i * i % 17)
            lamp.toggle("On")
        await history.sync()
        stamps = {r.time_sum: r.at async for r in history.between()}
        for clock in (0, 1, 2, 77, 150, 299, 300):
            assert (await history.as_of("lamp", LogicalTime(clock))).at == stamps[clock]


async def test_machine_times_of_several_lives(place: Place, kept: Kept, wall: Wall) -> None:
    async with kept(place) as history:
        for script in ("+On -On +On -On", "+On", "+On -On +On -On +On -On"):
            lamp = build()
            recorder = history.record(lamp)
            play(lamp, wall, script)
            recorder.stop()
            wall.step()
        await history.sync()

        async def when(clock: int, epoch: int | None = None) -> float | None:
            return seconds((await history.as_of("lamp", LogicalTime(clock, epoch))).at)

        assert [await when(n, 1) for n in range(5)] == [0, 1, 2, 3, 4]
        assert [await when(n, 2) for n in range(2)] == [5, 6]
        assert [await when(n, 3) for n in range(7)] == [7, 8, 9, 10, 11, 12, 13]
        assert [await when(n) for n in range(7)] == [0, 1, 2, 3, 4, 12, 13], "when it was first reached"
        for clock, epoch in ((2, 2), (5, 1), (1, 4)):
            with pytest.raises(QuestionError, match=f"lamp has not been at @{clock} in epoch {epoch}"):
                await when(clock, epoch)
        with pytest.raises(QuestionError, match="lamp has not been at @7"):
            await when(7)


async def test_a_moment_before_the_first(place: Place, kept: Kept, wall: Wall) -> None:
    async with kept(place) as history:
        history.record(build())
        await history.sync()
        with pytest.raises(QuestionError) as caught:
            await history.as_of("lamp", NOON - 1)
        assert str(caught.value) == (
            "lamp was not known yet at 2013-02-07T11:59:59.999999999Z: it was recorded from 2013-02-07T12:00:00Z on"
        )


async def test_names_that_are_unknown(place: Place, kept: Kept, wall: Wall) -> None:
    async with kept(place) as history:
        with pytest.raises(UnknownMachineError, match="no machine 'lamp' was recorded here; there are none"):
            await history.as_of("lamp")
        lamp = build()
        history.record(lamp)
        play(lamp, wall, "+On")
        await history.sync()
        with pytest.raises(LookupError, match="no machine 'lmap' was recorded here — did you mean 'lamp'"):
            await history.as_of("lmap")
        questions: list[Any] = [
            lambda: history.intervals("lamp", "Onn"),
            lambda: history.activated_between("lamp", "Onn", NOON),
            lambda: history.deactivated_between("lamp", "Onn", NOON),
            lambda: history.active_between("lamp", "Onn", NOON),
            lambda: history.inactive_between("lamp", "Onn", NOON),
            lambda: history.uptime("Onn", NOON),
            *(
                partial(history.page, **dict[str, Any]({f: "Onn"}))
                for f in ("called", "changed", "activated", "deactivated")
            ),
        ]
        for question in questions:
            with pytest.raises(QuestionError, match=r"'Onn'.* — did you mean 'On'"):
                await question()
        with pytest.raises(QuestionError, match="'ad' is no kind of mutation — did you mean 'add'"):
            await history.page(mutation="ad")
        with pytest.raises(QuestionError, match="a page of 0 records is empty"):
            await history.page(0)
        with pytest.raises(QuestionError, match="@3 is a time of one machine: ask about one"):
            await history.network("@3")


async def test_who_reads_beside_the_writer_learns_of_new_machines_and_states(
    lasting: Place, kept: Kept, wall: Wall
) -> None:
    lamp = build()
    async with kept(lasting) as history:
        history.record(lamp)
        play(lamp, wall, "+On")
        await history.sync()
        store = open_store(lasting.url)
        store.open()
        try:
            ask = Questions(store, wall)
            assert ask.as_of("lamp").active == ("On",)
            lamp.verify_states(["Exception", "Broken", "On"])
            lamp.set_schema({**lamp.schema, "Hot": State()})
            play(lamp, wall, "+Hot")
            door = build("door", ["Open"])
            history.record(door)
            play(door, wall, "+Open")
            await history.sync()
            assert ask.as_of("lamp").active == ("On", "Hot")
            assert ask.as_of("door").active == ("Open",)
            assert [r.activated for r in ask.between(mutation="add")] == [("On",), ("Hot",), ("Open",)]
        finally:
            store.close()


# -- several machines


async def test_a_name_alone_is_the_machine_and_not_what_others_saw_of_it(place: Place, kept: Kept, wall: Wall) -> None:
    lamp, seen = build(), build()
    async with kept(place) as history:
        history.record(lamp, owner="ann")
        history.record(seen, owner="updates of ann by bob")
        play(lamp, wall, "+On")
        await history.sync()
        assert (await history.as_of("lamp")).owner == "ann"
        network = await history.network()
        assert {k: m.active for k, m in network.items()} == {"lamp": ("On",), "updates of ann by bob/lamp": ()}


async def test_machines_of_the_same_name_and_different_owners(place: Place, kept: Kept, wall: Wall) -> None:
    anns, bobs = build(), build()
    async with kept(place) as history:
        history.record(anns, owner="ann")
        history.record(bobs, owner="bob")
        play(anns, wall, "+On")
        play(bobs, wall, "+Broken")
        await history.sync()
        assert (await history.as_of(("ann", "lamp"))).active == ("On",)
        assert (await history.as_of("bob/lamp")).active == ("Broken",)
        with pytest.raises(QuestionError, match="several owners: name one of 'ann/lamp', 'bob/lamp'"):
            await history.as_of("lamp")
        with pytest.raises(UnknownMachineError, match="eve"):
            await history.as_of(("eve", "lamp"))
        network = await history.network()
        assert {k: m.active for k, m in network.items()} == {"ann/lamp": ("On",), "bob/lamp": ("Broken",)}
        assert set(await history.network(machines=[("ann", "lamp")])) == {"ann/lamp"}
        assert await listed(history) == [1, 2]
        assert await listed(history, machines=[("bob", "lamp")]) == [2]
        assert await listed(history, machines="ann/lamp") == [1]
        assert [m.owner for m in await history.machines()] == ["ann", "bob"]
        assert await history.uptime("On", NOON + SECOND, machines=["ann/lamp"]) == 1
        assert {k: d.activated for k, d in (await history.diff(NOON)).items()} == {
            "ann/lamp": ("On",),
            "bob/lamp": ("Broken",),
        }


async def test_the_whole_network(place: Place, kept: Kept, wall: Wall) -> None:
    async with kept(place) as history:
        assert dict(await history.network()) == {}
        lamps = [build(f"lamp{i}") for i in range(5)]
        for lamp in lamps:
            history.record(lamp)
            play(lamp, wall, "+On")
        await history.sync()
        for second in range(6):
            network = await history.network(NOON + second * SECOND)
            # the next one is known right after the last one was switched on: no two stamps are the same
            assert list(network) == [f"lamp{i}" for i in range(max(second, 1))]
            assert network.active("On") == tuple(f"lamp{i}" for i in range(second))
        some = await history.network("now", ["lamp3", "lamp1"])
        assert set(some) == {"lamp1", "lamp3"}
        assert set(await history.network(machines="lamp1")) == {"lamp1"}
        assert some.active("Nothing") == ()
        assert repr(some) == "<Network of 2 machines at 2013-02-07T12:00:05Z>"
        with pytest.raises(UnknownMachineError, match="did you mean"):
            await history.network(machines=["lamp9"])


async def test_what_became_of_them(place: Place, kept: Kept, wall: Wall) -> None:
    async with kept(place) as history:
        one, two, idle = build("one"), build("two"), build("idle")
        history.record(one)
        history.record(idle)
        play(one, wall, "+On")
        history.record(two)
        play(one, wall, "-On +Broken")
        play(two, wall, "+On")
        await history.sync()
        diffs = await history.diff(NOON + 1, NOON + 3 * SECOND)
        assert set(diffs) == {"one", "two"}
        assert (diffs["one"].activated, diffs["one"].deactivated) == (("Broken",), ())
        assert diffs["one"].ticks == {"On": 2, "Broken": 1}
        assert diffs["two"].before is None
        later = await history.diff(NOON + SECOND, machines=["one", "idle"])
        assert isinstance(later["one"], Diff)
        assert (later["one"].activated, later["one"].deactivated) == (("Broken",), ("On",))
        assert set(later) == {"one"}
        assert await history.diff("now") == {}
        assert (await history.diff(NOON + 3 * SECOND))["two"].activated == ("On",)


# -- between


async def test_a_window_is_open_at_its_beginning_and_closed_at_its_end(place: Place, kept: Kept, wall: Wall) -> None:
    lamp = build()
    async with kept(place) as history:
        history.record(lamp)
        play(lamp, wall, "+On -On +On -On")
        await history.sync()
        assert await listed(history) == [1, 2, 3, 4]
        assert await listed(history, NOON + SECOND, NOON + 3 * SECOND) == [2, 3]
        assert await listed(history, NOON + SECOND - 1, NOON + 3 * SECOND - 1) == [1, 2]
        assert await listed(history, NOON + SECOND, NOON + SECOND) == []
        assert await listed(history, NOON + 3 * SECOND, NOON + SECOND) == []
        assert await listed(history, "@1", "@3", machines="lamp") == [2, 3]
        assert await listed(history, "2s ago") == [3, 4]
        assert await listed(history, newest_first=True) == [4, 3, 2, 1]


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
    ({"called": "A"}, [1, 4, 6, 7]),
    ({"called": ["A", "B"]}, [1, 2, 4, 6, 7]),
    ({"changed": "B"}, [2, 4, 6]),
    ({"changed": ["A", "C"]}, [1, 3, 4, 5, 6, 7]),
    ({"activated": "A"}, [1, 6]),
    ({"activated": ["A", "B"]}, [6]),
    ({"deactivated": "A"}, [4, 7]),
    ({"deactivated": ["A", "B"]}, [4]),
    ({"activated": "C", "deactivated": "A"}, []),
    ({"mutation": "set"}, [5]),
    ({"mutation": ["add", "set"]}, [1, 2, 3, 5, 6, 8]),
    ({"mutation": "update"}, []),
    ({"called": "A", "mutation": "remove"}, [4, 7]),
    ({"called": "C", "changed": "C"}, [3]),
]


async def test_filters(place: Place, kept: Kept, wall: Wall) -> None:
    machine = Machine({"A": State(), "B": State(), "C": State(), "M": State(multi=True)}, id="m")
    async with kept(place) as history:
        history.record(machine)
        play(machine, wall, "+A +B +C -A,B =M +A,B -A +M")
        await history.sync()
        for question, expected in FILTERS:
            assert await listed(history, **question) == expected, question
            assert await listed(history, newest_first=True, **question) == expected[::-1], question


async def test_by_cause_and_by_machine(place: Place, kept: Kept, wall: Wall) -> None:
    one, two, three = build("one"), build("two"), build("three")
    bind_state(one, "On", two, "Broken")
    async with kept(place) as history:
        for m in (one, two, three):
            history.record(m)
        play(one, wall, "+On")
        play(two, wall, "+On")
        play(three, wall, "+On")
        await history.sync()
        caused = [r async for r in history.between(source="one")]
        assert [(r.machine, r.called) for r in caused] == [("two", ("Broken",))]
        assert await listed(history, source="two") == []
        assert await listed(history, machines=["one", "three"]) == [1, 3]
        assert await listed(history, machines=["three", "one"], newest_first=True) == [3, 1]
        assert await listed(history, machines=[]) == []


async def test_machines_whose_states_differ_are_filtered_each_by_its_own(place: Place, kept: Kept, wall: Wall) -> None:
    lamp, door = build(), build("door", ["Open", "On"])
    async with kept(place) as history:
        history.record(lamp)
        history.record(door)
        play(lamp, wall, "+On +Broken")
        play(door, wall, "+Open +On")
        await history.sync()
        assert await listed(history, activated="On") == [1, 4]
        assert await listed(history, activated="Open") == [3]
        assert await listed(history, changed=["Open", "Broken"]) == [2, 3]
        assert await listed(history, activated=["Open", "Broken"]) == []


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages(place: Place, kept: Kept, wall: Wall, newest_first: bool) -> None:
    lamps = [build(f"lamp{i}") for i in range(3)]
    async with kept(place) as history:
        for lamp in lamps:
            history.record(lamp)
        for i in range(40):
            wall.step(i % 2)
            lamps[i % 3].toggle("On")
        await history.sync()
        whole = [r async for r in history.between(newest_first=newest_first)]
        assert len(whole) == 43
        for size in (1, 2, 7, 42, 43, 44, 100):
            got: list[Record] = []
            after = None
            while True:
                page = await history.page(size, newest_first=newest_first, after=after)
                got += page.records
                if (after := page.next) is None:
                    break
                assert len(page.records) == size
            assert got == whole


async def test_a_page_stays_where_it_is_while_more_comes_in(place: Place, kept: Kept, wall: Wall) -> None:
    lamp = build()
    async with kept(place) as history:
        history.record(lamp)
        play(lamp, wall, "+On -On +On -On +On -On")
        await history.sync()
        first = await history.page(3, newest_first=True)
        play(lamp, wall, "+On -On")
        await history.sync()
        second = await history.page(3, newest_first=True, after=first.next)
        assert [seconds(r.at) for r in first.records + second.records] == [6, 5, 4, 3, 2, 1]


async def test_more_than_one_chunk(place: Place, kept: Kept, wall: Wall) -> None:
    lamp = build()
    async with kept(place) as history:
        history.record(lamp)
        for _ in range(6000):
            lamp.toggle("On")
        await history.sync()
        forth = [r.seq async for r in history.between()]
        back = [r.seq async for r in history.between(newest_first=True)]
        assert forth == back[::-1] == list(range(1, 6002))
        assert [r.seq async for r in history.between(activated="On")] == list(range(2, 6002, 2))
        assert len(await history.intervals("lamp", "On")) == 3000


# -- intervals, and what is told from them


async def test_intervals_are_cut_at_their_window(place: Place, kept: Kept, wall: Wall) -> None:
    lamp = build()
    async with kept(place) as history:
        history.record(lamp)
        play(lamp, wall, ". +On . . -On . +On . -On +On .")  # 2-5 7-9 10-
        await history.sync()

        async def on(t1: float | None = None, t2: float | None = None) -> Any:
            window = [None if t is None else NOON + round(t * SECOND) for t in (t1, t2)]
            return spans(await history.intervals("lamp", "On", *window))

        assert await on() == [(2, 5, True, True), (7, 9, True, True), (10, None, True, False)]
        assert await on(3, 4) == [(3, 4, False, False)], "an activity that spans the whole window"
        assert await on(2, 5) == [(2, 5, False, True)]
        assert await on(1, 5) == [(2, 5, True, True)]
        assert await on(0, 2) == [(2, 2, True, False)]
        assert await on(5, 7) == [(7, 7, True, False)]
        assert await on(5, 6.5) == []
        assert await on(4, 8) == [(4, 5, False, True), (7, 8, True, False)]
        assert await on(10.5) == [(10.5, None, False, False)]
        assert await on(None, 1) == []
        assert await on(-5, 3) == [(2, 3, True, False)]


async def test_what_was_on_when_recording_began_is_on(place: Place, kept: Kept, wall: Wall) -> None:
    lamp = build()
    lamp.add("On")
    async with kept(place) as history:
        history.record(lamp)
        play(lamp, wall, ". . -On")
        await history.sync()
        assert spans(await history.intervals("lamp", "On")) == [(0, 3, False, True)]
        assert await history.uptime("On", NOON - 100 * SECOND, NOON + 6 * SECOND) == 0.5


async def test_a_restart_ends_what_it_lost(place: Place, kept: Kept, wall: Wall) -> None:
    async with kept(place) as history:
        for _ in range(2):
            lamp = build()
            recorder = history.record(lamp)
            play(lamp, wall, "+On . +Broken")
            recorder.stop()
            wall.step()
        await history.sync()
        assert spans(await history.intervals("lamp", "On")) == [(1, 4, True, True), (5, None, True, False)]
        assert (await history.as_of("lamp", NOON + 4 * SECOND)).active == ()
        assert await history.deactivated_between("lamp", "On", NOON + 3 * SECOND, NOON + 4 * SECOND)
        assert await history.uptime("On", NOON + 3 * SECOND, NOON + 5 * SECOND) == 0.5


async def test_intervals_through_a_change_of_the_schema(place: Place, kept: Kept, wall: Wall) -> None:
    lamp = build(states=["On"])
    async with kept(place) as history:
        history.record(lamp)
        play(lamp, wall, "+On")
        wall.step()
        lamp.verify_states(["Exception", "On"])
        play(lamp, wall, ".")
        lamp.set_schema({**lamp.schema, "Hot": State()})
        play(lamp, wall, "+Hot -On")
        await history.sync()
        assert spans(await history.intervals("lamp", "On")) == [(1, 5, True, True)]
        assert spans(await history.intervals("lamp", "Hot")) == [(4, None, True, False)]
        assert await listed(history, deactivated="On") == [5]
        assert await listed(history, activated="Hot") == [4]
        assert not await history.deactivated_between("lamp", "On", NOON + SECOND, NOON + 4 * SECOND)


async def test_booleans_are_true_to_their_names(place: Place, kept: Kept, wall: Wall) -> None:
    lamp = build()
    async with kept(place) as history:
        history.record(lamp)
        play(lamp, wall, ". +On . . -On .")  # on from 2 to 5
        await history.sync()
        names = ("activated", "deactivated", "active", "inactive")
        expected = {
            #         activated deactivated active inactive
            (0, 1): (False, False, False, True),
            (0, 2): (True, False, True, True),  # t2 is in the window
            (2, 3): (False, False, True, False),  # t1 is not: it was on by then
            (1, 3): (True, False, True, True),
            (3, 4): (False, False, True, False),
            (3, 5): (False, True, True, True),
            (1, 6): (True, True, True, True),
            (5, 6): (False, False, False, True),
            (4, 5): (False, True, True, True),
            (2, 2): (False, False, True, False),
            (5, 5): (False, False, False, True),
        }
        for (t1, t2), answers in expected.items():
            for name, answer in zip(names, answers, strict=True):
                ask = getattr(history, f"{name}_between")
                got = await ask("lamp", "On", NOON + t1 * SECOND, NOON + t2 * SECOND)
                assert got is answer, f"{name} between {t1} and {t2}"
        assert await history.activated_between("lamp", "On", "10s ago")
        assert not await history.active_between("lamp", "On", "500ms ago")
        assert await history.inactive_between("lamp", "On", "500ms ago")


async def test_reentry_is_an_activation_and_no_interruption(place: Place, kept: Kept, wall: Wall) -> None:
    machine = Machine({"M": State(multi=True)}, id="m")
    async with kept(place) as history:
        history.record(machine)
        play(machine, wall, "+M +M . -M")
        await history.sync()
        assert spans(await history.intervals("m", "M")) == [(1, 4, True, True)]
        assert await history.activated_between("m", "M", NOON + SECOND, NOON + 2 * SECOND)
        assert not await history.deactivated_between("m", "M", NOON, NOON + 3 * SECOND)
        assert not await history.inactive_between("m", "M", NOON + SECOND, NOON + 3 * SECOND)


async def test_the_share_of_time(place: Place, kept: Kept, wall: Wall) -> None:
    one, two, door = build("one"), build("two"), build("door", ["Open"])
    async with kept(place) as history:
        history.record(one)
        history.record(door)
        play(one, wall, "+On . -On +On")  # 1-3, 4-
        wall.step()
        history.record(two)
        play(two, wall, "+On")  # known from 5, on from 6
        wall.step(2)
        await history.sync()

        async def up(t1: float, t2: float, *machines: str) -> float:
            window = NOON + round(t1 * SECOND), NOON + round(t2 * SECOND)
            return await history.uptime("On", *window, machines or None)

        assert await up(0, 4, "one") == 0.5
        assert await up(1, 3, "one") == 1
        assert await up(3, 4, "one") == 0
        assert await up(0, 8, "one") == 6 / 8
        assert await up(0, 8, "two") == 2 / 3
        assert await up(0, 8) == (6 / 8 + 2 / 3) / 2
        assert await history.uptime("On", NOON, machines="one") == 6 / 8
        with pytest.raises(QuestionError, match="no machine asked about"):
            await up(0, 8, "door")
        with pytest.raises(QuestionError, match="in that window"):
            await up(0, 3, "two")


# -- cause and effect


async def test_causes_and_effects_along_pipes(place: Place, kept: Kept, wall: Wall) -> None:
    one, two, three = build("one"), build("two"), build("three")
    bind_state(one, "On", two, "On")
    bind_state(two, "On", three, "On")
    bind_state(one, "On", three, "Broken")
    async with kept(place) as history:
        for m in (three, two, one):
            history.record(m)
        play(one, wall, "+On -On +On")
        await history.sync()
        first = [r async for r in history.between() if r.machine == "one" and r.mutation != "base"]
        for root in first:
            assert await history.cause(root) is None
            effects = await history.effects(root)
            assert sorted((e.machine, e.mutation, e.called) for e in effects) == [
                ("three", root.mutation, ("Broken",)),
                ("two", root.mutation, ("On",)),
            ]
            for effect in effects:
                assert effect.at > root.at
                assert await history.cause(effect) == root
            (again,) = [r for e in effects for r in await history.effects(e)]
            assert (again.machine, again.called) == ("three", ("On",))
            cause = await history.cause(again)
            assert cause is not None
            assert cause.machine == "two"
            assert await history.cause(cause) == root
            assert await history.effects(again) == []


async def test_transactions_of_another_life_are_not_confused(place: Place, kept: Kept, wall: Wall) -> None:
    async with kept(place) as history:
        for _ in range(3):
            one, two = build("one"), build("two")
            bind_state(one, "On", two, "On")
            recorders = [history.record(two), history.record(one)]
            play(one, wall, "+On -On")
            for recorder in recorders:
                recorder.stop()
        await history.sync()
        roots = [r async for r in history.between() if r.machine == "one" and r.mutation != "base"]
        assert [(r.epoch, r.tx_id) for r in roots] == [(e, f"0:{n}") for e in (1, 2, 3) for n in (0, 1)]
        for root in roots:
            (effect,) = await history.effects(root)
            assert (effect.epoch, effect.mutation) == (root.epoch, root.mutation)
            assert await history.cause(effect) == root


async def test_what_a_handler_causes_elsewhere_knows_its_cause(place: Place, kept: Kept, wall: Wall) -> None:
    two = build("two")

    def on(event: Event) -> None:
        two.add("On")

    one = build("one", handlers={"OnState": on})
    async with kept(place) as history:
        history.record(one)
        history.record(two)
        play(one, wall, "+On")
        await history.sync()
        (root,) = [r async for r in history.between(machines="one", mutation="add")]
        (effect,) = [r async for r in history.between(machines="two", mutation="add")]
        assert await history.cause(effect) == root
        assert await history.effects(root) == [effect]


async def test_a_cause_that_was_not_recorded(place: Place, kept: Kept, wall: Wall) -> None:
    one, two = build("one"), build("two")
    bind_state(one, "On", two, "On")
    async with kept(place) as history:
        history.record(two)
        play(one, wall, "+On")
        await history.sync()
        (effect,) = [r async for r in history.between(mutation="add")]
        assert (effect.source_machine, effect.source_tx) == ("one", "0:0")
        assert await history.cause(effect) is None
        history.record(one)
        await history.sync()
        assert await history.cause(effect) is None
