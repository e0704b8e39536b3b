"""How often a store is read for who its machines are."""

from __future__ import annotations

import time

from history import History, HybridClock, Limits
from history.memory import MemoryStore
from history.store import MachineRow
from machine import Machine, State

COUNT = 400


class Counting(MemoryStore):
    """A store that counts how many machines were read all together, and one by one."""

    listed = single = 0

    def machines(self) -> list[MachineRow]:
        found = super().machines()
        self.listed += len(found)
        return found

    def machine(self, machine_id: int) -> MachineRow:
        self.single += 1
        return super().machine(machine_id)


async def test_who_follows_a_store_does_not_read_all_machines_for_each_new_one() -> None:
    store = Counting()
    clock = HybridClock(time.time_ns)
    clock.resume(store.open())
    history = History(store, clock, Limits(), lambda error: None)
    history.writer.start()
    last = 0
    for number in range(COUNT):
        machine = Machine({"On": State()}, id=f"m{number}")
        history.record(machine)
        machine.add("On")
        await history.sync()
        found = history.questions.feed(last)
        last = found[-1].id
        assert {record.machine for record in found} == {machine.id}
        assert found[-1].clock["On"] == 1
    await history.close()
    assert store.single <= COUNT
    assert store.listed < 10 * COUNT
