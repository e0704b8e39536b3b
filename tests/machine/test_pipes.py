"""Section 10: states that drive states of other machines."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from machine import (
    Event,
    Machine,
    Pipe,
    Result,
    State,
    Tracer,
    Transition,
    bind_any,
    bind_connected,
    bind_error,
    bind_many,
    bind_ready,
    bind_start,
    bind_state,
    open_machine,
    pipe_add,
    pipe_remove,
    sync,
)

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
States = Callable[[str], dict[str, State]]
Transitions = Callable[[Machine], list[Transition]]

NR = "A B C D"
QUAD = ("Connecting", "Connected", "Disconnecting", "Disconnected")
Lay = Callable[[Machine, Machine], object]

#: what is laid, mutations of the source, clock of the target
PIPES = [
    pytest.param(lambda s, t: pipe_add(s, "A", t), "add A; remove A", "(A:1)", id="add"),
    pytest.param(lambda s, t: pipe_add(s, "A", t, "B"), "add A", "(B:1)", id="add-another"),
    pytest.param(lambda s, t: pipe_remove(s, "A", t, "D"), "add A; remove A", "() [D:2]", id="remove"),
    pytest.param(lambda s, t: bind_state(s, "A", t), "add A; remove A; add A", "(A:3)", id="bind"),
    pytest.param(lambda s, t: bind_state(s, "A", t, "B"), "add A; remove A", "() [B:2]", id="bind-another"),
    pytest.param(
        lambda s, t: bind_state(s, "A", t, "B", "D"), "add A; remove A", "(B:1) [D:2]", id="bind-adds-one-removes-other"
    ),
    pytest.param(lambda s, t: bind_many(s, "AB", t), "add A,B; remove A", "(B:1) [A:2]", id="many"),
    pytest.param(lambda s, t: bind_many(s, ["A", "B"], t, ["C", "D"]), "set A,B; set B", "(D:1) [C:2]", id="many-to"),
    pytest.param(lambda s, t: pipe_add(s, "E", t), "add E; add E", "(E:3)", id="re-entered"),
    pytest.param(lambda s, t: pipe_add(s, "E", t, flat=True), "add E; add E", "(E:1)", id="flat-posts-no-news-only"),
    pytest.param(bind_any, "add A,B; set C; add E", "(C:1 E:1) [A:2 B:2]", id="any"),
    pytest.param(bind_any, "add A,B; remove A", "(B:1) [A:2]", id="any-pure-removal"),
    pytest.param(bind_any, "add A; remove A", "() [A:2]", id="any-nothing-left"),
]


@pytest.mark.parametrize(("lay", "actions", "after"), PIPES)
def test_a_pipe_follows_its_source(
    build: Build, do: Do, shown: Shown, watched: str, lay: Lay, actions: str, after: str
) -> None:
    source, target = build(f"{NR} E{{multi}}", watched=watched), build(f"{NR} E{{multi}}", watched=watched)
    if "[D:2]" in after:
        target.add("D")
    lay(source, target)
    assert do(source, actions) is Result.EXECUTED
    assert shown(target) == after


@pytest.mark.parametrize(
    ("bind", "states"),
    [(bind_ready, ["Ready"]), (bind_start, ["Start"]), (bind_connected, QUAD), (bind_error, ["Exception"])],
)
def test_conventional_states_have_a_binding_of_their_own(build: Build, bind: Lay, states: list[str]) -> None:
    schema = f"Ready Start {' '.join(QUAD)}"
    source, target = build(schema), build(schema)
    bind(source, target)
    for state in states:
        source.add(state)
        assert target.is_active(state)
        source.remove(state)
        assert target.is_active(state) is (bind is bind_error)


def test_a_binding_of_a_connection_may_rename_its_states(build: Build) -> None:
    source, target = build(" ".join(QUAD)), build("DbConnecting DbConnected DbDisconnecting DbDisconnected")
    bind_connected(
        source,
        target,
        connecting="DbConnecting",
        connected="DbConnected",
        disconnecting="DbDisconnecting",
        disconnected="DbDisconnected",
    )
    source.set("Connected")
    assert target.active_states() == ("DbConnected",)


def test_a_target_that_is_an_error_brings_exception(build: Build, shown: Shown) -> None:
    source, target = build("Down"), build("ErrNetwork{require Exception}")
    bind_state(source, "Down", target, "ErrNetwork")
    source.add("Down")
    assert shown(target) == "(ErrNetwork:1 Exception:1)"
    source.remove("Down")
    assert shown(target) == "(Exception:1) [ErrNetwork:2]"


def test_an_error_of_the_source_arrives_each_time(build: Build, shown: Shown) -> None:
    source, target = build(), build("ErrSource{require Exception; multi}")
    bind_error(source, target, "ErrSource")
    source.add_error(OSError("one"))
    source.add_error(OSError("two"))
    assert shown(target) == "(ErrSource:3 Exception:3)"


def test_args_and_the_cause_travel_along(build: Build, transitions: Transitions) -> None:
    source, target = build(id="source"), build()
    bind_state(source, "A", target)
    pipe_add(source, "A", target, "B", flat=True)
    sent, received = transitions(source), transitions(target)
    source.add("A", foo="bar")
    assert [(tx.called, dict(tx.mutation.args)) for tx in received] == [(("A",), {"foo": "bar"}), (("B",), {})]
    for tx in received:
        assert tx.mutation.source == sent[0].as_source()
        assert tx.mutation.source.machine_id == "source"


def test_a_flat_pipe_posts_nothing_that_the_target_already_is(build: Build) -> None:
    source, target = build(), build(NR, "add A")
    pipes = bind_state(source, "A", target, flat=True)
    source.add("A")
    assert pipes.posted == 0
    source.remove("A")
    assert pipes.posted == 1
    assert target.is_inactive("A")


@pytest.mark.parametrize(
    "lay",
    [
        pytest.param(lambda s, t: bind_state(s, "A", t), id="bind"),
        pytest.param(lambda s, t: bind_state(s, "A", t, flat=True), id="flat"),
        pytest.param(bind_any, id="any"),
    ],
)
def test_a_state_that_is_gone_before_its_post_arrives_is_gone_at_the_target(
    build: Build, shown: Shown, lay: Lay
) -> None:
    source, target = build(handlers={"AState": lambda e: e.machine.remove("A")}), build()
    lay(source, target)
    source.add("A")
    assert shown(source) == shown(target) == "() [A:2]"


def test_the_target_may_refuse_and_the_source_never_knows(build: Build, shown: Shown) -> None:
    source, target = build(), build(handlers={"AEnter": lambda _: False})
    bind_state(source, "A", target)
    assert source.add("A") is Result.EXECUTED
    assert shown(target) == "()"


def test_a_source_transition_that_is_refused_posts_nothing(build: Build) -> None:
    source, target = build(handlers={"AEnter": lambda _: False}), build()
    pipes = bind_state(source, "A", target)
    source.add("A")
    source.can_add("B")
    assert pipes.posted == 0


def test_only_what_really_happened_is_posted(build: Build, shown: Shown) -> None:
    """An enter that a failure takes back is no activation; what stays is."""

    def fail(_: Event) -> None:
        raise OSError

    source, target = build(handlers={"BState": fail}), build()
    bind_many(source, ["A", "B", "C"], target)
    source.add("A", "B", "C")
    assert shown(source) == "(A:1 Exception:1) [B:2 C:2]"
    assert shown(target) == "(A:1)"


def test_what_a_source_posts_arrives_in_order_once_it_is_done(build: Build, transitions: Transitions) -> None:
    inside: list[bool] = []

    def state(event: Event) -> None:
        event.machine.add("B")
        event.machine.remove("A")
        inside.append(target.is_active("A"))

    source, target = build(handlers={"AState": state}), build()
    bind_many(source, ["A", "B"], target)
    seen = transitions(target)
    source.add("A")
    assert inside == [False]
    assert [(tx.mutation.type.name, tx.called) for tx in seen] == [("ADD", ("A",)), ("ADD", ("B",)), ("REMOVE", ("A",))]


def test_a_pipe_is_a_record_at_both_ends(build: Build) -> None:
    source, target = build(id="one"), build(id="two")
    pipes = bind_state(source, "A", target, "B", flat=True)
    add, remove = pipes.pipes
    assert source.pipes_out == target.pipes_in == pipes.pipes
    assert (source.pipes_in, target.pipes_out) == ((), ())
    assert (add.source, add.source_state, add.target, add.target_state) == (source, "A", target, "B")
    assert (add.on, add.mutation.name, add.flat) == ("activation", "ADD", True)
    assert repr(remove) == "<Pipe one.A deactivation → remove two.B>"
    pipes.cut()
    pipes.cut()
    assert (source.pipes_out, target.pipes_in) == ((), ())
    source.add("A")
    assert target.is_inactive("B")


class PipeTracer(Tracer):
    """Note pipes that come and go."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def pipe_added(self, pipe: Pipe) -> None:
        self.heard.append(f"+{pipe.source_state}")

    def pipe_removed(self, pipe: Pipe) -> None:
        self.heard.append(f"-{pipe.source_state}")


