"""Sections 4.6, 4.7 and 13.5: states that a machine activates by itself, and what refusals do to them."""

from collections.abc import Callable

import pytest

from machine import Event, Machine, Result, Transition

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
Record = Callable[..., list[str]]
Transitions = Callable[[Machine], list[Transition]]

EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED
P1 = "A{auto} B{auto; after A; require C} C D"
P2 = "A{auto} B{auto} C D"
P3 = "A{auto} B{auto; add D} C D"
P5 = "A B C{auto; require B} D{auto; require B}"
P6 = "A{auto; add B} B S"
P7 = "A{auto; remove D} B{auto; add D} D S"
HEALTH = "H{auto} Healthcheck{multi} Heartbeat"

#: schema, before, action, clock after; without handlers
WITHOUT_HANDLERS = [
    pytest.param("A B{auto; require A} C D", "", "add A", "(A:1 B:1)", id="C130"),
    pytest.param(P1, "", "add D", "(A:1 D:1)", id="C131-P1"),
    pytest.param(P5, "", "add A", "(A:1)", id="C135-P5"),
    pytest.param(HEALTH, "", "add Healthcheck", "(Healthcheck:1)", id="C136-healthcheck"),
    pytest.param(HEALTH, "", "add Heartbeat", "(Heartbeat:1)", id="C136-heartbeat"),
    pytest.param(HEALTH, "add Heartbeat", "remove Heartbeat", "(H:1) [Heartbeat:2]", id="C136-heartbeat-removed"),
    pytest.param(f"{HEALTH} X", "", "add Healthcheck,X", "(H:1 Healthcheck:1 X:1)", id="C136-not-alone"),
    pytest.param("A{auto} B{auto; require A} C{auto; require B} S", "", "add S", "(A:1 B:1 C:1 S:1)", id="C137"),
    pytest.param("A{auto; remove B} B{auto; remove A} C", "", "add C", "(A:1 C:1)", id="C138"),
    pytest.param("L{auto; remove U} U{remove L}", "", "add L", "(L:1)", id="C139"),
    pytest.param("L{auto; remove U} U{remove L}", "add L", "remove L", "(L:3)", id="C139-comes-back"),
    pytest.param("A{auto; remove X} X", "", "add X", "(A:1) [X:2]", id="C140"),
    pytest.param("A{auto} S", "add S; remove A", "remove S", "(A:3) [S:2]", id="back-once-a-clock-changed"),
    pytest.param("A{auto} S", "", "remove S", "()", id="no-change-no-autos"),
    pytest.param("A{auto} S{remove A}", "add S", "remove S", "(A:1) [S:2]", id="blocked-by-an-active-state"),
]


@pytest.mark.parametrize(("schema", "before", "action", "after"), WITHOUT_HANDLERS)
def test_auto_states_follow_a_change(
    build: Build, do: Do, shown: Shown, watched: str, schema: str, before: str, action: str, after: str
) -> None:
    m = build(schema, before, watched=watched)
    assert do(m, action) is EXECUTED
    assert shown(m) == after


#: schema, refusing handler, action, trace of the auto transition, whether it was accepted, clock after
REFUSED = [
    pytest.param(
        P2,
        "CB",
        "add C",
        "AEnter BEnter CC CA CB AnyEnter AState AnyState",
        True,
        "(A:1 C:1)",
        id="C132-P2",
    ),
    pytest.param(
        P3,
        "BEnter",
        "add C",
        "AEnter BEnter DEnter CC CA CD AnyEnter AState AnyState",
        True,
        "(A:1 C:1)",
        id="C133-P3",
    ),
    pytest.param(P2, "CC", "add C", "AEnter BEnter CC", False, "(C:1)", id="C134-P4"),
    pytest.param("A{auto} S", "AEnter", "add S", "AEnter SS", False, "(S:1)", id="C141"),
    pytest.param(P6, "BEnter", "add S", "AEnter BEnter", False, "(S:1)", id="C142-P6"),
    # BUG-8: D newly appears when A is struck, and is asked before it enters
    pytest.param(
        P7,
        "AEnter",
        "add S",
        "AEnter BEnter SS SB DEnter SD AnyEnter BState DState AnyState",
        True,
        "(B:1 D:1 S:1)",
        id="P7",
    ),
    pytest.param(
        P7,
        "DEnter",
        "add S",
        "AEnter BEnter SS SA SB AnyEnter AState BState AnyState",
        True,
        "(A:1 B:1 S:1)",
        id="P7-D-is-not-asked-for",
    ),
    # BUG-9, decision 5: the auto that would remove X is struck, the other one goes on
    pytest.param(
        "X{auto} A{auto; require S; remove X} B{auto; require S} S",
        "XExit",
        "add X; add S",
        "XExit BEnter SS XS XB SB XX SX AnyEnter BState AnyState",
        True,
        "(X:1 B:1 S:1)",
        id="P8",
    ),
    pytest.param(
        "A{auto; require S; remove X} B{auto; require S} S X",
        "XExit",
        "add X; add S",
        "XExit BEnter SS XS XB SB XX SX AnyEnter BState AnyState",
        True,
        "(B:1 S:1 X:1)",
        id="P8-the-exiting-state-is-not-auto",
    ),
    # A is active already: there is nothing to strike
    pytest.param(
        "A{auto} B{auto; require C} C S",
        "CA",
        "add S; add C",
        "BEnter AA SS CC AS AC AB SA SC SB CA",
        False,
        "(A:1 C:1 S:1)",
        id="active-auto",
    ),
    pytest.param(
        "A{auto} B{auto} S", "AnyEnter", "add S", "AEnter BEnter SS SA SB AnyEnter", False, "(S:1)", id="any-enter"
    ),
]


