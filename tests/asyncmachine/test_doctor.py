"""The doctor's checks one by one, and the lines of the log."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from asyncmachine.config import LogFormat, PeerConfig, Settings
from asyncmachine.doctor import Clocks, check_clock, check_database, check_key, check_ports, check_python, holder_of
from asyncmachine.log_format import logged
from history import open_store
from pubsub.keys import locked, read_identity

NOON = 1_798_200_000.0  # 2026-12-25


def settings(**values: object) -> Settings:
    return Settings(PeerConfig(**values), None, {}, Path.cwd())  # type: ignore[arg-type]


@pytest.mark.parametrize(("version", "status"), [((3, 10), "fail"), ((3, 11), "ok"), ((3, 14), "ok")])
def test_an_old_python_is_found(version: tuple[int, int], status: str) -> None:
    assert check_python(version).status == status


@pytest.mark.parametrize(
    ("wall", "step", "status"),
    [(NOON, 0.0, "ok"), (NOON, 3600.0, "warn"), (NOON, -2.0, "warn"), (0.0, 0.0, "fail"), (9e9, 0.0, "fail")],
)
def test_a_clock_that_cannot_be_right_or_jumps_is_found(wall: float, step: float, status: str) -> None:
    finding = check_clock(Clocks(wall, 5.0), Clocks(wall + 2.0 + step, 7.0))
    assert finding.status == status
    assert bool(finding.todo) == (status != "ok")


def test_who_holds_a_key_is_found_and_looking_leaves_nothing(tmp_path: Path) -> None:
    import os

    key = tmp_path / "a.key"
    assert check_key(settings(key=str(key))).told.endswith("is not there, and would be made")
    read_identity(key)
    assert holder_of(key) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]
    with locked(key):
        assert holder_of(key) == str(os.getpid())
        assert f"in use by process {os.getpid()}" in check_key(settings(key=str(key))).told
    assert holder_of(key) == ""


@pytest.mark.parametrize("text", ["", "zz", "00"])
def test_a_file_without_a_key_is_found(text: str, tmp_path: Path) -> None:
    key = tmp_path / "a.key"
    key.write_text(text)
    key.chmod(0o600)
    finding = check_key(settings(key=str(key)))
    assert (finding.status, finding.todo) == ("fail", "give the key file of a peer")


@pytest.mark.parametrize("address", ["/ip4/192.0.2.7/tcp/4001", "/ip4/127.0.0.1/udp/1", "here"])
def test_an_address_where_nobody_can_listen_is_found(address: str) -> None:
    (finding,) = check_ports(settings(listen=[address]))
    assert finding.status == "fail"
    assert address in finding.told


def test_a_database_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    finding = check_database(settings(history=str(path)))
    assert (finding.status, finding.told) == ("ok", f"sqlite:///{path} is not there, and would be made")
    store = open_store(f"sqlite:///{path}")
    store.open()
    store.close()
    before = path.read_bytes()
    assert "opens, tables of version" in check_database(settings(history=str(path))).told
    assert path.read_bytes() == before
    path.write_bytes(b"no database" * 1000)
    assert check_database(settings(history=str(path))).status == "fail"
    assert check_database(settings(history="mysql://x")).status == "fail"
    assert check_database(settings(history="/proc/none/h.db")).status == "fail"
    assert check_database(settings(history="memory:")).status == "ok"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_message_is_one_line_of_the_log(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("asyncmachine.test")
    before = logging.getLogger().level
    with logged(form, "info"):
        logger.debug("not this")
        logging.getLogger("libp2p.test").error("nor this")
        logger.warning("%d\nlines", 2)
        try:
            raise KeyError("lost")
        except KeyError:
            logger.exception("failed")
    assert logging.getLogger().level == before
    shown = capsys.readouterr().err.splitlines()
    if form == "text":
        assert shown[0].partition(" ")[2] == "warning asyncmachine.test: 2\\nlines"
        assert shown[-1] == "KeyError: 'lost'"
        return
    first, second = map(json.loads, shown)
    assert first.pop("time").endswith("Z")
    assert first == {"level": "warning", "logger": "asyncmachine.test", "message": "2\nlines"}
    assert "KeyError: 'lost'" in second["error"]
