"""Section 11: common questions and idioms."""

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from machine import (
    Condition,
    Event,
    ExceptionStateError,
    LoopGuard,
    Machine,
    MisuseError,
    Result,
    Schema,
    State,
    add_async,
    add_sync,
    ask_add,
    cannot_add,
    cannot_remove,
    mirror,
    open_machine,
    remove_sync,
    request,
    wait_for_all,
    wait_for_any,
)

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
States = Callable[[str], dict[str, State]]

NR = "A B C D"
EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED


@pytest.mark.parametrize(
    ("schema", "before", "call", "answer"),
    [
        pytest.param(NR, "", lambda m: add_sync(m, "A", "B"), True, id="add"),
        pytest.param("A{require B} B", "", lambda m: add_sync(m, "A"), False, id="add-refused"),
        pytest.param(NR, "add A", lambda m: remove_sync(m, "A"), True, id="remove"),
        pytest.param("A{auto} S", "add S", lambda m: remove_sync(m, "A"), False, id="removed-but-back-again"),
    ],
)
async def test_a_mutation_can_be_awaited_to_its_end(
    build: Build, schema: str, before: str, call: Callable[[Machine], Any], answer: bool
) -> None:
    assert await call(build(schema, before)) is answer


async def test_a_queued_mutation_is_awaited_too(states: States) -> None:
    answers: list[bool] = []

    def many(event: Event) -> None:
        for number in range(5):
            event.machine.add("E", number=number)

    async with open_machine(states("A B C E{multi}"), handlers={"AState": many}, drain_budget=2) as m:
        m.add("A")
        assert m.queue_len == 4
        answers.append(await add_sync(m, "B"))
        m.remove("A")
        m.add("A")
        answers.append(await remove_sync(m, "B"))
        assert m.is_inactive("B")
    assert answers == [True, True]


