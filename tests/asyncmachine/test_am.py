"""The commands around peers, as a user runs them: a peer in a process of its own, and guests that look at it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from asyncmachine.cli import main
from tests.ports import free_port

AM = Path(sys.executable).with_name("am")
SOON = 120.0  # s; a bound for what takes one or two, on a machine that does other things as well

HOUSE = """
import sys
import trio
import asyncmachine as am

DOOR = am.Schema({"Open": am.State(remove=["Closed"]), "Closed": am.State(remove=["Open"])})
door = am.Machine(DOOR, id="door", tags=["hall"])
bell = am.Machine(am.Schema({"Rings": am.State(multi=True)}), id="bell")
closing = am.Machine(am.Schema({"Disposing": am.State(), "Ready": am.State()}), id="closing")
everything = [door, bell, closing]


async def program(peer):
    door.add("Closed")
    closing.add("Ready")
    while True:
        door.add("Open")
        await trio.sleep(0.05)
        door.add("Closed")
        await trio.sleep(0.05)


async def fails(peer):
    await trio.sleep(0)
    raise KeyError("lost in the house")


async def adds(peer):
    return am.Machine(DOOR, id="late")


async def ends(peer):
    await trio.sleep(2.5)  # in which a peer that is down is dialled more than once
    sys.exit(code)


code = 0


async def hangs(peer):
    await trio.sleep(0.2)
    print("hanging", file=sys.stderr, flush=True)
    while True:
        pass


