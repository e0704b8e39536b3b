"""Sections 4.2 and 13.2: which states relations let in, and which they throw out.

Rows follow the resolver of section 4.2b (decision 1). Schemas and mutations are in the notation of `conftest`.
"""

from collections.abc import Callable

import pytest

from machine import Machine, Result, Schema, State, Transition, UnknownStateError

Build = Callable[..., Machine]
Do = Callable[[Machine, str], Result]
Shown = Callable[[Machine], str]

EXECUTED, CANCELED = Result.EXECUTED, Result.CANCELED
CHAIN = "A{require B} B{require C} C"
ONE_WAY = "A{remove B} B"
MUTUAL = "C{remove D} D{remove C}"
BLOCKED = "A{remove B} B{remove C} C"
TRIO = "A{remove A,B,C} B{remove A,B,C} C{remove A,B,C}"
WATER = "Wet{require Water} Dry{remove Wet} Water{add Wet; remove Dry}"
REIMPLIED = "A{multi; add B; require C} B{require C} C"

#: Section 4.2: number, schema, before, action, result, clock after.
CONSEQUENCES = [
    pytest.param("Foo{require Bar} Bar", "", "add Foo", CANCELED, "()", id="R1"),
    pytest.param(CHAIN, "add C; add B; add A", "remove C", EXECUTED, "() [A:2 B:2 C:2]", id="R2"),
    pytest.param(CHAIN, "", "add A,B", CANCELED, "()", id="R3"),
    pytest.param("A{require B} B{require A}", "", "add A,B", EXECUTED, "(A:1 B:1)", id="R4"),
    pytest.param("A{require B} B{require A}", "add A,B", "remove A", EXECUTED, "() [A:2 B:2]", id="R4-remove"),
    pytest.param(ONE_WAY, "add A", "add B", CANCELED, "(A:1)", id="R5"),
    pytest.param(ONE_WAY, "add A", "set B", EXECUTED, "(B:1) [A:2]", id="R6"),
    pytest.param("A B{remove A}", "", "add A,B", CANCELED, "()", id="R7"),
    pytest.param("A B{remove A}", "", "add B,A", CANCELED, "()", id="R7-reversed"),
    pytest.param(MUTUAL, "add D", "add C", EXECUTED, "(C:1) [D:2]", id="R8-add"),
    pytest.param(MUTUAL, "add D", "set C", EXECUTED, "(C:1) [D:2]", id="R8-set"),
    pytest.param(MUTUAL, "add C", "add D", EXECUTED, "(D:1) [C:2]", id="R8-other-way"),
    pytest.param(MUTUAL, "add D", "add C,D", CANCELED, "(D:1)", id="R9"),
    pytest.param(TRIO, "", "add A; add B; add C", EXECUTED, "(C:1) [A:2 B:2]", id="R10"),
    pytest.param(BLOCKED, "add B", "add A,C", EXECUTED, "(A:1 C:1) [B:2]", id="R11"),
    pytest.param(BLOCKED, "", "add A,B,C", CANCELED, "()", id="R12"),
    pytest.param("A{add B} B{remove C} C", "add C", "add A", EXECUTED, "(A:1 B:1) [C:2]", id="R13"),
    pytest.param("A{add B} B X{remove B}", "add X", "add A", EXECUTED, "(A:1 X:1)", id="R14"),
    pytest.param("A{add B} B{remove X} X{remove B}", "add X", "add A", EXECUTED, "(A:1 X:1)", id="R15"),
    pytest.param("A{add B} B C{remove B}", "", "add A,C", EXECUTED, "(A:1 C:1)", id="R16"),
    pytest.param("A{add B} B{remove A}", "", "add A", EXECUTED, "(A:1)", id="R17"),  # decision 1
    pytest.param("A{add B; require B} B X{remove B}", "add X", "add A", CANCELED, "(X:1)", id="R18"),
    pytest.param("A{add B} B{require X} X", "", "add A", EXECUTED, "(A:1)", id="R19"),
    pytest.param("A{require B} B X{remove B}", "add B; add A", "add X", EXECUTED, "(X:1) [A:2 B:2]", id="R20"),
    pytest.param("A{require B} B C{remove B}", "add B", "add A,C", CANCELED, "(B:1)", id="R21"),
    pytest.param("A{add B} B", "add A; remove B", "add A", EXECUTED, "(A:1) [B:2]", id="R22"),
    pytest.param("A{add B} B", "add A", "set A", EXECUTED, "(A:1) [B:2]", id="R23"),
    pytest.param(
        "A{multi; add B} B C", "add A; remove B", "add C", EXECUTED, "(A:1 C:1) [B:2]", id="R24"
    ),  # decision 1
    pytest.param(REIMPLIED, "set C; add A", "remove B", EXECUTED, "(A:1 C:1) [B:2]", id="R25"),
    pytest.param("A{add B} B{add C} C{add D} D", "", "add A", EXECUTED, "(A:1 B:1 C:1 D:1)", id="R26"),  # decision 1
    pytest.param("A{add B} B{add C} C{remove X} X", "add X", "add A", EXECUTED, "(A:1 B:1 C:1) [X:2]", id="R27"),
    pytest.param(WATER, "add Dry", "set Water", EXECUTED, "(Wet:1 Water:1) [Dry:2]", id="R28"),
    pytest.param("A{remove B} B{remove A} Z{add B}", "", "set Z", EXECUTED, "(B:1 Z:1)", id="R29"),
    pytest.param(
        "A{add B} B{require D; add C} C D{remove C} E{add D}", "", "add A,E", EXECUTED, "(A:1 B:1 D:1 E:1)", id="R30"
    ),
    pytest.param("A{remove X; require M} X M", "add X", "add A", CANCELED, "(X:1)", id="R31"),
]

