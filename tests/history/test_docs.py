"""docs/history.md: its SQL answers what the Python beside it answers, its transcripts are what the command prints."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import history
from history import Questions, open_store, parse_when
from history.export import COLUMNS
from history.tables import metadata

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
PIECE = re.compile(r"^### (?P<title>[^\n]+)$|^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NOW = 1_360_375_260 * 10**9  # 2013-02-09T02:01Z, when the page looks back
Answer = Callable[[Questions], list[tuple[Any, ...]]]


def code(*languages: str) -> list[str]:
    return [found["code"] for found in PIECE.finditer(TEXT) if found["language"] in languages]


def queries() -> list[tuple[str, str]]:
    """Return each SQL block with the question it stands under."""
    title, found = "", []
    for piece in PIECE.finditer(TEXT):
        title = piece["title"] or title
        if piece["language"] == "sql":
            found.append((title, piece["code"]))
    return found


def when(text: str) -> int:
    at = parse_when(f"2013-02-09T02:{text}Z", NOW)
    assert isinstance(at, int)
    return at


def bits(names: tuple[str, ...], states: tuple[str, ...]) -> int:
    return sum(1 << states.index(name) for name in names)


def log_rows(ask: Questions) -> list[tuple[Any, ...]]:
    states = {m.name: m.states for m in ask.machines()}
    return [
        (
            record.id,
            record.machine,
            record.at,
            ("add", "remove", "set", "base", "update").index(record.mutation) + 8 * record.auto + 16 * record.rejected,
            bits(record.called, states[record.machine]),
            bits(record.changed, states[record.machine]),
            bits(record.clock.active_states(), states[record.machine]),
        )
        for record in ask.between(when("00:15"), when("00:35"), ["door", "light"])
    ]


def diff_rows(ask: Questions) -> list[tuple[Any, ...]]:
    found = ask.diff(when("00:25"), when("00:45"))
    return [
        (name, state, int(state in change.activated))
        for name, change in found.items()
        for state in change.after.clock
        if state in change.activated or state in change.deactivated
    ]


def lit(ask: Questions) -> history.Record:
    (record,) = ask.between(when("00:15"), when("00:25"), "light")
    return record


def cause(ask: Questions) -> history.Record:
    found = ask.cause(lit(ask))
    assert found is not None
    return found


WINDOW = (when("00:15"), when("00:25"))
#: What Python says to each SQL block of the page, in its order.
ANSWERS: list[tuple[str, Answer]] = [
    ("", lambda ask: [(m.id, m.name, s, i) for m in ask.machines() for i, s in enumerate(m.states)]),
    ("Which machines are there?", lambda ask: [(m.name, m.epoch, m.last_at) for m in ask.machines()]),
    ("How was a machine at a moment?", lambda ask: [(s,) for s in ask.as_of("door", when("00:25")).active]),
    ("How was it when its own time was 3?", lambda ask: [(ask.as_of("door", "@3").at,)]),
    (
        "How was the whole network?",
        lambda ask: [(name, s) for name, m in ask.network(when("00:25")).items() for s in m.active],
    ),
    ("What happened in between?", log_rows),
    (
        "What happened in between?",
        lambda ask: [
            (r.at,)
            for r in ask.page(
                2,
                machines="door",
                changed="Open",
                newest_first=True,
                after=ask.page(2, machines="door", changed="Open", newest_first=True).next,
            ).records
        ],
    ),
    (
        "When was a state active?",
        lambda ask: [(i.start, i.end) for i in ask.intervals("door", "Open") if i.end is None or i.end > when("00:25")],
    ),
    (
        "Did it change, was it ever?",
        lambda ask: [
            (ask.activated_between("door", "Open", *WINDOW), ask.deactivated_between("door", "Open", *WINDOW))
        ],
    ),
    (
        "For what share of the time?",
        lambda ask: [(pytest.approx(ask.uptime("Open", when("00:00"), when("01:00"), "door")),)],
    ),
    ("What is different?", diff_rows),
    ("Why?", lambda ask: [(cause(ask).id,)]),
    ("Why?", lambda ask: [(effect.id,) for effect in ask.effects(cause(ask))]),
    ("What is new?", lambda ask: [(record.id,) for record in ask.feed(9)]),
]


def record(url: str | None) -> dict[str, Any]:
    """Run the block of the page that records, into another place if there is one; return its names."""
    source = next(block for block in code("python") if "an_evening" in block)
    if url is not None:
        source = re.sub(r"^url = .*$", f"url = {url!r}", source, flags=re.MULTILINE)
    session: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, "docs/history.md", "exec"), session)
    return session


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the file that the page records."""
    path = tmp_path_factory.mktemp("docs") / "house.db"
    session = record(f"sqlite:///{path}")
    yield path
    shutil.rmtree(session["folder"])


def answers(url: str) -> list[list[tuple[Any, ...]]]:
    store = open_store(url)
    store.open()
    try:
        ask = Questions(store, lambda: NOW)
        return [answer(ask) for _, answer in ANSWERS]
    finally:
        store.close()


