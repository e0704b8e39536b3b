"""A cut through all machines holds no effect without its cause."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from history import History
from machine import Event, Machine, State, pipe_add

Kept = Callable[..., AbstractAsyncContextManager[History]]


def by_handler(a: Machine, b: Machine) -> None:
    def state(event: Event) -> None:
        b.add("On")

    a.bind({"OnState": state})


def by_pipe(a: Machine, b: Machine) -> None:
    pipe_add(a, "On", b)


@pytest.mark.parametrize("join", [by_handler, by_pipe])
async def test_an_effect_is_stamped_after_its_cause(
    join: Callable[[Machine, Machine], None], place: Any, kept: Kept
) -> None:
    async with kept(place) as history:
        a, b = Machine({"On": State()}, id="a"), Machine({"On": State()}, id="b")
        history.record(b)
        history.record(a)
        join(a, b)
        a.add("On")
        await history.sync()
        effect = (await history.as_of("b")).at
        cause = (await history.as_of("a")).at
        assert cause < effect
        for moment in (cause - 1, cause, effect - 1, effect):
            network = await history.network(moment)
            assert network["a"].is_active("On") or not network["b"].is_active("On")
        records = [r async for r in history.between(machines="b")]
        assert [r.source_machine for r in records] == [None, "a"]
