"""Every case of the specification has a test, and every deviation from upstream has a reason and a test.

The numbers stand in the ids of parameters (``id="C031"``) and in the names of tests (``test_c007_…``).
"""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from machine import Machine, Result, Schema, State

HERE = Path(__file__).parent

#: Section 13, by its tables. C049 to C069 number rows of section 4.2, which are R1 to R31.
SECTIONS = {
    "13.1": range(1, 25),
    "13.2": [*range(30, 49), *range(70, 74)],
    "13.3": range(80, 105),
    "13.4": range(110, 125),
    "13.5": range(130, 144),
    "13.6": range(150, 165),
    "13.7": range(170, 188),
    "13.8": range(190, 206),
}

#: Cases without a counterpart here.
DOES_NOT_APPLY = {
    "C160": "decision 13: a handler is plain code; there is no deadline, no backoff, and no queue that is dropped",
    "C180": "a wait is a coroutine, not a channel: there is nothing to share",
    "C202": "LIM-9: records hold args as they are, and text does not print them",
}


class Deviation(NamedTuple):
    """Where this machine differs from the upstream one."""

    cases: str
    what: str
    why: str
    test: str


DEVIATIONS = [
    Deviation(
        "R17",
        "an implied state that would remove its adder is dropped",
        "decision 1",
        "relations::test_relations_decide",
    ),
    Deviation(
        "R24",
        "an active multi state adds again only when it is called",
        "decision 1",
        "relations::test_relations_decide",
    ),
    Deviation("R26", "add is followed over any number of hops", "decision 1", "relations::test_relations_decide"),
    Deviation("R27", "what implied states remove is removed", "decision 1, BUG-4", "bugs::test_bug_4_"),
    Deviation(
        "C101", "after holds between any two states, not only neighbours", "decision 2, BUG-5", "bugs::test_bug_5_"
    ),
    Deviation(
        "C003",
        "states keep the order of their declaration, with Exception last",
        "house: mappings are ordered",
        "index::test_the_order_of_declaration_is_the_order_of_the_states",
    ),
    Deviation("C154", "a failing End handler deactivates all enters", "decision 3, BUG-13", "bugs::test_bug_13_"),
    Deviation(
        "C120",
        "a duplicate is one of the last mutation that touches its states",
        "decision 4, LIM-4",
        "examples::test_a_mutation_that_has_nothing_to_add_is_dropped",
    ),
    Deviation("P7", "what newly appears in an auto transition is asked before it enters", "BUG-8", "bugs::test_bug_8_"),
    Deviation("P8", "a refused exit strikes the autos behind it", "decision 5, BUG-9", "bugs::test_bug_9_"),
    Deviation(
        "C141",
        "an auto transition that has lost all its autos is canceled, without AnyEnter",
        "BUG-7",
        "conformance_autos::test_a_refusal_strikes_the_auto_state_that_it_concerns",
    ),
    Deviation("C140", "an auto transition that only swaps states is executed", "BUG-7", "bugs::test_bug_7_"),
    Deviation("C090", "any refusing self handler cancels", "decision 6, BUG-41", "bugs::test_bug_41_"),
    Deviation(
        "C170",
        "an async State handler is a task in the state's scope",
        "decision 7",
        "background::test_an_async_state_handler_lives_as_long_as_the_tick",
    ),
    Deviation(
        "C097",
        "misspelt, ambiguous and uncallable handlers are refused",
        "decision 8, LIM-7",
        "misuse_definitions::test_handlers_that_fit_no_event_are_refused",
    ),
    Deviation(
        "S7",
        "a ticket delivers the verdict of its own mutation",
        "decision 9, BUG-20, BUG-21, BUG-34",
        "bugs::test_bug_20_",
    ),
    Deviation(
        "C117", "a dry run in a drain gets a ticket without a queue tick", "decision 9, BUG-10", "bugs::test_bug_10_"
    ),
    Deviation(
        "C008 C009",
        "unknown names raise in queries too",
        "decision 10",
        "conformance_lifecycle::test_unknown_names_raise_in_queries_too",
    ),
    Deviation(
        "C073", "a contradictory schema raises when it is built", "decision 12", "misuse_definitions::test_c073_"
    ),
    Deviation(
        "C049",
        "a relation to an undeclared state raises",
        "decision 12, LIM-2",
        "misuse_definitions::test_a_schema_that_cannot_work_is_refused_when_it_is_built",
    ),
    Deviation("S8", "lengths that differ raise at the call", "decision 12", "conformance_waits::test_s8_"),
    Deviation("C190", "an order must name each state exactly once", "BUG-2", "bugs::test_bug_2_"),
    Deviation(
        "C191", "a schema may change relations only", "LIM-15", "index::test_a_schema_change_may_be_of_relations_only"
    ),
    Deviation(
        "C159",
        "a handler over its budget is counted; it is not interrupted",
        "decision 13",
        "conformance_errors::test_a_handler_over_its_budget_counts_as_refused",
    ),
    Deviation("C163", "waits see what changed in a failed transition", "BUG-14", "bugs::test_bug_14_"),
    Deviation("C162", "a recovery ticks each state once", "BUG-16", "bugs::test_bug_16_"),
    Deviation("C164", "a failure while an error is handled stops nothing", "BUG-17", "bugs::test_bug_17_"),
    Deviation("C177", "a cancelled wait ends at once and leaves nothing", "LIM-12", "conformance_waits::test_c177_"),
    Deviation(
        "C181",
        "a query that fails raises where it is awaited",
        "one wait, one task",
        "conformance_waits::test_a_query_that_fails_fails_its_waiter_and_not_the_machine",
    ),
    Deviation(
        "C194",
        "mutations and waits of a disposed machine raise DisposedError",
        "issue 2, point 12",
        "conformance_lifecycle::test_c194_",
    ),
    Deviation(
        "C199",
        "a nested eval raises at once; eval returns the function's value",
        "LIM-10",
        "conformance_lifecycle::test_c199_",
    ),
    Deviation("C124", "errors have places of their own in a full queue", "LIM-3", "conformance_queue::test_c124_"),
    Deviation(
        "C197",
        "there are no log levels; tracers write records",
        "decision 14, LIM-9",
        "tracers::test_a_record_is_plain_values_and_text_is_a_view_of_it",
    ),
    Deviation(
        "C157",
        "an error from a handler of Exception is logged and goes no further",
        "LIM-17",
        "conformance_errors::test_an_error_added_while_an_error_is_handled_does_not_go_round",
    ),
    Deviation("C203", "a whole binding follows pure removals", "BUG-31", "bugs::test_bug_31_"),
    Deviation("C204", "a source's posts arrive in order", "BUG-30", "bugs::test_bug_30_"),
]


