"""`am history`: the same answers as in Python, for people and for programs, and one line for whatever goes wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from asyncmachine.cli import main
from history import History, Questions, open_history, open_store
from history.export import COLUMNS, as_row
from machine import Machine, Schema, State, bind_state

SECOND = 10**9
MINUTE = 60 * SECOND
BEGINNING = 1_360_375_200 * SECOND  # 2013-02-09T02:00:00Z
TIMES = re.compile(r"(?:^|_)time$")
COMMANDS = ("list", "show", "log", "intervals", "diff", "stats", "export")
#: Each command as it prints JSON.
JSON = (
    "list",
    "show",
    "show gate",
    "log",
    "log --limit 3",
    "intervals gate Open",
    "diff 2013-02-09T02:00:35Z",
    "stats",
)


class Train(Schema):
    Away = State(remove=["Near", "Passing"])
    Near = State(remove="Away")
    Go = State()
    Passing = State(require=["Near", "Go"])


class Gate(Schema):
    Alert = State(remove="Open")
    Open = State(auto=True, remove=["Closing", "Closed"])
    Closing = State(auto=True, require="Alert")
    Closed = State(require="Alert", remove="Closing")


class Lights(Schema):
    Red = State(remove="Dark")
    Dark = State(auto=True)


class Wall:
    at = BEGINNING

    def __call__(self) -> int:
        return self.at


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the story of a level crossing, ten seconds a step."""
    path, wall = tmp_path_factory.mktemp("cli") / "crossing.db", Wall()

    async def story() -> None:
        async with open_history(f"sqlite:///{path}", now=wall) as history:
            train, gate, lights = (Machine(schema, id=schema.__name__.lower()) for schema in (Train, Gate, Lights))
            for machine in (train, gate, lights):
                history.record(machine, rejected=True)
            bind_state(train, "Near", gate, "Alert")
            bind_state(train, "Near", lights, "Red")
            bind_state(gate, "Closed", train, "Go")
            for machine, state in (
                (train, "Away"),
                (gate, "Open"),
                (train, "Near"),
                (train, "Passing"),
                (gate, "Closed"),
                (train, "Passing"),
                (gate, "Open"),
                (train, "Away"),
            ):
                wall.at += 10 * SECOND
                machine.add(state)
            await history.sync()

    trio.run(story)
    return path