async def test_the_next_activation_of_another_state_can_be_awaited_with_an_add(states: States) -> None:
    async def work(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        event.machine.remove("Done")
        event.machine.add("Done")

    async with open_machine(states("Work Done Never{require Nobody} Nobody"), handlers={"WorkState": work}) as m:
        m.add("Done")
        clock = await add_async(m, "Done", "Work")
        assert clock is not None
        assert clock["Done"] == 3
        assert await add_async(m, "Done", "Never") is None
        assert m.statistics().waits == 0


def test_a_dry_run_may_come_before_an_add(build: Build, record: Callable[..., list[str]]) -> None:
    m = build(f"{NR} E{{require A}}")
    assert ask_add(m, "E") is CANCELED
    assert ask_add(m, "A") is EXECUTED
    assert m.is_active("A")
    record(m, BEnter=False, AExit=False)
    assert ask_add(m, "B") is CANCELED
    assert [cannot_add(m, "B"), cannot_add(m, "C")] == [True, False]
    assert [cannot_remove(m, "A"), cannot_remove(m, "B")] == [True, False]


async def test_all_of_several_waits(build: Build, nursery: trio.Nursery) -> None:
    m = build()
    nursery.start_soon(_add_one_by_one, m)
    first, second = await wait_for_all(m.when("C"), m.when("A"), within=60)
    assert (str(first), str(second)) == ("(A:1 B:1 C:1)", "(A:1)")


async def _add_one_by_one(machine: Machine) -> None:
    for state in "ABC":
        await trio.testing.wait_all_tasks_blocked()
        machine.add(state)


async def test_the_first_of_several_waits(build: Build, nursery: trio.Nursery) -> None:
    m = build()
    nursery.start_soon(_add_one_by_one, m)
    at, clock = await wait_for_any(m.when("D"), m.when("B"), m.when("C"))
    assert at == 1
    assert clock.is_active("A", "B")
    assert m.statistics().waits == 0


async def test_waits_may_take_too_long(build: Build, autojump_clock: trio.testing.MockClock) -> None:
    m = build(NR, "add A")
    with pytest.raises(TimeoutError, match="only 1 of 2 came true within 5 s"):
        await wait_for_all(m.when("A"), m.when("B"), within=5)
    with pytest.raises(TimeoutError, match="only 0 of 1 came true within 5 s"):
        await wait_for_any(m.when("B"), within=5)
    assert m.statistics().waits == 0


@pytest.mark.parametrize("waits", [wait_for_all, wait_for_any])
async def test_an_error_ends_the_waits_for_what_will_not_come(
    build: Build, nursery: trio.Nursery, waits: Callable[..., Any]
) -> None:
    m = build(id="m")
    error = OSError("world")

    async def fail() -> None:
        await trio.testing.wait_all_tasks_blocked()
        m.add_error(error)

    nursery.start_soon(fail)
    with pytest.raises(ExceptionStateError, match="m got its Exception state") as caught:
        await waits(m.when("A"), error_of=m)
    assert caught.value.__cause__ is error
    assert m.statistics().waits == 0


async def test_what_a_wait_raises_comes_out_alone(build: Build) -> None:
    m = build()
    with pytest.raises(MisuseError, match="1 ticks for 2 states"):
        await wait_for_all(m.when("A"), m.when_time(["A", "B"], [1]))


async def test_a_request_is_repeated_with_growing_delays(build: Build, autojump_clock: trio.testing.MockClock) -> None:
    times: list[float] = []

    def answer(_: Event) -> bool:
        times.append(trio.current_time())
        return len(times) == 5

    m = build(NR, handlers={"AEnter": answer})
    start = trio.current_time()
    assert await request(lambda: m.add("A"), max_delay=0.4) is EXECUTED
    assert [round(t - start, 3) for t in times] == [0, 0.1, 0.3, 0.7, 1.1]


@pytest.mark.parametrize(
    ("options", "attempts"), [({"retries": 3}, 4), ({"within": 1.0}, 4), ({"retries": 0}, 1), ({"delay": 3.0}, 2)]
)
async def test_a_request_gives_up(
    build: Build, autojump_clock: trio.testing.MockClock, options: dict[str, Any], attempts: int
) -> None:
    m = build(NR, handlers={"AEnter": lambda _: False})
    assert await request(lambda: m.add("A"), **options) is CANCELED
    assert m.statistics().transitions == attempts


async def test_a_request_may_spread_its_delays(build: Build, autojump_clock: trio.testing.MockClock, seed: int) -> None:
    times: list[float] = []

    def refuse(_: Event) -> bool:
        times.append(trio.current_time())
        return False

    m = build(NR, handlers={"AEnter": refuse})
    await request(lambda: m.add("A"), retries=3, jitter=random.Random(seed))
    delays = [b - a for a, b in pairwise(times)]
    for delay, full in zip(delays, (0.1, 0.2, 0.4), strict=True):
        assert full / 2 <= delay <= full


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition(), True),
        (Condition(active=["A", "B"]), True),
        (Condition(active=["A", "C"]), False),
        (Condition(any_active=["C", "A"]), True),
        (Condition(any_active=[["A", "C"], ["A", "B"]]), True),
        (Condition(any_active=["C"]), False),
        (Condition(inactive=["C", "D"]), True),
        (Condition(inactive=["A", "D"]), False),
        (Condition(clock={"A": 1, "C": 0}), True),
        (Condition(clock={"A": 2}), False),
        (Condition(active=["A"], inactive=["C"], any_active=["B"], clock={"B": 1}), True),
        (Condition(active=["A"], inactive=["C"], any_active=["B"], clock={"B": 3}), False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_condition_holds_when_all_its_parts_do(build: Build, condition: Condition, holds: bool) -> None:
    assert condition.holds(build(NR, "add A,B")) is holds


def test_a_guard_stops_a_state_that_triggers_itself(build: Build) -> None:
    now = [0.0]

    def again(event: Event) -> None:
        if guard.allows():
            event.machine.add("E")

    m = build("E{multi} A", handlers={"EState": again})
    guard = LoopGuard(m, "E", budget=20, window=1.0, clock=lambda: now[0])
    m.add("E")
    assert m.tick("E") == 21
    now[0] = 2.0
    m.add("E")
    assert m.tick("E") > 23


def test_a_guard_wants_its_state_and_its_condition(build: Build) -> None:
    open_ = [True]
    m = build()
    guard = LoopGuard(m, "A", clock=lambda: 0.0, condition=lambda: open_[0])
    assert not guard.allows()
    m.add("A")
    assert guard.allows()
    open_[0] = False
    assert not guard.allows()


def test_a_mirror_follows_some_states(build: Build, shown: Shown) -> None:
    source = build(f"{NR} E{{multi; require A}}", "add A,E", id="m")
    copy = mirror(source, ["E", "B", "A"])
    assert (copy.id, copy.parent) == ("m-mirror", source)
    assert copy.state_names == ("E", "B", "A", "Exception")
    assert shown(copy) == "(E:1 A:1)"
    source.add("B", "C", secret="args")
    assert shown(copy) == "(E:1 B:1 A:1)"
    source.remove("A")
    assert shown(copy) == "(B:1) [E:2 A:2]"
    source.dispose()
    assert copy.pipes_in == ()


def test_a_mirror_may_have_a_schema_of_its_own(build: Build, shown: Shown) -> None:
    source = build(NR)
    copy = mirror(source, "AB", id="copy", schema={"A": State(), "B": State(), "Both": State(auto=True, require="A")})
    source.add("A")
    assert shown(copy) == "(A:1 Both:1)"


def test_schemas_have_a_digest_and_know_what_they_implement(states: States) -> None:
    one, same, other = Schema(states(NR)), Schema(states(NR)), Schema(states("B A C D"))
    assert one == same
    assert one.digest == same.digest
    assert len(one.digest) == 32
    assert one != other
    assert one.digest != other.digest
    assert Schema(states(f"{NR} E")).implements(one)
    assert not one.implements(states("A E"))
