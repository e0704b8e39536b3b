"""The children of test_durability: each records two machines that were restored, and tells what each sync covers.

    python scribe.py

Reads ``URL ROUNDS SEED`` line by line, and forks a child for each, which saves loading everything 60 times. Its id is
told as ``pid ID``, and in the end ``end CODE``, which wants an empty line for an answer. In between, the child tells
``machine epoch seq``: everything of that machine's life up to this number has been acknowledged.
"""

from __future__ import annotations

import os
import random
import sys

import psycopg  # noqa: F401 - loaded here once
import trio

from history import open_history, sql  # noqa: F401 - loaded here once
from machine import Machine, State


async def record(url: str, rounds: int, seed: int) -> None:
    """Record, sync, tell."""
    rng = random.Random(seed)
    machines = [Machine({"A": State(), "B": State(multi=True)}, id=n, handler_timeout=None) for n in ("one", "two")]
    async with open_history(url, batch=50) as history:
        for machine in machines:
            await history.restore(machine)
        await history.sync()
        epochs = {m.name: m.epoch for m in await history.machines()}
        recorders = {r.machine.id: r for r in history._recorders}
        for _ in range(rounds):
            for _ in range(rng.randrange(200)):
                rng.choice(machines).toggle("A")
                rng.choice(machines).add("B")
                if rng.random() < 0.02:
                    await trio.lowlevel.checkpoint()
            counts = {name: r.recorded + 1 for name, r in recorders.items()}
            await history.sync()
            for name, count in counts.items():
                tell(name, epochs[name], count)


def tell(*words: object) -> None:
    """Write a line at once: whatever happens, it is there or it is not."""
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def main() -> None:
    """Fork a child for each line."""
    while line := sys.stdin.readline():
        url, rounds, seed = line.split()
        if (pid := os.fork()) == 0:
            code = 1
            try:
                tell("pid", os.getpid())
                trio.run(record, url, int(rounds), int(seed))
                code = 0
            finally:
                os._exit(code)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        tell("end", code)
        sys.stdin.readline()  # whoever kills it is done with that
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