REMOVES_D = "A B C{remove D} D"
CROSS = "A B C{remove D} D{remove C}"
REQUIRES_D = "A B C{require D} D"
DRY = "Wet{require Water} Dry{remove Water} Water{add Wet; remove Dry}"
FILE = (
    "ProcessingFile{remove FileProcessed} FileProcessed{remove ProcessingFile} InProgress{auto; require ProcessingFile}"
)

#: Section 13.2; the rows C049 to C069 are those of section 4.2 above.
CASES = [
    pytest.param(REMOVES_D, "set D", "add C", EXECUTED, "(C:1) [D:2]", id="C030"),
    pytest.param(REMOVES_D, "set D", "set C,D", CANCELED, "(D:1)", id="C031"),
    pytest.param(CROSS, "set D", "set C", EXECUTED, "(C:1) [D:2]", id="C032"),
    pytest.param(CROSS, "set D; set C", "set D", EXECUTED, "(D:3) [C:2]", id="C033"),
    pytest.param(CROSS, "set D", "add C", EXECUTED, "(C:1) [D:2]", id="C034"),
    pytest.param(CROSS, "set D; add C", "add D", EXECUTED, "(D:3) [C:2]", id="C035"),
    pytest.param("A{remove D} B C{add D} D", "", "set C", EXECUTED, "(C:1 D:1)", id="C036"),
    pytest.param("A{remove D} B C{add D} D", "set C", "set A,C", EXECUTED, "(A:1 C:1) [D:2]", id="C036-dropped"),
    pytest.param(REQUIRES_D, "set A", "set C,D", EXECUTED, "(C:1 D:1) [A:2]", id="C037"),
    pytest.param(REQUIRES_D, "set A", "set C,A", CANCELED, "(A:1)", id="C038"),
    pytest.param(f"{REIMPLIED} D", "set C; add A", "remove B", EXECUTED, "(A:1 C:1) [B:2]", id="C039"),
    pytest.param("A{remove B} B{remove A} Z{add B}", "", "set Z", EXECUTED, "(B:1 Z:1)", id="C040"),
    pytest.param(WATER, "set Dry", "set Water", EXECUTED, "(Wet:1 Water:1) [Dry:2]", id="C041"),
    pytest.param("Foo{require Bar} Bar", "", "add Foo", CANCELED, "()", id="C042"),
    pytest.param(DRY, "add Dry; add Water", "add Dry", EXECUTED, "(Dry:3) [Wet:2 Water:2]", id="C043"),
    pytest.param("A{add B} B{remove C} C", "add C", "add A", EXECUTED, "(A:1 B:1) [C:2]", id="C044"),
    pytest.param("A{add B} B C{remove B}", "", "add A,C", EXECUTED, "(A:1 C:1)", id="C045"),
    pytest.param(TRIO, "add A; add B", "add C", EXECUTED, "(C:1) [A:2 B:2]", id="C046"),
    pytest.param(
        "A{add B} B{require D; add C} C D{remove C} E{add D}", "", "add A,E", EXECUTED, "(A:1 B:1 D:1 E:1)", id="C047"
    ),
    pytest.param(FILE, "", "add ProcessingFile", EXECUTED, "(ProcessingFile:1 InProgress:1)", id="C048"),
    pytest.param(
        FILE,
        "add ProcessingFile",
        "add FileProcessed",
        EXECUTED,
        "(FileProcessed:1) [ProcessingFile:2 InProgress:2]",
        id="C048-processed",
    ),
]

