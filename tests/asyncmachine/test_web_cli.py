"""`am web` as a user runs it: a page over a history that stays as it is, and one line for whatever is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from asyncmachine.cli import main
from asyncmachine.config import read_config
from asyncmachine.errors import ConfigError
from asyncmachine.web.guard import VARIABLE
from tests.asyncmachine.web_house import record_house

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("house") / "house.db"
    trio.run(record_house, f"sqlite:///{path}")
    return path


def am(*args: str) -> Result:
    return CliRunner().invoke(main, ["web", *args])


@contextmanager
def served(*args: str, **variables: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the URL of a page that is served by a process of its own."""
    command = [sys.executable, "-c", "from asyncmachine.cli import main; main()", "web", *args, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables})
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready"
        yield ready["url"], process
    finally:
        process.kill()
        process.communicate()


def fetched(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=120) as response:
        return json.load(response)


def test_a_history_is_served_and_stays_as_it_is(house: Path) -> None:
    before = house.read_bytes()
    with served("-H", str(house), "--address", "0") as (url, process):
        assert fetched(f"{url}/api/info")["machines"] == 2
        assert len(fetched(f"{url}/api/network?at=2013-02-07T12:00:15Z")["machines"]) == 2
        assert fetched(f"{url}/api/log?limit=1")["records"]
        window = house.parent / "window.json"
        with urllib.request.urlopen(f"{url}/api/export", timeout=120) as response:
            window.write_bytes(response.read())
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    assert house.read_bytes() == before
    with served(str(window), "--address", "0") as (url, process):
        info = fetched(f"{url}/api/info")
        assert (info["mode"], info["machines"]) == ("window", 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0


def test_a_history_on_a_disk_that_is_read_only_is_served(house: Path, tmp_path: Path) -> None:
    """As far as that can be made here: the file and its folder may not be written to, unless by root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    (folder / "house.db").write_bytes(house.read_bytes())
    (folder / "house.db").chmod(0o400)
    folder.chmod(0o500)
    try:
        with served("-H", str(folder / "house.db"), "--address", "0") as (url, _):
            assert fetched(f"{url}/api/info")["machines"] == 2
    finally:
        folder.chmod(0o700)


def test_a_token_is_read_from_the_environment_and_never_told(house: Path) -> None:
    with served("-H", str(house), "--address", "0", **{VARIABLE: TOKEN}) as (url, _):
        with pytest.raises(urllib.error.HTTPError, match=r"401") as refused:
            fetched(f"{url}/api/info")
        refused.value.close()
        assert fetched(f"{url}/api/info", Authorization=f"Bearer {TOKEN}")["token"] is True
        assert TOKEN not in url


def test_an_older_history_is_not_brought_up_to_date(house: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    path.write_bytes(house.read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
    connection.close()
    before = path.read_bytes()
    result = am("-H", str(path), "--address", "0")
    assert result.exit_code == 1
    assert "has tables of version 0003" in result.output
    assert "was asked to change nothing" in result.output
    assert path.read_bytes() == before


def test_what_is_wrong_is_told_in_one_line(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "no.json").write_text("hello")
    (tmp_path / "open.token").write_text(TOKEN)
    (tmp_path / "open.token").chmod(0o644)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cases: list[tuple[list[str], int, str]] = [
            (
                ["--address", f"127.0.0.1:{port}"],
                1,
                f"cannot serve the page on 127.0.0.1:{port}: Address already in use",
            ),
            (["--address", "here"], 2, "--address: 'here' is no address: write HOST:PORT"),
            (["--address", "0.0.0.0:0"], 2, "a page on 0.0.0.0 can be seen by others, and needs a token"),
            (["--token-file", str(tmp_path / "none")], 2, "No such file or directory"),
            (["--token-file", str(tmp_path / "open.token")], 2, "others can read"),
            ([str(tmp_path / "none.json")], 2, "No such file or directory"),
            ([str(tmp_path / "no.json")], 2, "this is no window of a history"),
        ]
        for args, status, told in cases:
            history = [] if args[0].endswith(".json") else ["-H", str(house)]
            result = am(*history, *args)
            assert (result.exit_code, told in result.output) == (status, True), (args, result.output)
            assert len(result.output.splitlines()) == 1
    result = am("-H", str(tmp_path / "none.db"))
    assert (result.exit_code, "there is no history at" in result.output) == (1, True)


def test_a_configuration_that_shows_the_page_to_others_needs_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    path, token = tmp_path / "peer.toml", tmp_path / "page.token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    path.write_text('topic = "x"\nweb = "0.0.0.0:8321"\n')
    with pytest.raises(ConfigError, match=r"line 2: web: a page on 0\.0\.0\.0 can be seen by others"):
        read_config(path).check_values()
    path.write_text('topic = "x"\nweb = "0.0.0.0:8321"\nweb_token_file = "page.token"\n')
    settings = read_config(path)
    settings.check_values()
    assert (settings.web_address, settings.web_token) == (("0.0.0.0", 8321), TOKEN)
    path.write_text('topic = "x"\nweb_token_file = "page.token"\n')
    with pytest.raises(ConfigError, match=r"line 2: web_token_file: there is no page that would ask for it"):
        read_config(path).check_values()
    path.write_text('topic = "x"\nweb = "8321"\n')
    assert (read_config(path).web_address, read_config(path).web_token) == (("127.0.0.1", 8321), None)