@pytest.mark.parametrize(("schema", "refusing", "action", "trace", "accepted", "after"), REFUSED)
def test_a_refusal_strikes_the_auto_state_that_it_concerns(
    build: Build,
    do: Do,
    shown: Shown,
    record: Record,
    transitions: Transitions,
    schema: str,
    refusing: str,
    action: str,
    trace: str,
    accepted: bool,
    after: str,
) -> None:
    m = build(schema)
    seen = transitions(m)

    def refuse(event: Event) -> bool:
        return not event.transition.is_auto

    events = record(m, **{refusing: refuse})
    *_, last = action.split("; ")
    do(m, action.removesuffix(last))
    del events[:], seen[:]
    assert do(m, last) is EXECUTED
    _, auto = seen
    at = events.index("AnyState") + 1
    assert events[at:] == trace.split()
    assert auto.is_auto
    assert auto.accepted is accepted
    assert auto.mutation.result is (EXECUTED if accepted else CANCELED)
    assert shown(m) == after


def test_c135_autos_that_relations_refuse_are_a_canceled_transition(build: Build, transitions: Transitions) -> None:
    m = build(P5)
    seen = transitions(m)
    m.add("A")
    assert [(tx.is_auto, tx.accepted, tx.canceled_by) for tx in seen] == [(False, True, ""), (True, False, "relations")]


def test_c137_a_chain_of_autos_comes_up_in_one_transition(build: Build, transitions: Transitions) -> None:
    m = build("A{auto} B{auto; require A} C{auto; require B} S")
    seen = transitions(m)
    m.add("S")
    assert [(tx.is_auto, tx.called) for tx in seen] == [(False, ("S",)), (True, ("A", "B", "C"))]


QUAD = "Connecting,Connected,Disconnecting,Disconnected"
CONNECTED = (
    f"Start Connecting{{require Start; remove {QUAD}}} Connected{{require Start; remove {QUAD}}} "
    f"Disconnecting{{remove {QUAD}}} Disconnected{{auto; remove {QUAD}}}"
)

#: Section 1.5, one run from top to bottom: action, clock after.
CONNECTED_RUN = [
    ("add Start", "(Start:1 Disconnected:1)"),
    ("add Connecting", "(Start:1 Connecting:1) [Disconnected:2]"),
    ("add Connected", "(Start:1 Connected:1) [Connecting:2 Disconnected:2]"),
    ("add Disconnecting", "(Start:1 Disconnecting:1) [Connecting:2 Connected:2 Disconnected:2]"),
    ("remove Disconnecting", "(Start:1 Disconnected:3) [Connecting:2 Connected:2 Disconnecting:2]"),
    ("add Connecting; remove Start", "(Disconnected:5) [Start:2 Connecting:4 Connected:2 Disconnecting:2]"),
]


def test_c143_the_connected_quad_has_one_state_at_a_time(build: Build, do: Do, shown: Shown, watched: str) -> None:
    m = build(CONNECTED, watched=watched)
    for action, after in CONNECTED_RUN:
        assert do(m, action) is EXECUTED
        assert shown(m) == after, action
