"""Tasks beside a block: whose error comes out, and how."""

from __future__ import annotations

import pytest
import trio

from machine.beside import beside


async def wait_for_ever(log: list[str]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        log.append("ended")


async def test_what_the_block_raises_comes_out_as_it_is_when_the_tasks_have_ended() -> None:
    log: list[str] = []

    async def block() -> None:
        async with beside() as nursery:
            nursery.start_soon(wait_for_ever, log)
            await trio.lowlevel.checkpoint()
            raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        await block()
    assert log == ["ended"]


async def test_what_a_task_raises_comes_in_a_group_and_ends_the_block() -> None:
    async def fail() -> None:
        raise KeyError("theirs")

    with pytest.RaisesGroup(KeyError):
        async with beside() as nursery:
            nursery.start_soon(fail)
            await trio.sleep_forever()


async def test_the_end_may_be_another_one_than_a_cancellation() -> None:
    log: list[str] = []
    over = trio.Event()

    async def task() -> None:
        await over.wait()
        log.append("told")

    async with beside(lambda nursery: over.set()) as nursery:
        nursery.start_soon(task)
        log.append("block")
    assert log == ["block", "told"]


async def test_a_cancelled_block_is_cancelled() -> None:
    log: list[str] = []
    with trio.CancelScope() as scope:
        async with beside() as nursery:
            nursery.start_soon(wait_for_ever, log)
            await trio.lowlevel.checkpoint()
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert log == ["ended"]