def test_tracers_of_both_ends_hear_of_pipes(build: Build) -> None:
    source, target = build(), build()
    tracers = [PipeTracer(), PipeTracer()]
    source.add_tracer(tracers[0])
    target.add_tracer(tracers[1])
    pipe_add(source, "A", target).cut()
    assert [t.heard for t in tracers] == [["+A", "-A"], ["+A", "-A"]]


@pytest.mark.parametrize("end", ["source", "target"])
def test_the_end_of_either_machine_cuts_a_pipe(build: Build, end: str) -> None:
    source, target = build(), build()
    bind_many(source, ["A", "B"], target)
    (source if end == "source" else target).dispose()
    assert (source.pipes_out, target.pipes_in) == ((), ())
    if end == "target":
        assert source.tracers == ()
        assert source.add("A") is Result.EXECUTED
        assert source.statistics().tracer_errors == 0


def test_a_target_that_ends_while_mail_is_on_its_way_loses_it(build: Build) -> None:
    source, target = build(), build()
    bind_state(source, "A", target)
    source.bind({"AState": lambda _: target.dispose()})
    assert source.add("A") is Result.EXECUTED
    assert target.is_disposed
    assert source.is_active("A")


def test_two_machines_that_pipe_to_each_other_come_to_rest(build: Build, shown: Shown) -> None:
    one, other = build(), build()
    bind_state(one, "A", other, "A", flat=True)
    bind_state(other, "A", one, "A", flat=True)
    one.add("A")
    assert shown(one) == shown(other) == "(A:1)"
    other.remove("A")
    assert shown(one) == shown(other) == "() [A:2]"
    assert one.is_idle
    assert other.is_idle


