"""How commands fail: in one line and with a status, whatever nurseries have made of an error."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click
import pytest
import trio

from asyncmachine.command import failing, run
from asyncmachine.config import PeerConfig, Settings
from asyncmachine.errors import ConfigError, ServeError
from asyncmachine.service import Ready, Service, notify_supervisor
from asyncmachine.stop import SIGNALS, until_stopped
from asyncmachine.target import Loaded
from machine import Machine, Schema, State, UnknownStateError
from pubsub.errors import ExposeError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("two\nlines"), 2),
        (ExposeError("two\nlines"), 2),
        (ServeError("two\nlines"), 1),
        (ExceptionGroup("", [ExceptionGroup("", [ServeError("two lines")]), ConfigError("other")]), 1),
    ],
)
def test_an_error_of_ours_is_one_line_and_a_status(error: Exception, status: int) -> None:
    with pytest.raises(click.ClickException) as failed, failing():
        raise error
    assert (failed.value.message, failed.value.exit_code) == ("two lines", status)


def test_a_state_that_is_none_is_the_users_error() -> None:
    with pytest.raises(click.ClickException) as failed, failing():
        raise UnknownStateError("Opne", ["Open"], "door")
    assert failed.value.exit_code == 2


def test_what_is_no_error_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ExceptionGroup, match="together"), failing():
        raise ExceptionGroup("together", [ServeError("known"), KeyError("unknown")])


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_what_click_knows_comes_to_it_alone(error: type[BaseException]) -> None:
    with pytest.raises(error), failing():
        raise BaseExceptionGroup("", [error()])


def test_a_command_returns_what_its_function_does() -> None:
    async def double(number: int) -> int:
        await trio.lowlevel.checkpoint()
        return 2 * number

    assert run(double, 4) == 8


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
async def test_a_signal_ends_the_block_and_the_next_one_does_what_it_does(number: signal.Signals) -> None:
    before = {each: signal.signal(each, signal.SIG_DFL) for each in SIGNALS}  # whatever these tests are run under
    by = 0
    try:
        with until_stopped() as stopped:
            os.kill(os.getpid(), number)
            with trio.fail_after(120):
                await trio.Event().wait()
        by = stopped.by
        assert [signal.getsignal(each) for each in SIGNALS] == [signal.SIG_DFL] * len(SIGNALS)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert by == number


async def test_without_a_signal_all_is_as_before() -> None:
    before = {each: signal.getsignal(each) for each in SIGNALS}
    with until_stopped() as stopped:
        await trio.lowlevel.checkpoint()
    assert stopped.by == 0
    assert {each: signal.getsignal(each) for each in SIGNALS} == before


async def test_what_nohup_has_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with until_stopped() as stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            await trio.lowlevel.checkpoint()
        assert stopped.by == 0
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_service_runs_on_though_nobody_reads_that_it_is_ready(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Ready] = []

    def tell(ready: Ready) -> None:
        told.append(ready)
        trio.lowlevel.current_root_task()  # in the thread of the peer
        service.stop()
        raise BrokenPipeError(32, "Broken pipe")

    lamp = Machine(Schema({"On": State()}), id="lamp")
    settings = Settings(PeerConfig(topic="ready", listen=[]), None, {}, Path.cwd())
    service = Service(settings, Loaded([lamp]), tell)
    assert await service.run()
    assert told[0].machines == ["lamp"]
    assert "nobody reads that it is ready: Broken pipe" in caplog.text
    assert lamp.is_disposed


def test_a_supervisor_that_is_not_there_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_supervisor("READY=1")
    assert caplog.text == ""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    notify_supervisor("READY=1")
    assert "cannot be told: No such file or directory" in caplog.text
