"""How many rows there are in each part of a window: the same from every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import Machine, Schema, State

if TYPE_CHECKING:
    from tests.history.conftest import Kept, Place, Wall

SECOND = 10**9


async def test_rows_are_counted_by_the_part_they_are_in(place: Place, kept: Kept, wall: Wall) -> None:
    lamp, fan = (Machine(Schema({"On": State(multi=True)}), id=id, handler_timeout=None) for id in ("lamp", "fan"))
    async with kept(place) as history:
        began = wall.at
        for machine in (lamp, fan):
            history.record(machine)  # the base of each, in the first second
        wall.step(10)
        for _ in range(3):
            lamp.add("On")
        wall.step(10)
        fan.add("On")
        fan.add_error(ValueError("broken"))
        await history.sync()
        ids = [machine.id for machine in await history.machines()]
        store, end = history.store, began + 30 * SECOND
        whole = store.density(began - 1, end, 10 * SECOND, None)
        assert sum(rows for _, rows, _ in whole) == store.last_id()
        assert [(n, wrong > 0) for n, _, wrong in whole] == [(0, False), (1, False), (2, True)]
        assert store.density(began - 1, end, 10 * SECOND, ids) == whole
        assert store.density(began - 1, end, 10 * SECOND, ids[:1]) == [(0, 1, 0), (1, 3, 0)]
        # the beginning does not belong to a window, and the end does
        base = (await history.as_of("lamp", began + SECOND)).at
        assert store.density(base, base + SECOND, SECOND, ids[:1]) == []
        assert store.density(base - 1, base, SECOND, ids[:1]) == [(0, 1, 0)]
        assert store.density(end, end + SECOND, SECOND, None) == []