def test_a_machine_may_pipe_to_itself(build: Build, shown: Shown) -> None:
    m = build()
    bind_state(m, "A", m, "B")
    m.add("A")
    assert shown(m) == "(A:1 B:1)"
    assert m.pipes_out == m.pipes_in
    m.dispose()
    assert (m.pipes_out, m.pipes_in) == ((), ())


def test_a_chain_of_machines_of_any_length_is_walked_without_recursion() -> None:
    schema = {"A": State()}
    chain = [Machine(schema) for _ in range(5_000)]
    for source, target in pairwise(chain):
        bind_state(source, "A", target)
    chain[0].add("A")
    assert all(m.is_active("A") for m in chain)
    chain[0].remove("A")
    assert all(m.tick("A") == 2 for m in chain)


def test_a_ring_of_many_machines_comes_to_rest() -> None:
    ring = [Machine({"A": State()}) for _ in range(1_000)]
    for source, target in zip(ring, [*ring[1:], ring[0]], strict=True):
        pipe_add(source, "A", target)
    ring[500].add("A")
    assert {m.tick("A") for m in ring} == {1}


@pytest.mark.parametrize("size", [2, 3, 7])
def test_an_error_that_is_bound_in_a_ring_visits_each_machine_once(size: int, build: Build) -> None:
    ring = [build() for _ in range(size)]
    for source, target in zip(ring, [*ring[1:], ring[0]], strict=True):
        bind_error(source, target)
    error = OSError("round and round")
    ring[0].add_error(error)
    assert [m.tick("Exception") for m in ring] == [1] * size
    assert all(m.last_error is error for m in ring)
    ring[1].add_error(OSError("another one"))
    assert [m.tick("Exception") for m in ring] == [3] * size


RESTLESS = "M{multi}"


def test_a_ring_that_never_comes_to_rest_is_left_after_a_budget(build: Build) -> None:
    one, other = build(RESTLESS, drain_budget=50), build(RESTLESS)
    pipe_add(one, "M", other)
    pipe_add(other, "M", one)
    one.add("M")
    assert (one.tick("M"), other.tick("M")) == (51, 49)
    assert one.statistics().drain_pauses == 1
    one.dispose()
    ticks = other.tick("M")
    other.add_error(OSError("still alive"))
    assert other.tick("M") <= ticks + 2


async def test_a_ring_that_never_comes_to_rest_lets_other_tasks_run(states: States) -> None:
    async with open_machine(states(RESTLESS), drain_budget=50) as one:
        other = Machine(states(RESTLESS))
        pipe_add(one, "M", other)
        pipe_add(other, "M", one)
        one.add("M")
        before = one.tick("M")
        await one.when_ticks("M", 200)
        assert one.tick("M") >= before + 200
    assert one.is_disposed


def test_sync_brings_states_in_line_once(build: Build, shown: Shown, transitions: Transitions) -> None:
    source, target = build(NR, "add A,B"), build(NR, "add C,D")
    seen = transitions(target)
    assert sync(source, target, NR.split()) == 4
    assert shown(target) == "(A:1 B:1) [C:2 D:2]"
    assert len(seen) == 2
    assert sync(source, target, ["A"], ["C"]) == 1
    assert target.is_active("C")
    source.add("D")
    assert target.is_inactive("D")


def test_bind_any_ignores_what_the_target_has_beyond_the_source(build: Build, shown: Shown) -> None:
    source, target = build("A B"), build("A B Own")
    bind_any(source, target)
    source.add("A")
    assert shown(target) == "(A:1)"


def test_a_failing_target_keeps_its_failure_to_itself(build: Build, shown: Shown) -> None:
    def fail(_: Event) -> None:
        raise OSError

    source, target, third = build(), build(handlers={"AState": fail}), build()
    bind_state(source, "A", target)
    bind_state(source, "A", third)
    assert source.add("A") is Result.EXECUTED
    assert shown(source) == shown(third) == "(A:1)"
    assert shown(target) == "(Exception:1) [A:2]"


def test_a_machine_that_raises_its_errors_does_not_keep_mail_from_others(build: Build, shown: Shown) -> None:
    def fail(_: Event) -> None:
        raise OSError("debug me")

    source: Any = build()
    target, third = build(handlers={"AState": fail}, raise_errors=True), build()
    bind_state(source, "A", target)
    bind_state(source, "A", third)
    with pytest.raises(OSError, match="debug me"):
        source.add("A")
    source.add("B")
    assert shown(third) == "(A:1)"
