"""The worked examples of the specification, each one run from top to bottom."""

from collections.abc import Callable

import pytest

from machine import Event, Machine, Result, Transition

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]
Record = Callable[..., list[str]]
Transitions = Callable[[Machine], list[Transition]]

EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED
TURNSTILE = "Locked{auto; remove Unlocked} Unlocked{remove Locked} InputPush InputCoin"

#: Section 12: action, result, clock, queue tick.
TURNSTILE_RUN = [
    ("add Locked", EXECUTED, "(Locked:1)", 2),
    ("add InputPush", CANCELED, "(Locked:1)", 3),
    ("add InputCoin", EXECUTED, "(Unlocked:1) [Locked:2 InputCoin:2]", 6),
    ("add InputCoin", EXECUTED, "(Unlocked:1) [Locked:2 InputCoin:4]", 9),
    ("add InputPush", EXECUTED, "(Locked:3) [Unlocked:2 InputPush:2 InputCoin:4]", 12),
]


class Turnstile:
    """Let one person through for each coin."""

    def InputPushEnter(self, event: Event) -> bool:
        return event.machine.is_active("Unlocked")

    def InputPushState(self, event: Event) -> None:
        event.machine.remove("InputPush")
        event.machine.add("Locked")

    def InputCoinState(self, event: Event) -> None:
        event.machine.remove("InputCoin")
        event.machine.add("Unlocked")


def test_a_turnstile_opens_for_a_coin_and_locks_behind_a_push(build: Build, do: Do, shown: Shown) -> None:
    m = build(TURNSTILE, handlers=Turnstile())
    for action, result, after, queue_tick in TURNSTILE_RUN:
        assert do(m, action) is result, action
        assert shown(m) == after
        assert m.queue_tick == queue_tick


FLOW = """
    DownloadingFile{remove FileDownloaded} FileDownloaded{remove DownloadingFile}
    ProcessingFile{auto; require FileDownloaded; remove FileProcessed} FileProcessed{remove ProcessingFile}
    UploadingFile{auto; require FileProcessed; remove FileUploaded} FileUploaded{remove UploadingFile}
"""


def test_a_file_flows_through_its_stages(build: Build, do: Do, shown: Shown, watched: str) -> None:
    m = build(FLOW, watched=watched)
    steps = [
        ("add DownloadingFile", "(DownloadingFile:1)"),
        ("add FileDownloaded", "(FileDownloaded:1 ProcessingFile:1) [DownloadingFile:2]"),
        (
            "add FileProcessed",
            "(FileDownloaded:1 FileProcessed:1 UploadingFile:1) [DownloadingFile:2 ProcessingFile:2]",
        ),
        (
            "add FileUploaded",
            "(FileDownloaded:1 FileProcessed:1 FileUploaded:1) [DownloadingFile:2 ProcessingFile:2 UploadingFile:2]",
        ),
    ]
    for action, after in steps:
        assert do(m, action) is EXECUTED
        assert shown(m) == after


def test_the_drain_of_start_and_ready_is_read_in_order(
    build: Build, shown: Shown, record: Record, transitions: Transitions
) -> None:
    m = build("Start Ready{auto; require Start}")
    seen = transitions(m)
    events = record(m)
    rows = []

    def step() -> None:
        rows.append((" ".join(events), shown(m)))
        del events[:]

    m.add("Start")
    cut = events.index("AnyState") + 1
    rows.append((" ".join(events[:cut]), "(Start:1)"))
    del events[:cut]
    step()
    m.remove("Start")
    step()
    assert rows == [
        ("StartEnter AnyEnter StartState AnyState", "(Start:1)"),
        ("ReadyEnter StartStart StartReady AnyEnter ReadyState AnyState", "(Start:1 Ready:1)"),
        ("StartExit ReadyExit AnyEnter StartEnd ReadyEnd AnyState", "() [Start:2 Ready:2]"),
    ]
    assert [(tx.called, tx.is_auto, tx.accepted, tx.mutation.queue_tick) for tx in seen] == [
        (("Start",), False, True, 2),
        (("Ready",), True, True, 0),
        (("Start",), False, True, 3),
        (("Ready",), True, False, 0),
    ]
    assert tuple(seen[0].time_after) == (1, 0, 0)


def test_errors_of_a_schema_that_does_not_declare_exception(build: Build, do: Do, shown: Shown) -> None:
    """Section 1.2, where upstream dropped both relations (BUG-1)."""
    for declared in ("", " Exception{multi}"):
        m = build(f"ErrNet{{multi; add Exception; require Exception}}{declared}")
        assert do(m, "add ErrNet") is EXECUTED
        assert shown(m) == "(ErrNet:1 Exception:1)"


def test_an_auto_transition_comes_before_what_handlers_asked_for(build: Build, transitions: Transitions) -> None:
    """Section 3.3."""

    def state(event: Event) -> None:
        event.machine.add("B")
        event.machine.add("C")

    m = build("A B C D Z{auto; require A}", handlers={"AState": state})
    seen = transitions(m)
    m.add("A")
    assert [(*tx.called, tx.mutation.queue_tick) for tx in seen] == [("A", 2), ("Z", 0), ("B", 3), ("C", 4)]


#: Section 3.5: mutations in AState, and what is left of them.
SCENES = [
    pytest.param(["add B", "remove B"], [3, 4], "(A:1) [B:2]", id="counter-mutation"),
    pytest.param(["add B", "remove B", "add B"], [3, 4, 5], "(A:1 B:3)", id="decision-4"),
    pytest.param(["add B", "add C", "add B"], [3, 4, 0], "(A:1 B:1 C:1)", id="duplicate-further-up"),
    pytest.param(["add B", "set B", "add B"], [3, 4, 5], "(B:1) [A:2]", id="a-set-decides-about-all"),
    pytest.param(["add B,C", "add C,B"], [3, 0], "(A:1 B:1 C:1)", id="order-does-not-matter"),
    pytest.param(["add B,C", "add B"], [3, 4], "(A:1 B:1 C:1)", id="fewer-states-are-another-mutation"),
    pytest.param(["remove B"], [0], "(A:1)", id="nothing-to-remove"),
    pytest.param(["remove A"], [3], "() [A:2]", id="self-removal"),
    pytest.param(["add C", "remove B"], [3, 4], "(A:1 C:1)", id="something-is-queued"),
]


@pytest.mark.parametrize(("actions", "ticks", "after"), SCENES)
def test_a_mutation_that_has_nothing_to_add_is_dropped(
    build: Build, do: Do, shown: Shown, actions: list[str], ticks: list[int], after: str
) -> None:
    results: list[Result] = []
    m = build("A B C", handlers={"AState": lambda e: results.extend(do(e.machine, a) for a in actions)})
    m.add("A")
    assert [r.queue_tick for r in results] == ticks
    assert shown(m) == after