async def sleeps(peer):
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)
"""


@dataclass
class Running:
    """`am peer run` in a process of its own."""

    process: subprocess.Popen[str]
    log: Path
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        address = self.ready["addresses"][0]
        assert isinstance(address, str)
        return address

    def end(self, *signals: signal.Signals) -> int:
        for number in signals:
            self.process.send_signal(number)
        return self.process.wait(SOON)


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    """Start `am peer run`, and wait until it is ready."""
    log = folder / f"log-{len(list(folder.glob('log-*')))}"
    with log.open("w") as err:
        process = subprocess.Popen(
            [AM, "peer", "run", *arguments, "--json"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            env={**os.environ, **environment},
        )
    started = Running(process, log)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        started.ready = json.loads(line)
        yield started
    finally:
        process.kill()
        process.communicate()


def am(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, arguments, **options)


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def until(holds: Callable[[], object]) -> None:
    """Wait until something is so; fail if it is not within a long while."""
    deadline = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("house")
    (made / "house.py").write_text(HOUSE)
    (made / "topic.key").write_text("open sesame\n")
    (made / "topic.key").chmod(0o600)
    (made / "peer.toml").write_text(
        'topic = "house"\n'
        'key = "door.key"\n'
        'topic_key_file = "topic.key"\n'
        f'listen = ["/ip4/127.0.0.1/tcp/{free_port()}"]\n'
        'machines = ["house.py:everything", "house.py:program"]\n'
        'history = "house.db"\n'
        'metrics = "127.0.0.1:0"\n'
        'log = "json"\n'
    )
    return made


@pytest.fixture(scope="module")
def house(folder: Path) -> Iterator[Running]:
    """Return a peer that runs for all tests of this module; those that stop one start their own."""
    with running(folder, "peer.toml") as started:
        yield started


@pytest.fixture
def network(house: Running, folder: Path) -> tuple[str, ...]:
    patience = ("--timeout", f"{SOON:g}")  # the last one counts
    return (*patience, "--topic", "house", "--topic-key-file", str(folder / "topic.key"), "--connect", house.address)


# -- run


def test_a_peer_says_once_that_it_is_ready(house: Running) -> None:
    assert {key: house.ready[key] for key in ("event", "topic", "machines", "restored")} == {
        "event": "ready",
        "topic": "house",
        "machines": ["door", "bell", "closing"],
        "restored": [],
    }
    assert house.ready["pid"] == house.process.pid
    assert house.address.endswith(house.ready["peer"])


def test_a_stopped_peer_leaves_and_comes_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    for name in ("house.py", "topic.key"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "topic.key").chmod(0o600)
    config = (folder / "peer.toml").read_text()
    (tmp_path / "peer.toml").write_text(re.sub(r"tcp/\d+", "tcp/0", config).replace("metrics", "# metrics"))

    with running(tmp_path, "peer.toml") as first:
        until(lambda: "door" in json.dumps(json_of("-H", str(tmp_path / "house.db"), "show", "door")))
        assert first.end(signal.SIGTERM) == 0
        said = [json.loads(line) for line in first.log.read_text().splitlines()]
        assert [(line["level"], line["logger"]) for line in said] == [("info", "asyncmachine.service")]
        assert said[0]["message"].startswith("SIGTERM: leaving")
    (before,) = json_of("-H", str(tmp_path / "house.db"), "show", "door")
    (closing,) = json_of("-H", str(tmp_path / "house.db"), "show", "closing")
    assert closing["active"] == ["Ready"]  # and not Disposing: what a machine does while it is closed is not kept

    with running(tmp_path, "peer.toml") as second:
        assert second.ready["restored"] == ["door", "bell", "closing"]
        assert second.ready["peer"] == first.ready["peer"]
        assert second.end(signal.SIGINT) == 0
    rows = json_of("-H", str(tmp_path / "house.db"), "log", "door", "--limit", "100000")
    bases = [row for row in rows if row["mutation"] == "base"]
    assert [base["ticks"] for base in bases[1:]] == [before["ticks"]]


def json_of(*arguments: str) -> list[dict[str, Any]]:
    result = am("history", *arguments, "--json")
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_second_signal_ends_it_at_once(folder: Path) -> None:
    with running(folder, "house.py:sleeps", "--topic", "other") as started:
        started.process.send_signal(signal.SIGTERM)
        until(lambda: "leaving" in started.log.read_text())
        assert started.end(signal.SIGTERM) == -signal.SIGTERM


def test_a_second_signal_ends_even_a_peer_that_is_stuck(folder: Path) -> None:
    with running(folder, "house.py:hangs", "--topic", "other") as started:
        until(lambda: "hanging" in started.log.read_text())

        def is_over() -> bool:
            started.process.send_signal(signal.SIGTERM)  # more than twice: two of a kind that are pending are one
            return started.process.poll() is not None

        until(is_over)
        assert started.process.returncode == -signal.SIGTERM


def test_a_program_that_fails_ends_the_peer_with_its_traceback(tmp_path: Path) -> None:
    house = tmp_path / "house.py"  # a copy: the machines of this process are closed afterwards
    house.write_text(HOUSE)
    result = am("peer", "run", f"{house}:bell", f"{house}:fails", "--topic", "other", "--log", "json", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["machines"] == ["bell"]
    (said,) = map(json.loads, result.stderr.splitlines())
    assert said["level"] == "error"
    assert said["message"].endswith("house.py:fails failed")
    assert "KeyError: 'lost in the house'" in said["error"]


@pytest.mark.parametrize("code", [0, 3])
def test_a_program_may_end_the_peer_and_one_that_is_down_was_said_once(code: int, tmp_path: Path) -> None:
    house = tmp_path / "house.py"
    house.write_text(HOUSE.replace("code = 0", f"code = {code}"))
    nobody = am("key", "new", str(tmp_path / "nobody.key")).stdout.strip()
    connect = ("--connect", f"/ip4/127.0.0.1/tcp/1/p2p/{nobody}")
    result = am("peer", "run", f"{house}:ends", "--topic", "other", *connect, "--log", "json")
    assert result.exit_code == bool(code)
    down, ended = map(json.loads, result.stderr.splitlines())
    assert (down["level"], ended["level"]) == ("warning", "info")
    assert re.match(rf"{nobody} does not answer .* it is dialled until it does$", down["message"])
    assert ended["message"] == f"{house}:ends has ended the peer: {code}"


def test_what_a_program_returns_is_shared_and_the_supervisor_is_told(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="am-", dir="/tmp") as short,  # a socket's path is
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor,
    ):
        supervisor.bind(f"{short}/notify")
        supervisor.settimeout(SOON)
        with running(folder, "house.py:adds", "--topic", "other", NOTIFY_SOCKET=f"{short}/notify") as started:
            assert supervisor.recv(1000).decode().splitlines()[0] == "READY=1"
            result = am(
                "when",
                "late",
                "Open",
                "--not",
                "--topic",
                "other",
                "--connect",
                started.address,
                "--timeout",
                f"{SOON:g}",
            )
            assert result.exit_code == 0, result.stderr
            assert started.end(signal.SIGTERM) == 0
            assert supervisor.recv(1000) == b"STOPPING=1"


def test_a_peer_may_keep_the_past_of_all_others(house: Running, folder: Path) -> None:
    keeper = folder / "keeper.toml"
    keeper.write_text(
        'topic = "house"\n'
        'topic_key_file = "topic.key"\n'
        f'connect = ["{house.address}"]\n'
        'history = "all.db"\n'
        "observe = true\n"
        'metrics = "0"\n'
    )
    with running(folder, "keeper.toml") as started:
        assert started.ready["machines"] == []
        until(lambda: "asyncmachine_observer_rows_total 0.0" not in fetched(started)[2])
        assert "asyncmachine_observer_owners 1.0" in fetched(started)[2]
        assert started.end(signal.SIGTERM) == 0
    kept = json_of("-H", str(folder / "all.db"), "list")
    assert {machine["owner"] for machine in kept} == {house.ready["peer"]}
    assert {machine["machine"] for machine in kept} >= {"door"}


# -- metrics


def fetched(house: Running, path: str = "/metrics", **headers: str) -> tuple[int, str, str]:
    place = house.ready["metrics"].split("/")[2]
    connection = http.client.HTTPConnection(place, timeout=SOON)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["content-type"], text


def test_metrics_are_those_of_peer_machines_history_and_process(house: Running) -> None:
    def samples() -> dict[tuple[str, ...], float]:
        status, kind, text = fetched(house)
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    before = samples()
    until(lambda: samples()["asyncmachine_machine_transitions_total", "door"] > 0)
    after = samples()
    assert after["asyncmachine_peer_members", "alive"] == 1
    assert after["asyncmachine_machines",] == 3
    door = [after["asyncmachine_machine_state_active", "door", state] for state in ("Open", "Closed")]
    assert sum(door) == 1
    assert after["asyncmachine_history_recorders",] == 3
    assert after["asyncmachine_history_lost_total",] == after["asyncmachine_history_failing",] == 0
    assert after["process_open_fds",] > 0
    for name in before:
        if name[0].endswith("_total"):
            assert after[name] >= before[name], name


def test_metrics_are_at_one_path_and_in_the_form_that_is_asked_for(house: Running) -> None:
    assert fetched(house, "/")[0] == 404
    status, kind, text = fetched(house, accept="application/openmetrics-text; version=1.0.0")
    assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
    assert text.endswith("# EOF\n")


# -- guests


def test_the_list_has_all_members_and_their_machines(house: Running, network: tuple[str, ...]) -> None:
    (member,) = lines(am("peer", "list", *network, "--json"))
    assert (member["peer"], member["status"], member["connected"]) == (house.ready["peer"], "alive", True)
    assert [machine["machine"] for machine in member["machines"]] == ["bell", "closing", "door"]
    door = member["machines"][2]
    assert door["tags"] == ["hall"]
    assert door["time_sum"] == sum(door["ticks"].values())
    assert sorted(door["ticks"]) == ["Closed", "Exception", "Open"]


def test_a_configuration_leads_to_the_peer_that_runs_with_it(house: Running, folder: Path) -> None:
    result = am("peer", "list", "--config", str(folder / "peer.toml"), "--timeout", f"{SOON:g}")
    assert result.exit_code == 0, result.stderr
    assert house.ready["peer"] in result.stdout
    assert re.search(r"^door +…\w{6} .*hall$", result.stdout, re.MULTILINE)


def test_changes_are_followed_live(house: Running, network: tuple[str, ...]) -> None:
    first, *changes = lines(am("watch", "d*:Open", *network, "--count", "4", "--json"))
    assert (first["event"], first["machine"], first["owner"]) == ("known", "door", house.ready["peer"])
    for change in changes:
        assert change["event"] == "changed"
        assert "Open" in [*change["added"], *change["removed"], *change["passed"]]
    assert first["ticks"]["Open"] < changes[0]["ticks"]["Open"] < changes[-1]["ticks"]["Open"]


def test_changes_are_shown_to_people(network: tuple[str, ...]) -> None:
    result = am("watch", "*", *network, "--count", "6", "--owner", network[-1][-6:])
    assert result.exit_code == 0, result.stderr
    shown = result.stdout.splitlines()
    for line in shown:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  …\w{6}  (door|bell|closing)  ", line)
    assert any(re.search(r"  door  ([-+~](Open|Closed) )+ \(\w+:\d+\)$", line) for line in shown)


def test_waiting_ends_when_the_state_comes(network: tuple[str, ...]) -> None:
    (came,) = lines(am("when", "door", "Open", *network, "--json"))
    assert (came["machine"], came["event"]) == ("door", "came")
    assert am("when", "closing", "Ready", *network).exit_code == 0
    assert am("when", "bell", "Rings", "--not", *network).exit_code == 0


def test_watching_and_waiting_end_when_the_time_is_over(network: tuple[str, ...]) -> None:
    assert am("watch", "bell:Rings", *network, "--for", "0.2").exit_code == 0
    result = am("when", "bell", "Rings", *network, "--timeout", "0.2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr


def test_waiting_for_a_state_that_the_machine_has_not_is_the_users_error(network: tuple[str, ...]) -> None:
    result = am("when", "door", "Opne", *network)
    assert result.exit_code == 2
    assert "door has no state 'Opne' — did you mean 'Open'?" in result.stderr


def test_guests_leave_no_trace_among_the_members(network: tuple[str, ...]) -> None:
    first, second = (lines(am("peer", "list", *network, "--all", "--json")) for _ in range(2))
    assert [member["peer"] for member in first] == [member["peer"] for member in second]


def test_who_has_another_key_of_the_topic_is_told_and_the_peer_says_so_too(
    house: Running, network: tuple[str, ...]
) -> None:
    result = am("peer", "list", "--topic", "house", "--connect", house.address, "--timeout", "1")
    assert result.exit_code == 1
    assert "no peer of the topic 'house' was found within 1 s" in result.stderr
    assert "with this topic and topic key" in result.stderr


def test_a_peer_that_is_not_there_is_told(network: tuple[str, ...]) -> None:
    nowhere = re.sub(r"tcp/\d+", "tcp/1", network[-1])
    for command in (["peer", "list"], ["when", "door", "Open"], ["watch", "*"]):
        result = am(*command, *network[:-1], nowhere, "--timeout", "0.5")
        assert result.exit_code == 1
        assert "no peer of the topic 'house' was found within 0.5 s" in result.stderr


@pytest.mark.parametrize("command", [["peer", "list"], ["watch", "*"], ["when", "door", "Open"]])
def test_a_guest_wants_to_know_where_to_begin(command: list[str]) -> None:
    result = am(*command, "--topic", "house")
    assert result.exit_code == 2
    assert "nobody to begin with: give --connect ADDRESS" in result.stderr


# -- what keeps a peer from starting


def started(folder: Path, *arguments: str) -> Result:
    """Try to run a peer; it must not come that far."""
    return am("peer", "run", f"{folder / 'house.py'}:bell", "--topic", "other", *arguments)


def test_a_port_in_use_is_told(house: Running, folder: Path) -> None:
    address = house.address.partition("/p2p/")[0]
    result = started(folder, "--listen", address)
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: cannot listen on {address}: Address already in use. Give another, or port 0\n",
    )


def test_a_metrics_port_in_use_is_told(house: Running, folder: Path) -> None:
    place = house.ready["metrics"].split("/")[2]
    result = started(folder, "--metrics", place)
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: cannot serve metrics on {place}: Address already in use. Give another port, or 0\n",
    )


def test_a_key_in_use_is_told(house: Running, folder: Path) -> None:
    result = started(folder, "--key", str(folder / "door.key"))
    assert result.exit_code == 2
    assert f"in use by process {house.process.pid}: give each peer a key of its own" in result.stderr


def test_a_database_of_a_newer_version_is_told(folder: Path, tmp_path: Path) -> None:
    newer(tmp_path / "newer.db")
    result = started(folder, "--history", str(tmp_path / "newer.db"))
    assert result.exit_code == 1
    assert "has tables of version 9999" in result.stderr
    assert "update the program, or name another file" in result.stderr


def newer(path: Path) -> None:
    import sqlite3

    from history import open_store

    store = open_store(f"sqlite:///{path}")
    store.open()
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()


def test_a_machine_that_does_not_fit_what_was_recorded_is_told(folder: Path, tmp_path: Path) -> None:
    import trio

    from history import open_history
    from machine import Machine, Schema, State

    url = f"sqlite:///{tmp_path / 'other.db'}"

    async def record() -> None:
        async with open_history(url) as history:
            history.record(Machine(Schema({"Sings": State()}), id="bell"))

    trio.run(record)
    result = started(folder, "--history", url)
    assert result.exit_code == 2
    assert "bell cannot be brought back from" in result.stderr
    assert "give the machine another id, or the peer another history" in result.stderr


def test_two_configurations_are_for_two_peers(folder: Path) -> None:
    result = am("peer", "run", "a.toml", "b.toml")
    assert result.exit_code == 2
    assert "one configuration is for one peer: start another one for b.toml" in result.stderr


# -- key, doctor, completion


def test_a_key_is_made_once_and_shown_without_its_secret(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "door.key"
    (made,) = lines(am("key", "new", str(path), "--json"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert am("key", "show", str(path)).stdout == made["peer"] + "\n"
    shown = am("key", "show", str(path), "--json")
    assert lines(shown) == [made]
    assert path.read_text().strip() not in shown.stdout
    again = am("key", "new", str(path))
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    path.chmod(0o644)
    assert am("key", "show", str(path)).exit_code == 2
    assert am("key", "show", str(tmp_path / "none")).exit_code == 2


def test_a_secret_of_a_topic_is_made_for_those_who_may_read_it(tmp_path: Path) -> None:
    from asyncmachine.config import read_topic_key

    path = tmp_path / "topic.key"
    assert am("key", "new", "--topic", str(path)).exit_code == 0
    assert len(read_topic_key(str(path))) == 64


def test_the_doctor_finds_nothing_where_all_is_well(tmp_path: Path) -> None:
    result = am("doctor", "--history", str(tmp_path / "h.db"), "--key", str(tmp_path / "door.key"))
    assert result.exit_code == 0, result.stdout
    found = [line.split()[:2] for line in result.stdout.splitlines()]
    checks = ["python", "libp2p", "peers", "key", "port", "database", "clock"]
    assert found == [["ok", check] for check in checks]
    assert list(tmp_path.iterdir()) == []  # it makes nothing


def test_the_doctor_says_what_to_do(house: Running, tmp_path: Path) -> None:
    newer(tmp_path / "newer.db")
    am("key", "new", str(tmp_path / "door.key"))
    (tmp_path / "door.key").chmod(0o644)
    address = house.address.partition("/p2p/")[0]
    place = ("--key", str(tmp_path / "door.key"), "--history", str(tmp_path / "newer.db"), "--listen", address)
    result = am("doctor", "--json", *place)
    assert result.exit_code == 1
    found = {line["check"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert {check for check, line in found.items() if line["status"] == "fail"} == {"key", "port", "database"}
    assert "chmod 600" in found["key"]["told"]
    assert "Give another" in found["port"]["told"]
    assert found["database"]["todo"] == "update the program, or name another file"


def test_the_doctor_knows_the_peer_that_runs(house: Running, folder: Path) -> None:
    result = am("doctor", "--config", str(folder / "peer.toml"))
    assert result.exit_code == 0, result.stdout
    assert f"in use by process {house.process.pid}" in result.stdout
    assert "topic key  11 bytes" in result.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("am p", ["peer"]),
        ("am w", ["watch", "web", "when"]),
        ("am peer ", ["list", "run"]),
        ("am peer run --log", ["--log", "--log-level"]),
        ("am completion ", ["bash", "zsh"]),
        ("am --v", ["--version"]),
    ],
)
def test_a_shell_completes(words: str, found: list[str]) -> None:
    environment = {"_AM_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    result = CliRunner().invoke(main, prog_name="am", env=environment)
    assert [line.partition(",")[2] for line in result.stdout.split()] == found


def test_completing_a_command_imports_none() -> None:
    program = (
        "import sys; from asyncmachine.cli import main;"
        "names = [item.value for item in main.shell_complete(main.make_context('am', [], resilient_parsing=True), '')];"
        "assert 'peer' in names, names;"
        "print(*(name for name in sys.modules if name.startswith(('asyncmachine.', 'trio', 'rich', 'libp2p'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["asyncmachine.cli"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_what_a_shell_evaluates_is_good_for_it(shell: str) -> None:
    result = am("completion", shell)
    assert result.exit_code == 0
    assert f"_AM_COMPLETE={shell}_complete" in result.stdout
    if shell == "bash":  # the other one is not everywhere
        subprocess.run(["bash", "-n"], input=result.stdout, text=True, check=True)


def test_help_of_a_command_loads_nothing_heavy() -> None:
    commands = ("peer", "peer run", "peer list", "watch", "when", "key", "doctor", "completion")
    program = (
        "import sys; from asyncmachine.cli import main\n"
        f"for command in {commands}:\n"
        "    main([*command.split(), '--help'], standalone_mode=False)\n"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'libp2p', 'trio', 'rich', 'sqlalchemy'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