#: Section 13.2 numbers these rows of section 4.2; it has one number more than there are rows.
NUMBERED = [2, 3, 4, 5, 6, 7, 9, 11, 12, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 31]


@pytest.mark.parametrize(("schema", "before", "action", "result", "after"), [*CONSEQUENCES, *CASES])
def test_relations_decide(
    build: Build,
    do: Do,
    shown: Shown,
    watched: str,
    schema: str,
    before: str,
    action: str,
    result: Result,
    after: str,
) -> None:
    m = build(schema, before, watched=watched)
    assert do(m, action) is result
    assert shown(m) == after


def test_the_rows_c049_to_c069_are_all_among_the_consequences() -> None:
    rows = {str(row.id).partition("-")[0] for row in CONSEQUENCES}
    assert rows == {f"R{n}" for n in range(1, 32)}
    assert {f"R{n}" for n in NUMBERED} <= rows
    assert len(NUMBERED) == len(range(49, 70)) - 1


@pytest.mark.parametrize(
    ("schema", "before", "action", "reason"),
    [
        pytest.param(REMOVES_D, "set D", "set C,D", "D removed by C", id="C031"),
        pytest.param(REQUIRES_D, "set A", "set C,A", "C lacks D", id="C038"),
        pytest.param(CHAIN, "", "add A,B", "B lacks C", id="R3"),
        pytest.param("A{add B} B X{remove B}", "add X", "add A", "B removed by X", id="R14"),
    ],
)
def test_the_steps_of_a_transition_say_why_relations_refused(
    build: Build,
    do: Do,
    transitions: Callable[[Machine], list[Transition]],
    schema: str,
    before: str,
    action: str,
    reason: str,
) -> None:
    m = build(schema, before)
    seen = transitions(m)
    do(m, action)
    assert reason in [str(step) for step in seen[0].steps]


def test_c070_the_relations_of_a_state_are_listed() -> None:
    schema = Schema({"A": State(add="B", require="B", auto=True), "B": State()})
    assert set(schema.relations_of("A")) == {"add", "require"}
    assert schema.relations_of("B") == ()


def test_c071_the_relations_between_two_states_are_listed() -> None:
    schema = Schema(
        {
            "A": State(add=["B", "C"], after="B"),
            "B": State(remove="C", add="A"),
            "C": State(after="D"),
            "D": State(require="A"),
        }
    )
    assert set(schema.relations_between("A", "B")) == {"add", "after"}
    assert schema.relations_between("B", "C") == ("remove",)
    assert schema.relations_between("C", "D") == ("after",)
    assert schema.relations_between("D", "A") == ("require",)
    assert schema.relations_between("A", "D") == ()
    for pair in (("A", "Err"), ("Err", "A")):
        with pytest.raises(UnknownStateError, match="'Err'"):
            schema.relations_between(*pair)


def test_c072_a_whole_group_may_be_listed_and_add_wins_over_remove() -> None:
    schema = Schema({"A": State(remove=["A", "B", "C"], add="C", after="A"), "B": State(), "C": State()})
    assert schema["A"] == State(remove="B", add="C")
