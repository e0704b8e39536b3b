"""Section 8: observers that hear of everything, in order, and can break nothing."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from machine import (
    Event,
    LogTracer,
    Machine,
    MisuseError,
    Mutation,
    MutationType,
    Pipe,
    Result,
    Schema,
    State,
    Tracer,
    Transition,
    as_record,
    as_text,
    pipe_add,
)
from machine.reader import Reader
from machine.tracer import HOOKS

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
States = Callable[[str], dict[str, State]]

NR = "A B C D"


class Everything(Tracer):
    """Note each hook by its name, and what it was told in short."""

    def __init__(self, id: str = "") -> None:
        self.id = id
        self.heard: list[tuple[str, str]] = []

    def hooks(self) -> list[str]:
        """Return the names of the hooks that were called."""
        return [hook for hook, _ in self.heard]

    def machine_init(self, machine: Machine) -> None:
        self.heard.append(("machine_init", machine.id))

    def new_submachine(self, parent: Machine, child: Machine) -> None:
        self.heard.append(("new_submachine", child.id))

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        self.heard.append(("mutation_queued", repr(mutation)))

    def transition_init(self, transition: Transition) -> None:
        self.heard.append(("transition_init", " ".join(transition.targets)))

    def transition_start(self, transition: Transition) -> None:
        self.heard.append(("transition_start", " ".join(transition.called)))

    def handler_start(self, transition: Transition, binding: str, name: str) -> None:
        self.heard.append(("handler_start", name))

    def handler_end(self, transition: Transition, binding: str, name: str) -> None:
        self.heard.append(("handler_end", name))

    def transition_finals(self, transition: Transition) -> None:
        self.heard.append(("transition_finals", str(transition.machine)))

    def transition_end(self, transition: Transition) -> None:
        assert transition.completed
        self.heard.append(("transition_end", str(transition.accepted)))

    def queue_end(self, machine: Machine) -> None:
        assert machine.is_idle
        self.heard.append(("queue_end", machine.id))

    def verify_states(self, machine: Machine) -> None:
        self.heard.append(("verify_states", machine.state_names[0]))

    def schema_change(self, machine: Machine, old: Schema) -> None:
        self.heard.append(("schema_change", f"{len(old)} {len(machine.schema)}"))

    def machine_restored(self, machine: Machine) -> None:
        self.heard.append(("machine_restored", str(machine.machine_tick)))

    def pipe_added(self, pipe: Pipe) -> None:
        self.heard.append(("pipe_added", pipe.source_state))

    def pipe_removed(self, pipe: Pipe) -> None:
        self.heard.append(("pipe_removed", pipe.source_state))

    def machine_dispose(self, machine: Reader) -> None:
        self.heard.append(("machine_dispose", machine.id))


def test_every_hook_is_told(states: States) -> None:
    tracer = Everything()
    m = Machine(states(NR), id="m", tracers=[tracer], handlers={"AState": lambda _: None})
    m.add("A")
    Machine(states(NR), id="child", parent=m)
    m.set_schema(states(f"{NR} E"))
    pipe_add(m, "A", Machine(states(NR))).cut()
    fresh = Machine(states(NR), id="fresh", tracers=[tracer])
    fresh.verify_states(["D", "C", "B", "A", "Exception"])
    fresh.restore(fresh.export())
    m.dispose()
    assert tracer.heard == [
        ("machine_init", "m"),
        ("mutation_queued", "<Mutation add A>"),
        ("transition_init", "A"),
        ("transition_start", "A"),
        ("transition_finals", "(A:1)"),
        ("handler_start", "AState"),
        ("handler_end", "AState"),
        ("transition_end", "True"),
        ("queue_end", "m"),
        ("new_submachine", "child"),
        ("schema_change", "5 6"),
        ("pipe_added", "A"),
        ("pipe_removed", "A"),
        ("machine_init", "fresh"),
        ("verify_states", "D"),
        ("machine_restored", "1"),
        ("machine_dispose", "m"),
    ]
    assert set(tracer.hooks()) == set(HOOKS)


START = ["transition_init", "transition_start"]

#: schema, before, action, hooks
ORDERS = [
    pytest.param("A{require B} B", "", "add A", [*START, "transition_end"], id="refused-by-relations"),
    pytest.param(NR, "", "can_add A", [*START, "transition_end"], id="dry-run"),
    pytest.param(NR, "", "add A", [*START, "transition_finals", "transition_end"], id="accepted"),
    pytest.param(NR, "add A", "add A", [*START, "transition_finals", "transition_end"], id="without-change"),
]


@pytest.mark.parametrize(("schema", "before", "action", "hooks"), ORDERS)
def test_hooks_come_in_order(build: Build, do: Do, schema: str, before: str, action: str, hooks: list[str]) -> None:
    m = build(schema, before)
    tracer = Everything()
    m.add_tracer(tracer)
    do(m, action)
    assert tracer.hooks() == ["mutation_queued", *hooks, "queue_end"]


async def test_waits_are_settled_after_the_end_of_a_transition(build: Build, nursery: trio.Nursery) -> None:
    heard: list[str] = []

    class Late(Tracer):
        """Note how many tasks wait when a transition ends, and when the queue does."""

        def transition_end(self, transition: Transition) -> None:
            heard.append(f"end, {transition.machine.statistics().waits} waiting")

        def queue_end(self, machine: Machine) -> None:
            heard.append(f"queue end, {machine.statistics().waits} waiting")

    m = build(NR, on_change=lambda *_: heard.append("change"))
    m.add_tracer(Late())
    nursery.start_soon(m.when, "A")
    await trio.testing.wait_all_tasks_blocked()
    m.add("A")
    assert heard == ["change", "end, 1 waiting", "queue end, 0 waiting"]


class Broken(Everything):
    """Fail at every hook."""

    def __getattribute__(self, name: str) -> Any:
        if name in HOOKS:
            return self._fail
        return super().__getattribute__(name)

    def _fail(self, *_: object) -> None:
        raise RuntimeError("a broken tracer")


def test_a_raising_tracer_is_counted_and_changes_nothing(states: States, caplog: pytest.LogCaptureFixture) -> None:
    whole = Everything()
    m = Machine(states(f"{NR} Z{{auto; require A}}"), tracers=[Broken(), whole], handlers={"AState": lambda _: None})
    assert m.add("A") is Result.EXECUTED
    assert str(m) == "(A:1 Z:1)"
    assert m.last_error is None
    assert m.statistics().tracer_errors == len(whole.heard)
    assert caplog.text.count("RuntimeError: a broken tracer") == len(whole.heard)
    counted = m.statistics().tracer_errors
    m.remove_tracer(whole)
    assert m.statistics().tracer_errors == counted


class AtTheEnd(Tracer):
    """Act at the end of a transition."""

    def __init__(self, act: Callable[[Machine], object]) -> None:
        self.act = act

    def transition_end(self, transition: Transition) -> None:
        if transition.called == ("A",):
            self.act(transition.machine)


class AtTheEndOfAll(AtTheEnd):
    """Act at the end of a transition, and hear of its beginning, which takes a machine from its short way."""

    def transition_init(self, transition: Transition) -> None:
        assert not transition.completed


@pytest.mark.parametrize("kind", [AtTheEnd, AtTheEndOfAll])
def test_a_tracer_may_ask_for_more(build: Build, shown: Shown, kind: type[AtTheEnd]) -> None:
    results: list[Result] = []
    m = build("A B Z{auto; require A}")
    m.add_tracer(kind(lambda machine: results.append(machine.add("B"))))
    assert m.add("A") is Result.EXECUTED
    assert [r.queue_tick for r in results] == [3]
    assert shown(m) == "(A:1 B:1 Z:1)"
    assert m.active_states()[0] == "B"  # it came last, behind the auto transition


@pytest.mark.parametrize("kind", [AtTheEnd, AtTheEndOfAll])
def test_a_tracer_may_end_the_machine(build: Build, kind: type[AtTheEnd]) -> None:
    m = build("A B Z{auto; require A}")
    m.add_tracer(kind(lambda machine: machine.dispose()))
    m.on_dispose(lambda machine: heard.append(machine.id))
    heard: list[str] = []
    assert m.add("A") is Result.EXECUTED
    assert heard == [m.id]
    assert m.is_disposed
    assert m.is_idle
    assert m.statistics().transitions == 1


@pytest.mark.parametrize("hook", ["transition_end", "queue_end"])
def test_a_tracer_with_one_hook_that_fails_is_counted(
    build: Build, caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a broken tracer")

    m = build(NR)
    m.add_tracer(type("Failing", (Tracer,), {hook: fail})())
    assert m.add("A") is Result.EXECUTED
    assert m.statistics().tracer_errors == 1
    assert "a broken tracer" in caplog.text


def test_tracers_come_and_go_between_transitions(build: Build) -> None:
    m = build()
    first, second = Everything("first"), Everything("second")
    assert m.add_tracer(first) is first
    m.add_tracer(second)
    with pytest.raises(MisuseError, match="traces this machine already"):
        m.add_tracer(first)
    assert list(m.tracers) == [first, second]
    m.remove_tracer("first")
    m.add("A")
    assert first.heard == []
    assert second.heard != []
    m.remove_tracer(second)
    with pytest.raises(MisuseError, match="does not trace this machine"):
        m.remove_tracer(second)
    assert list(m.tracers) == []


def test_a_tracer_that_overrides_nothing_costs_nothing_and_one_tracer_serves_many(build: Build) -> None:
    one, other = build(id="one"), build(id="other")
    tracer = Everything()
    for m in (one, other):
        m.add_tracer(Tracer())
        m.add_tracer(tracer)
        m.add("A")
    assert [told for hook, told in tracer.heard if hook == "queue_end"] == ["one", "other"]


def test_a_mutation_tells_a_tracer_all_about_itself(build: Build) -> None:
    seen: list[Mutation] = []

    class Mutations(Tracer):
        """Keep what is queued."""

        def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
            seen.append(mutation)

    m = build("A B Z{auto; require A}", id="m", handlers={"ZState": lambda e: e.machine.can_add("B")})
    m.add_tracer(Mutations())
    m.add("A", foo="bar")
    add, auto, check = seen
    assert (add.type, add.states, dict(add.args), add.queue_tick) == (MutationType.ADD, ("A",), {"foo": "bar"}, 2)
    assert (add.is_auto, add.is_check, add.source) == (False, False, None)
    assert (auto.is_auto, auto.queue_tick, auto.states) == (True, 0, ("Z",))
    assert auto.source is not None
    assert (auto.source.machine_id, auto.source.transition_id) == ("m", "m:0:0")
    assert (check.is_check, check.source and check.source.transition_id) == (True, "m:0:1")
    assert all(mutation.done for mutation in seen)


def test_a_log_line_says_what_became_of_a_mutation(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    m = build("A B{require C} C D{auto; remove A}", id="m", handlers={"CEnter": lambda _: False})
    m.add_tracer(LogTracer())
    m.add("A")
    m.add("B")
    m.add("C")
    m.can_add("D")
    m.dispose()
    assert [r.getMessage() for r in caplog.records] == [
        "m:0:0 add A: +A",
        "m:0:1 auto add D: +D -A",
        "m:0:2 add B: canceled by relations (B lacks C)",
        "m:0:3 add C: canceled by CEnter",
        "m:0:4 can add D: no change",
        "m disposed",
    ]
    assert [r.levelname for r in caplog.records][:3] == ["INFO", "INFO", "WARNING"]


def test_a_record_is_plain_values_and_text_is_a_view_of_it(build: Build) -> None:
    seen: list[Transition] = []

    def state(event: Event) -> None:
        seen.append(event.transition)

    m = build(NR, "add B", id="m", handlers={"AState": state})
    m.set("A", secret=object())
    record = as_record(seen[0])
    assert json.loads(json.dumps(record)) == record
    assert record == {
        "machine": "m",
        "transition": "m:0:1",
        "mutation": "set",
        "called": ["A"],
        "auto": False,
        "check": False,
        "accepted": True,
        "canceled_by": "",
        "added": ["A"],
        "removed": ["B"],
        "time": [1, 2, 0, 0, 0],
        "error": None,
        "source": None,
        "steps": ["called A", "deactivate B", "activate A", "handler AState"],
    }
    assert as_text(record) == "m:0:1 set A: +A -B"