@pytest.fixture
def ask(crossing: Path) -> Iterator[Questions]:
    """Return the questions to it in Python."""
    store = open_store(f"sqlite:///{crossing}")
    store.open()
    yield Questions(store, lambda: BEGINNING + 3600 * SECOND)
    store.close()


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "AM_HISTORY", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def run(place: Path | str | None, *arguments: str) -> Result:
    where = [] if place is None else ["--history", str(place)]
    result = CliRunner().invoke(main, ["history", *where, *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def am(place: Path | str | None, *arguments: str) -> str:
    result = run(place, *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def lines(place: Path | str | None, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in am(place, *arguments, "--json").splitlines()]


def failure(place: Path | str | None, *arguments: str, status: int = 2) -> str:
    """Return what a command says when it fails; hold it to one line and to its status."""
    result = run(place, *arguments)
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


# -- answers


def test_list_names_the_machines(crossing: Path, ask: Questions) -> None:
    told = lines(crossing, "list")
    assert [line["machine"] for line in told] == ["train", "gate", "lights"]
    for line, info in zip(told, ask.machines(), strict=True):
        assert tuple(line["states"]) == info.states
        assert (line["first_at"], line["last_at"]) == (info.first_at, info.last_at)
    printed = am(crossing, "list").splitlines()
    assert [row.split()[0] for row in printed] == ["machine", "train", "gate", "lights"]


def test_show_tells_how_a_machine_was(crossing: Path, ask: Questions) -> None:
    for at in ("2013-02-09T02:00:35Z", "@4", "2013-02-09T03:00:35+01:00", "2013-02-09 02:00:35"):
        (line,) = lines(crossing, "show", "gate", "--at", at)
        assert line["active"] == ["Alert", "Closing"]
        assert line["ticks"] == dict(ask.as_of("gate", at).clock)
        assert line["time_sum"] == 4
    printed = am(crossing, "show", "gate", "--at", "@4")
    assert re.search(r"^Closing +1  active$", printed, re.MULTILINE)
    assert re.search(r"^Closed +0$", printed, re.MULTILINE)


def test_show_without_a_moment_is_now(crossing: Path) -> None:
    (line,) = lines(crossing, "show", "train")
    assert line["active"] == ["Away"]
    assert line["asked_at"] > line["at"]


def test_show_without_a_name_is_the_whole_network(crossing: Path, ask: Questions) -> None:
    told = lines(crossing, "show", "--at", "2013-02-09T02:00:35Z")
    network = ask.network("2013-02-09T02:00:35Z")
    assert {line["machine"]: tuple(line["active"]) for line in told} == {n: m.active for n, m in network.items()}
    assert re.search(r"^gate +Alert:1 Closing:1 ", am(crossing, "show", "--at", "2013-02-09T02:00:35Z"), re.MULTILINE)


def test_a_time_that_was_printed_can_be_asked_for(crossing: Path) -> None:
    for record in lines(crossing, "log", "gate"):
        (line,) = lines(crossing, "show", "gate", "--at", record["time"])
        assert (line["at"], line["ticks"]) == (record["at"], record["ticks"])


def test_log_lists_all_transitions_by_time(crossing: Path, ask: Questions) -> None:
    assert lines(crossing, "log") == [json.loads(json.dumps(as_row(record))) for record in ask.between()]
    printed = am(crossing, "log").splitlines()[1:]
    assert len(printed) == len(list(ask.between()))
    assert any("auto Closing" in row and "+Closing" in row for row in printed)
    assert sum("refused" in row for row in printed) == 2


@pytest.mark.parametrize(
    ("options", "question"),
    [
        ("gate", {"machines": "gate"}),
        ("gate train", {"machines": ["gate", "train"]}),
        ("gate gate", {"machines": "gate"}),
        (
            "--since 2013-02-09T02:00:30 --until 2013-02-09T02:01",
            {"t1": MINUTE // 2 + BEGINNING, "t2": MINUTE + BEGINNING},
        ),
        ("gate --since @2 --until @6", {"machines": "gate", "t1": "@2", "t2": "@6"}),
        ("--state Open --state Go", {"changed": ["Open", "Go"]}),
        ("--called Passing", {"called": "Passing"}),
        ("--activated Closed --deactivated Closing", {"activated": "Closed", "deactivated": "Closing"}),
        ("--mutation remove --mutation base", {"mutation": ["remove", "base"]}),
        ("--by train", {"source": "train"}),
        ("--newest", {"newest_first": True}),
    ],
)
def test_log_and_export_leave_out_the_same(
    crossing: Path, ask: Questions, options: str, question: dict[str, Any]
) -> None:
    expected = [record.id for record in ask.between(**question)]
    assert expected
    assert [line["id"] for line in lines(crossing, "log", *options.split())] == expected
    exported = am(crossing, "export", *options.split())
    assert [json.loads(line)["id"] for line in exported.splitlines()] == expected


@pytest.mark.parametrize("order", [[], ["--newest"]])
def test_log_says_how_to_go_on_and_nothing_is_left_out_or_twice(crossing: Path, order: list[str]) -> None:
    whole = [line["id"] for line in lines(crossing, "log", *order)]
    seen: list[int] = []
    after: list[str] = []
    while True:
        result = run(crossing, "log", "--limit", "3", "--json", *order, *after)
        seen += [json.loads(line)["id"] for line in result.stdout.splitlines()]
        if not result.stderr:
            break
        hint = re.search(r"--after \S+", result.stderr)
        assert hint is not None
        after = hint[0].split()
    assert seen == whole


def test_a_table_of_log_is_a_page(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"

    async def busy(history: History) -> None:
        lamp = Machine({"On": State(multi=True)}, id="lamp")
        history.record(lamp)
        for _ in range(80):
            lamp.add("On")

    record(path, busy)
    result = run(path, "log")
    assert len(result.stdout.splitlines()) == 1 + 50
    assert "--after" in result.stderr
    assert len(lines(path, "log")) == 81  # a program gets all of them
    assert len(am(path, "intervals", "lamp", "On").splitlines()) == 3


def test_intervals_draw_the_window(crossing: Path, ask: Questions) -> None:
    window = ("--since", "2013-02-09T02:00:00Z", "--until", "2013-02-09T02:01:20Z")
    told = lines(crossing, "intervals", "train", "Near", *window)
    (span,) = ask.intervals("train", "Near", window[1], window[3])
    assert [(line["start_at"], line["end_at"], line["began"], line["ended"]) for line in told] == [
        (span.start, span.end, True, True)
    ]
    head, row, share = am(crossing, "intervals", "train", "Near", *window).splitlines()
    assert head.split() == ["from", "until", "lasted"]
    assert row.split()[2:] == ["50s", "·" * 12 + "█" * 20]
    assert share.startswith("active 62.5% of the 1m20s ")


def test_an_interval_that_lasts_has_no_end(crossing: Path) -> None:
    first, last = lines(crossing, "intervals", "gate", "Open")
    assert (first["ended"], last["ended"], last["end_at"], last["end_time"]) == (True, False, None, None)
    assert "still active" in am(crossing, "intervals", "gate", "Open")


def test_intervals_of_a_window_in_which_it_was_off(crossing: Path) -> None:
    result = run(crossing, "intervals", "gate", "Closed", "--until", "2013-02-09T02:00:15Z")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "was not active" in result.stderr


def test_many_intervals_say_how_to_go_on(crossing: Path) -> None:
    result = run(crossing, "intervals", "gate", "Open", "--limit", "1")
    assert len(result.stdout.splitlines()) == 3
    since = re.search(r"--since (\S+),", result.stderr)
    assert since is not None
    (rest,) = lines(crossing, "intervals", "gate", "Open", "--since", since[1])
    assert rest["start_time"] == "2013-02-09T02:01:20.000000002Z"


def test_diff_compares_two_moments(crossing: Path, ask: Questions) -> None:
    window = ("2013-02-09T02:00:35Z", "2013-02-09T02:01:15Z")
    told = {line["machine"]: line for line in lines(crossing, "diff", *window)}
    expected = ask.diff(*window)
    assert set(told) == set(expected) == {"train", "gate"}
    for name, change in expected.items():
        assert told[name]["activated"] == list(change.activated)
        assert told[name]["deactivated"] == list(change.deactivated)
        assert told[name]["ticks"] == change.ticks
        assert told[name]["after"]["ticks"] == dict(change.after.clock)
    printed = am(crossing, "diff", *window)
    assert re.search(r"^gate +\+Closed -Closing +Closing\+1 Closed\+1 +2$", printed, re.MULTILINE)


def test_diff_of_one_machine_takes_its_own_time(crossing: Path) -> None:
    (line,) = lines(crossing, "diff", "@3", "@4", "--machine", "gate")
    assert (line["activated"], line["before"]["time_sum"], line["after"]["time_sum"]) == (["Closing"], 3, 4)


def test_diff_tells_what_is_new(crossing: Path) -> None:
    told = lines(crossing, "diff", "2013-01-01", "2013-02-09T02:00:35Z")
    assert [(line["machine"], line["before"]) for line in told] == [(n, None) for n in ("train", "gate", "lights")]
    assert "new" in am(crossing, "diff", "2013-01-01")


def test_stats_count(crossing: Path, ask: Questions) -> None:
    (told,) = lines(crossing, "stats")
    rows = len(list(ask.between()))
    assert (told["rows"], told["machines"], told["horizon_at"]) == (rows, 3, None)
    assert told["bytes"] > 0
    assert sum(each["rows"] for each in told["rows_per_machine"]) == rows
    assert told["rows_per_machine"][0]["rows"] == max(each["rows"] for each in told["rows_per_machine"])
    assert f"rows      {rows}" in am(crossing, "stats")


def test_stats_know_the_horizon(tmp_path: Path) -> None:
    path = tmp_path / "pruned.db"

    async def pruned(history: History) -> None:
        lamp = Machine({"On": State(multi=True)}, id="lamp")
        history.record(lamp)
        for _ in range(9):
            lamp.add("On")
        await history.sync()
        assert await history.prune(max_rows=3) == 7

    record(path, pruned)
    (told,) = lines(path, "stats")
    assert told["rows"] == 3
    assert told["horizon_at"] > told["first_at"]
    (machine,) = lines(path, "list")
    assert "beyond the horizon" in failure(path, "show", "lamp", "--at", machine["first_time"])


def test_a_history_without_machines_says_so(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"

    async def nothing(history: History) -> None:
        await trio.lowlevel.checkpoint()

    record(path, nothing)
    for command in ("list", "show", "log", "diff now"):
        result = run(path, *command.split())
        assert (result.exit_code, result.stdout) == (0, ""), command
        assert result.stderr.strip(), command
        assert lines(path, *command.split()) == []
    (told,) = lines(path, "stats")
    assert (told["rows"], told["first_at"], told["rows_per_machine"]) == (0, None, [])
    assert "nothing was recorded" in am(path, "stats")


# -- owners, and what names may hold


def test_machines_of_several_owners_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "owners.db"

    async def twins(history: History) -> None:
        for owner in ("ann", "bob"):
            history.record(Machine({"On": State()}, id="lamp"), owner=owner)

    record(path, twins)
    said = failure(path, "show", "lamp")
    assert "several owners" in said
    for owner in ("ann", "bob"):
        assert f"'{owner}/lamp'" in said
        (line,) = lines(path, "show", f"{owner}/lamp")
        assert line["owner"] == owner
    assert {line["owner"] for line in lines(path, "show")} == {"ann", "bob"}
    assert re.search(r"^lamp +bob ", am(path, "list"), re.MULTILINE)


def test_a_name_does_not_command_the_terminal(tmp_path: Path) -> None:
    path, name = tmp_path / "names.db", "[red]lamp[/red]\x1b[2J\n:bomb:"

    async def named(history: History) -> None:
        history.record(Machine({"On": State()}, id=name), arguments=True)

    record(path, named)
    for command in (["list"], ["show"], ["show", name], ["log"], ["stats"], ["diff", "2000-01-01"]):
        printed = am(path, *command)
        assert "\x1b" not in printed
        assert r"[red]lamp[/red]\x1b[2J\n:bomb:" in printed
    assert lines(path, "list")[0]["machine"] == name
    assert "\x1b" not in failure(path, "show", name + "x")


# -- for programs


@pytest.mark.parametrize("command", JSON)
def test_json_has_the_documented_keys(crossing: Path, command: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "history.md").read_text(encoding="utf-8")
    name = command.split()[0]
    (documented,) = re.findall(rf"^\| `{name}` \| (?:`([a-z_ ]+)`|the \[columns)", text, re.MULTILINE)
    keys = documented.split() or list(COLUMNS)
    told = lines(crossing, *command.split())
    assert told
    for line in told:
        assert list(line) == keys


@pytest.mark.parametrize("command", JSON)
def test_json_has_each_moment_twice(crossing: Path, command: str) -> None:
    def check(value: Any) -> int:
        if not isinstance(value, dict):
            return sum(map(check, value)) if isinstance(value, list) else 0
        pairs = [(key, key[: -len("time")] + "at") for key in value if TIMES.search(key)]
        for time, at in pairs:
            assert (value[time] is None) == (value[at] is None)
            assert value[time] is None or isinstance(value[at], int)
            assert value[time] is None or value[time].endswith("Z")
        return len(pairs) + sum(map(check, value.values()))

    assert sum(map(check, lines(crossing, *command.split()))) > 0


# -- export


def test_export_writes_to_the_standard_output(crossing: Path, ask: Questions) -> None:
    assert [json.loads(line) for line in am(crossing, "export").splitlines()] == lines(crossing, "log")
    rows = list(csv.DictReader(io.StringIO(am(crossing, "export", "gate", "--format", "csv"))))
    assert [int(row["at"]) for row in rows] == [record.at for record in ask.between(machines="gate")]


@pytest.mark.parametrize("name", ["past.jsonl", "past.csv", "past.parquet"])
def test_export_writes_a_file_as_its_name_ends(crossing: Path, ask: Questions, tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    result = run(crossing, "export", "--state", "Open", "-o", str(tmp_path / name))
    count = len(list(ask.between(changed="Open")))
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    assert f"{count} transitions in " in result.stderr
    if name.endswith("parquet"):
        from pyarrow import parquet

        assert parquet.read_table(tmp_path / name).num_rows == count
    else:
        assert len((tmp_path / name).read_text().splitlines()) == count + name.endswith("csv")


def test_export_refuses_what_it_cannot_write(crossing: Path, tmp_path: Path) -> None:
    assert ".parquet" in failure(crossing, "export", "-o", str(tmp_path / "past.xls"))
    assert "-o past.parquet" in failure(crossing, "export", "--format", "parquet")
    assert "No such file" in failure(crossing, "export", "-o", str(tmp_path / "none" / "past.csv"))
    before = crossing.read_bytes()
    assert "is the history itself" in failure(crossing, "export", "--format", "csv", "-o", str(crossing))
    assert crossing.read_bytes() == before
    assert not list(tmp_path.iterdir())


# -- what goes wrong


def test_bad_times_and_unknown_names_show_what_would_work(crossing: Path) -> None:
    for at in ("yesterday", "2025", "5 minutes ago", "@", "13:00", ""):
        assert "'5m ago'" in failure(crossing, "show", "gate", "--at", at)
    assert "2261" in failure(crossing, "show", "gate", "--at", "9999-01-01")
    assert "did you mean 'gate'" in failure(crossing, "show", "gatee")
    assert "train, gate, lights" in failure(crossing, "log", "xyz")
    assert "did you mean 'Open'" in failure(crossing, "intervals", "gate", "Opn")
    assert "did you mean 'Passing'" in failure(crossing, "log", "--state", "Pasing")
    assert "did you mean 'remove'" in failure(crossing, "log", "--mutation", "remov")
    assert "of one machine" in failure(crossing, "show", "--at", "@4")
    assert "of one machine" in failure(crossing, "log", "--since", "@4")
    assert "it reached 9" in failure(crossing, "show", "gate", "--at", "@100")
    assert "recorded from 2013-02-09T02:00:00" in failure(crossing, "show", "gate", "--at", "2013-01-01")
    assert "--after" in failure(crossing, "log", "--after", "last")


def test_asking_makes_no_database(tmp_path: Path) -> None:
    missing = tmp_path / "sub" / "none.db"
    for command in ("list", "show", "show gate", "log", "intervals gate Open", "diff now", "stats", "export"):
        for place in (missing, f"sqlite:///{missing}", None):
            said = failure(place, *command.split(), status=1)
            assert "there is no history at sqlite:///" in said
            assert "open_history(" in said
    assert "AM_HISTORY" in failure(None, "list", status=1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not missing.parent.exists()


def test_a_file_of_something_else_stays_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be looked at as if it were one" * 20)
    assert "something else" in failure(text, "list", status=1)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE machine (id)")
    connection.close()
    before = other.read_bytes()
    assert "there is no history" in failure(other, "list", status=1)
    assert other.read_bytes() == before
    empty = tmp_path / "empty"
    empty.touch()
    assert "there is no history" in failure(empty, "list", status=1)
    assert empty.stat().st_size == 0
    assert "cannot read" in failure(tmp_path, "list", status=1)


def test_places_that_cannot_be_asked(tmp_path: Path) -> None:
    assert "mysql" in failure("mysql://localhost/x", "list", status=1)
    for url in ("memory:", "sqlite://"):
        assert "name a file" in failure(url, "list")
    said = failure("postgresql+psycopg://am:secret@localhost:1/x", "list", status=1)
    assert "secret" not in said
    assert "cannot" in said


def test_a_newer_history_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"

    async def nothing(history: History) -> None:
        await trio.lowlevel.checkpoint()

    record(path, nothing)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "update the program" in failure(path, "list", status=1)


def test_postgresql_answers_too_and_is_not_set_up_by_asking(postgresql: Any) -> None:
    assert "there is no history" in failure(postgresql.url, "list", status=1)

    async def lit(history: History) -> None:
        lamp = Machine({"On": State()}, id="lamp")
        history.record(lamp)
        lamp.add("On")

    async def recording() -> None:
        async with open_history(postgresql.url) as history:
            await lit(history)

    trio.run(recording)
    assert [line["machine"] for line in lines(postgresql.url, "show")] == ["lamp"]
    assert [line["activated"] for line in lines(postgresql.url, "log", "lamp", "--since", "5m ago")] == [[], ["On"]]
    (told,) = lines(postgresql.url, "stats")
    assert told["rows"] == 2


# -- as a process


def process(place: Path, command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    program = Path(sys.executable).with_name("am")
    environment = {**os.environ, "AM_HISTORY": str(place), **environment}
    return subprocess.run(["sh", "-c", f'"{program}" history {command}'], capture_output=True, env=environment)


def test_a_pipe_gets_whole_lines_without_colours(crossing: Path) -> None:
    done = process(crossing, "log", COLUMNS="40", TERM="xterm-256color")
    assert (done.returncode, done.stderr) == (0, b"")
    printed = done.stdout.decode()
    assert "\x1b" not in printed
    assert "2013-02-09T02:01:20.000000001Z  gate     8  remove Alert" in printed
    assert all(line == line.rstrip() for line in printed.splitlines())


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "long.db"

    async def long(history: History) -> None:
        lamp = Machine({"On": State(multi=True)}, id="lamp")
        history.record(lamp)
        for _ in range(2000):  # much more than a pipe holds
            lamp.add("On")

    record(path, long)
    for command in ("log --json", "log --limit 5000", "export", "export --format csv"):
        done = process(path, f"{command} | head -1")
        assert len(done.stdout.splitlines()) == 1
        assert b"Traceback" not in done.stderr, command
        assert b"Error" not in done.stderr, command


def test_a_terminal_that_has_few_letters_gets_what_it_can_show(crossing: Path) -> None:
    done = process(crossing, "intervals gate Open", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert b"##" in done.stdout
    assert process(crossing, "stats", PYTHONIOENCODING="ascii").returncode == 0


def test_a_question_while_it_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "live.db"

    async def live() -> None:
        async with open_history(f"sqlite:///{path}") as history:
            lamp = Machine({"On": State(multi=True)}, id="lamp")
            history.record(lamp)
            for count in range(3):
                lamp.add("On")
                await history.sync()
                done = await trio.to_thread.run_sync(process, path, "show lamp --json")
                assert json.loads(done.stdout)["ticks"]["On"] == 2 * count + 1, done.stderr

    trio.run(live)


def test_help_shows_the_commands_and_how_to_write_a_time(tmp_path: Path) -> None:
    printed = am(None, "--help")
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", printed, re.MULTILINE)
        assert "Usage:" in am(None, name, "--help")
    assert "5m ago" in printed
    assert "AM_HISTORY" in printed


def record(path: Path, story: Any) -> None:
    """Record a story in a file."""

    async def recording() -> None:
        async with open_history(f"sqlite:///{path}") as history:
            await story(history)

    trio.run(recording)