def sources() -> dict[str, str]:
    """Return the text of the test modules by their names."""
    return {path.stem.removeprefix("test_"): path.read_text() for path in HERE.glob("test_*.py")}


def cases(text: str) -> set[str]:
    """Return the numbers that stand in ids of parameters and names of tests."""
    ids = " ".join(re.findall(r'id="([^"]+)"', text))
    names = " ".join(re.findall(r"def test_((?:[crps]\d+_)+)", text)).upper().replace("_", " ")
    return set(re.findall(r"\b(?:C\d{3}|[RPS]\d+)\b", f"{ids} {names}"))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_case_of_a_section_has_a_test(section: str) -> None:
    tested = set().union(*map(cases, sources().values()))
    wanted = {f"C{number:03}" for number in SECTIONS[section]} - DOES_NOT_APPLY.keys()
    assert wanted - tested == set()


@pytest.mark.parametrize(("letter", "last"), [("R", 31), ("P", 8), ("S", 9)])
def test_every_row_of_the_other_tables_has_a_test(letter: str, last: int) -> None:
    tested = set().union(*map(cases, sources().values()))
    assert {f"{letter}{number}" for number in range(1, last + 1)} - tested == set()


def test_no_case_is_tested_and_said_not_to_apply() -> None:
    assert set().union(*map(cases, sources().values())) & DOES_NOT_APPLY.keys() == set()


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda d: d.cases.replace(" ", "-"))
def test_every_deviation_has_a_reason_and_a_test(deviation: Deviation) -> None:
    module, _, test = deviation.test.partition("::")
    texts = sources()
    text = next(texts[name] for name in (module, f"conformance_{module}") if name in texts)
    assert re.search(rf"def {test}", text)
    assert deviation.why


def test_the_order_of_declaration_is_the_order_of_the_states() -> None:
    assert Schema({"B": State(), "A": State()}).names == ("B", "A", "Exception")
    assert Schema({"Exception": State(multi=True), "B": State(), "A": State()}).names == ("Exception", "B", "A")


def test_a_schema_change_may_be_of_relations_only() -> None:
    m = Machine({"A": State(), "B": State()})
    m.add("A")
    m.set_schema({"A": State(remove="B"), "B": State()})
    assert m.add("B") is Result.CANCELED
    assert m.schema_version == 2
