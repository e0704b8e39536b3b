"""docs/am.md: its files run, its transcripts are what the commands print, its tables name what there is."""

from __future__ import annotations

import configparser
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import trio
from click.testing import CliRunner

from asyncmachine import HistoryLog
from asyncmachine.cli import main
from asyncmachine.metrics import PeerCollector, make_registry
from asyncmachine.observer import open_observer
from history import open_history
from machine import Machine, Schema, State
from pubsub.opening import open_peer
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "am.md").read_text(encoding="utf-8")
UNIT = ROOT / "examples" / "asyncmachine-peer.service"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
AM = Path(sys.executable).with_name("am")
SOON = 120.0  # s
#: What differs from run to run, and what it is replaced with.
VARYING = (
    (r"12D3KooW\w{44}", "ID"),
    (r"…\w{6}", "…ID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\b[\d.]+(ms|s|m\d\ds) ago", "AGO"),
    (r"process \d+", "process N"),
    (r"\b\d+(\.\d+)? (ms|s)\b", "SPAN"),
    (r"CPython [\d.]+", "PYTHON"),
    (r"version \d{4}", "VERSION"),
    (r"tcp/\d+", "tcp/PORT"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r" +", " "),
    (r" $", ""),
)


def blocks(language: str) -> list[str]:
    return [found[2] for found in FENCE.finditer(PAGE) if found[1] == language]


def plain(text: str, folder: Path) -> list[str]:
    """Return the lines of a transcript without what differs from run to run."""
    text = text.replace(f"{folder}/", "")
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of the page, on ports that are free."""
    made = tmp_path_factory.mktemp("page")
    for text in [*blocks("py"), *blocks("toml")]:
        name = text.partition("\n")[0].removeprefix("# ")
        for port in ("4001", "9464"):
            text = text.replace(port, str(free_port()))
        (made / name).write_text(text)
    (made / "wrong.toml").write_text('topic = "house"\nlissen = []\n')
    return made


@pytest.fixture(scope="module")
def ready(folder: Path) -> Iterator[str]:
    """Run the peer of the page; return what it says when it is ready."""
    process = subprocess.Popen(
        [AM, "peer", "run", "peer.toml"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_transcripts_are_what_the_commands_print(folder: Path, ready: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    commands = 0
    for transcript in blocks("console"):
        for part in transcript.split("$ am ")[1:]:
            command, _, shown = part.partition("\n")
            commands += 1
            if command == "peer run peer.toml":
                assert plain(ready, folder) == plain(shown, folder)
                continue
            done = CliRunner().invoke(main, shlex.split(command), env={"AM_HISTORY": None, "AM_CONFIG": None})
            assert plain(done.output, folder) == plain(shown, folder), command
    assert commands == 7


def test_every_command_is_in_the_table() -> None:
    told = set(re.findall(r"`am (\w+)", PAGE))
    with click.Context(main) as context:
        assert set(main.list_commands(context)) == told


def test_every_option_that_the_page_names_there_is() -> None:
    known: set[str] = set()

    def walk(command: click.Command, context: click.Context) -> None:
        known.update(name for parameter in command.params for name in parameter.opts)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                walk(found, context)

    with click.Context(main) as context:
        walk(main, context)
    assert set(re.findall(r"`(--[\w-]+)", PAGE)) - known == set()


async def test_every_metric_is_in_the_table(tmp_path: Path) -> None:
    table = PAGE[PAGE.index("| metric |") : PAGE.index("Replicas, the machines of others")]
    told = set(re.findall(r"`(asyncmachine_[\w<>]+)`", table))
    machine = Machine(Schema({"On": State()}), id="lamp")
    async with open_history("memory:") as history, open_peer("doc", listen=()) as peer:
        await trio.lowlevel.checkpoint()
        async with open_observer(history, peer) as observer:
            served = HistoryLog(history).counts
            collector = PeerCollector(peer, "doc", lambda: [machine], history, served, lambda: observer)
            observer.counts.ended["complete"] = 1
            found = list(make_registry(collector).collect())
        names = {sample.name for metric in found for sample in metric.samples}
    patterns = [re.compile(re.sub("<[a-z]+>", r"\\w+", name)) for name in told]
    assert {n for n in names if not n.startswith("process_") and not any(p.fullmatch(n) for p in patterns)} == set()
    assert {p.pattern for p in patterns if not any(p.fullmatch(n) for n in names)} == set()
    # what is no counter has a line of its own
    gauges = {n for n in names if not n.endswith("_total") and n.startswith("asyncmachine_")}
    assert gauges - told == set()


def test_the_unit_runs_a_command_that_there_is() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text(encoding="utf-8"))
    service = unit["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).name == "am"
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None
        command = found
    given = command.make_context("run", arguments).params
    assert given["sources"] == ("/etc/asyncmachine/peer.toml",)
    assert (service["Type"], service["DynamicUser"], "User" in service) == ("notify", "yes", False)
    for path in re.findall(r"(?<=`)/[\w/.-]+(?=`)", PAGE):
        assert path.startswith(("/etc/asyncmachine", "/opt/asyncmachine", "/var/lib/asyncmachine"))
