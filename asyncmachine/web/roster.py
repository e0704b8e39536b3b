"""The machines of a store, as the page shows them: each once, though a history may keep several copies of one.

Beside the log of an owner there may be updates that somebody saw of its replicas (``updates of …``), and logs of an
earlier database of the same owner (``earlier log of …``). Of these, as of a moment, the owner's own log counts, then
the newest earlier one, then updates: what was believed is no machine of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asyncmachine.web.asked import WrongError
from history.codec import RecordedSchema, Standing
from history.directory import Directory
from history.store import MachineRow, Store
from machine.errors import did_you_mean

COPY: Final = re.compile(r"(updates|earlier log) of (.*?)(?: by (.+?))?(?: \(\d+\))?", re.DOTALL)
FRESH: Final = 1.0  # s for which tags and last moments are good enough while rows come

LOG, EARLIER, UPDATES = range(3)


@dataclass(frozen=True, slots=True)
class Listed:
    """A machine of a store.

    Attributes:
        row: what the store says of it.
        key: what a link holds.
        peer: whose machine it is, or is a copy of.
        base: what all copies of one machine have in common: peer, and name.
        rank: `LOG`, `EARLIER`, `UPDATES`.
        observer: who saw these updates; None: it is not said, or none are.
    """

    row: MachineRow
    key: str
    peer: str
    base: tuple[str, str]
    rank: int
    observer: str | None


def key_of(owner: str, name: str) -> str:
    """Return what a link holds of a machine."""
    return f"{owner}/{name}"


def listed(row: MachineRow) -> Listed:
    """Return a machine of a store with what its owner's name says."""
    found = COPY.fullmatch(row.owner)
    key = key_of(row.owner, row.name)
    if found is None:
        return Listed(row, key, row.owner, (row.owner, row.name), LOG, None)
    rank = UPDATES if found[1] == "updates" else EARLIER
    return Listed(row, key, found[2], (found[2], row.name), rank, found[3] if rank == UPDATES else None)


class Roster:
    """The machines of a store; read again when there are more of them, or when they are a second old. For any thread.

    Attributes:
        directory: their schemas.
    """

    def __init__(self, store: Store) -> None:
        self.directory = Directory(store)
        self._store = store
        self._listed: dict[int, Listed] = {}
        self._copies: dict[tuple[str, str], list[Listed]] = {}
        self._by_name: dict[str, list[Listed]] = {}
        self._state = (-1, -1)  # how many periods there were, and the last row
        self._read_at = 0.0

    def all(self) -> list[Listed]:
        """Return all machines and copies, by id."""
        return list(self._fresh().values())

    def get(self, machine_id: int) -> Listed:
        """Return one."""
        found = self._listed.get(machine_id)
        return self._read()[machine_id] if found is None else found

    def _fresh(self) -> dict[int, Listed]:
        count, last = self._store.period_count(), self._store.last_id()
        if (count, last) != self._state and (count != self._state[0] or time.monotonic() - self._read_at > FRESH):
            return self._read()
        return self._listed

    def _read(self) -> dict[int, Listed]:
        state = self._store.period_count(), self._store.last_id()  # asked first: what comes from now on is seen later
        known, found = self._listed, dict[int, Listed]()
        for row in self._store.machines():
            one = known.get(row.id)  # most are as they were
            found[row.id] = one if one is not None and one.row == row else listed(row)
        copies: dict[tuple[str, str], list[Listed]] = {}
        by_name: dict[str, list[Listed]] = {}
        for one in found.values():
            copies.setdefault(one.base, []).append(one)
            by_name.setdefault(one.row.name, []).append(one)
        self._listed, self._copies, self._by_name = found, copies, by_name
        self._state, self._read_at = state, time.monotonic()
        return found

    def copies(self, base: tuple[str, str]) -> list[Listed]:
        """Return all that a store has of one machine."""
        self._fresh()
        return self._copies.get(base, [])

    def bases(self) -> dict[tuple[str, str], list[Listed]]:
        """Return all machines, each with its copies."""
        self._fresh()
        return self._copies

    def schema_of(self, row: MachineRow) -> RecordedSchema:
        """Return the newest schema of a machine."""
        return self._store.recorded_schema(row.schema_hash)

    def standing(self, rows: Sequence[Standing]) -> list[tuple[Listed, Standing]]:
        """Return which of the rows of a moment count: one of each machine, in the order of the rows."""
        self._fresh()
        best: dict[tuple[str, str], tuple[Listed, Standing]] = {}
        for row in rows:
            one = self.get(row.machine_id)
            other = best.get(one.base)
            if other is None or _place(one, row) < _place(*other):
                best[one.base] = one, row
        return list(best.values())

    def find(self, machine: str, owner: str | None) -> Listed:
        """Return the machine that a question names.

        Raises:
            WrongError: there is none, or several. Says which there are.
        """
        self._fresh()
        named = self._by_name.get(machine, [])
        if owner is not None:
            found = [one for one in named if one.row.owner == owner]
            if not found:
                there = [one.row.owner for one in named] or list(dict.fromkeys(o.row.owner for o in self.all()))
                hint = did_you_mean(owner, [repr(o) for o in there])
                name = "owner" if named else "machine"
                raise WrongError(f"no machine {machine[:80]!r} of {owner[:80]!r} was recorded here{hint}", name, 404)
            return found[0]
        if not named and "/" in machine:
            # an owner may have a stroke in its name, too: any place may be the one
            parts = [i for i, c in enumerate(machine) if c == "/"][:50]
            keys = [(machine[:i], machine[i + 1 :]) for i in parts]
            named = [one for o, name in keys for one in self._by_name.get(name, ()) if one.row.owner == o]
        first = [one for one in named if one.rank == LOG] or named
        if not first:
            raise WrongError(
                f"no machine {machine[:80]!r} was recorded here{did_you_mean(machine[:80], self._by_name)}",
                "machine",
                404,
            )
        if len(first) > 1:
            owners = ", ".join(repr(one.row.owner) for one in first[:8])
            raise WrongError(f"{machine[:80]!r} is a machine of several owners: add owner=, one of {owners}", "owner")
        return first[0]


def _place(one: Listed, row: Standing) -> tuple[int, int]:
    return one.rank, -row.at
