"""How fast is the machine, beside `transitions` and `python-statemachine`, in one run? `--json` for programs."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

import trio
import trio.testing
from statemachine import State as TheirState
from statemachine import StateMachine
from transitions import Machine as TransitionsMachine

from benchmarks.harness import Report
from machine import Machine, Schema, State, Tracer, Transition

TWO = Schema({"A": State(), "B": State()})
SEED = 20130207


def toggling(machine: Machine) -> Callable[[int], None]:
    def work(count: int) -> None:
        toggle = machine.toggle
        for _ in range(count):
            toggle("A")

    return work


class Handlers:
    def AState(self, event: object) -> None:
        pass

    def AEnd(self, event: object) -> None:
        pass


class Recorder(Tracer):
    """Keeps everything there is to know about every transition."""

    def __init__(self) -> None:
        self.rows: list[object] = []

    def transition_end(self, tx: Transition) -> None:
        if len(self.rows) > 100_000:
            self.rows.clear()
        self.rows.append((tx.seq, tx.plan, tx.args, tx.source, tx.ticks_before, tx.ticks_after, tx.accepted))


def fifty() -> Schema:
    """Return 50 states with 10 require, 17 remove, 13 add and 9 after relations, 5 auto and 4 multi states."""
    names = [f"S{i}" for i in range(50)]
    return Schema(
        {
            name: State(
                auto=i % 10 == 0,
                multi=i % 13 == 0,
                require=names[i - 1] if i % 5 == 4 else (),
                remove=names[(i + 7) % 50] if i % 3 == 0 else (),
                add=names[(i + 11) % 50] if i % 4 == 0 else (),
                after=names[(i + 3) % 50] if i % 6 == 0 else (),
            )
            for i, name in enumerate(names)
        }
    )


def wandering(machine: Machine) -> Callable[[int], None]:
    rng = random.Random(SEED)
    names = [n for n in machine.state_names if n != "Exception"]

    def work(count: int) -> None:
        for name in rng.choices(names, k=count):
            machine.toggle(name)

    return work


def cycling(machine: Machine) -> Callable[[int], None]:
    def work(count: int) -> None:
        for i in range(count):
            machine.toggle(("S1", "S2", "S3", "S5")[i & 3])

    return work


def asking(machine: Machine) -> Callable[[int], None]:
    def work(count: int) -> None:
        is_active = machine.is_active
        for _ in range(count):
            is_active("A")

    return work


class TheirToggle(StateMachine):
    off = TheirState(initial=True)
    on = TheirState()
    flip = off.to(on) | on.to(off)


def flipping_theirs(count: int) -> None:
    machine = TheirToggle()
    for _ in range(count):
        machine.send("flip")


def flipping_transitions(count: int) -> None:
    machine = TransitionsMachine(states=["off", "on"], initial="off", auto_transitions=False)
    machine.add_transition("flip", "off", "on")
    machine.add_transition("flip", "on", "off")
    flip = machine.flip
    for _ in range(count):
        flip()


def with_waits(report: Report, tasks: int) -> None:
    """Compare a mutation with and without tasks that wait on other states of the same machine."""
    names = [f"W{i}" for i in range(100)]
    schema = Schema({"A": State(), **{n: State() for n in names}})

    async def main() -> None:
        lonely, crowded = Machine(schema), Machine(schema)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lonely.when, names[0])
            for i in range(tasks):
                name = names[i % 100]
                if i % 2:
                    nursery.start_soon(crowded.when, name, "A")
                else:
                    nursery.start_soon(crowded.when_next_active, name)
            await trio.testing.wait_all_tasks_blocked()
            alone = report.time("toggle, 101 states, one task waits on another", toggling(lonely), 50_000)
            waiting = crowded.statistics().waits
            beside = report.time(f"toggle, 101 states, {waiting:,} tasks wait on others", toggling(crowded), 50_000)
            nursery.cancel_scope.cancel()
        report.add("… as a ratio", beside / alone, "x", 1.2)

    trio.run(main)


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(report: Report) -> None:
    schema = Schema({f"State{i}": State(remove=f"State{i - 1}" if i else ()) for i in range(8)})
    before = resident()
    machines = [Machine(schema) for _ in range(100_000)]
    for at, machine in enumerate(machines):
        machine.add(f"State{at % 8}")
    report.add("100,000 machines of 8 states", (resident() - before) / 1e6, "MB", 500)


def main() -> None:
    report = Report("machine")
    memory(report)  # first, while there is nothing freed that it could use again
    ours = report.time("toggle, two states, no handlers", toggling(Machine(TWO)), 100_000, 5)
    theirs = report.time("  the same in transitions", flipping_transitions, 20_000)
    others = report.time("  the same in python-statemachine", flipping_theirs, 2_000)
    report.add("  transitions / ours", theirs / ours, "x")
    report.add("  python-statemachine / ours", others / ours, "x")
    report.time("… with a State and an End handler", toggling(Machine(TWO, handlers=Handlers())), 50_000, 8)
    traced = report.time(
        "… with a tracer that records everything", toggling(Machine(TWO, tracers=[Recorder()])), 50_000
    )
    report.add("  what the tracer costs", traced - ours, "us", 1)
    report.time("toggle, 50 states with relations, at random", wandering(Machine(fifty())), 20_000, 25)
    report.time("toggle, 50 states with relations, in a cycle", cycling(Machine(fifty())), 20_000, 25)
    report.time("is_active of one state", asking(Machine(TWO)), 500_000, 150, unit="ns")
    with_waits(report, 10_000)
    report.show()


if __name__ == "__main__":
    main()