def test_each_sql_block_stands_under_a_question_that_is_asked_here() -> None:
    assert [title for title, _ in queries()] == [title for title, _ in ANSWERS]


def test_the_sql_answers_what_python_answers(house: Path) -> None:
    with contextlib.closing(sqlite3.connect(house)) as database:
        for (title, sql), expected in zip(queries(), answers(f"sqlite:///{house}"), strict=True):
            assert expected, title
            assert database.execute(sql).fetchall() == expected, title


def test_postgresql_takes_the_same_sql(postgresql: Any) -> None:
    session = record(postgresql.url)
    shutil.rmtree(session["folder"])
    plain = postgresql.url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain) as database:
        for (title, sql), expected in zip(queries(), answers(postgresql.url), strict=True):
            # psycopg gives sums of bigints as Decimal
            rows = [tuple(float(v) if type(v).__name__ == "Decimal" else v for v in r) for r in database.execute(sql)]
            assert rows == expected, title


def test_the_ways_to_write_a_date_are_right(house: Path) -> None:
    with contextlib.closing(sqlite3.connect(house)) as database:
        row = database.execute(
            "SELECT strftime('%s', '2013-02-09 02:00:25') * 1000000000, datetime(at / 1000000000, 'unixepoch')"
            " FROM transition WHERE id = 1"
        ).fetchone()
    assert row == (when("00:25"), "2013-02-09 02:00:00")
    assert "strftime('%s', '2013-02-09 02:00:25') * 1000000000" in TEXT
    assert "datetime(at / 1000000000, 'unixepoch')" in TEXT


def test_the_conditions_on_masks_mean_what_they_say(house: Path) -> None:
    table = TEXT[TEXT.index("## Bit masks") : TEXT.index("## Restore")]
    conditions = [
        found for line in table.splitlines() if line.startswith("| ") for found in re.findall(r"`(.+?)`", line)
    ]
    assert len(conditions) == 7
    store = open_store(f"sqlite:///{house}")
    store.open()
    door = list(Questions(store, lambda: NOW).between(machines="door"))
    store.close()
    active = {r.id: set(r.clock.active_states()) for r in door}
    expected = [
        [r.id for r in door if "Open" in active[r.id]],
        [r.id for r in door if "Open" in active[r.id]],
        [r.id for r in door if "Open" in r.changed],
        [r.id for r in door if "Open" in r.activated],
        [r.id for r in door if "Open" in r.deactivated],
        [r.id for r in door if {"Closed", "Locked"} <= active[r.id]],
        [r.id for r in door if {"Closed", "Locked"} & active[r.id]],
    ]
    assert all(expected)
    with contextlib.closing(sqlite3.connect(house)) as database:
        for condition, ids in zip(conditions, expected, strict=True):
            rows = database.execute(f"SELECT id FROM transition WHERE machine_id = 1 AND ({condition}) ORDER BY id")
            assert [i for (i,) in rows] == ids, condition


def test_the_transcripts_are_what_the_command_prints(house: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "TTY_COMPATIBLE"}}
    program = Path(sys.executable).with_name("am")
    commands = 0
    for transcript in code("console"):
        for part in transcript.split("$ am ")[1:]:
            command, _, shown = part.partition("\n")
            done = subprocess.run(
                [program, *command.split()],
                capture_output=True,
                text=True,
                env={**plain, "AM_HISTORY": str(house), "PYTHONIOENCODING": "utf-8"},
                check=True,
            )
            assert done.stdout == shown, command
            commands += 1
    assert commands > 4


def test_the_drawing_shows_all_tables_and_columns() -> None:
    (drawing,) = code("mermaid")
    drawn = {
        table: set(re.findall(r"^ +\w+ (\w+)", body, re.MULTILINE))
        for table, body in re.findall(r"^    (\w+) \{\n(.*?)^    \}", drawing, re.MULTILINE | re.DOTALL)
    }
    assert drawn == {name: set(table.columns.keys()) for name, table in metadata.tables.items()}


def test_the_tables_of_columns_are_complete() -> None:
    section = TEXT[TEXT.index("| column of `transition`") : TEXT.index("Three indexes")]
    told = [name for line in section.splitlines() if "|" in line for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert set(metadata.tables["transition"].columns.keys()) <= set(told)
    section = TEXT[TEXT.index("| column | JSON lines") : TEXT.index("## Limits")]
    told = [name for line in section.splitlines() if "|" in line for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert sorted(told) == sorted(COLUMNS)


def test_all_three_indexes_are_named() -> None:
    names = {str(index.name) for index in metadata.tables["transition"].indexes}
    assert {name for name in names if f"`{name}`" not in TEXT} == set()


def test_the_questions_of_the_page_are_those_that_there_are() -> None:
    public = {name for name in vars(Questions) if not name.startswith("_")}
    untold = {name for name in public if not re.search(rf"\b(?:ask|history)\.{name}\b|`{name}`", TEXT)}
    assert untold <= {"machine", "moment", "position"}
