"""Snapshots: a machine's clock as a value, to bring it back in another life."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from machine.errors import SnapshotError

if TYPE_CHECKING:
    from machine.machine import Machine


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The clock of one machine at one moment. `queue_tick` is for information; it is not restored."""

    id: str
    state_names: tuple[str, ...]
    time: tuple[int, ...]
    queue_tick: int
    machine_tick: int

    def to_json(self) -> str:
        """Return the snapshot as a JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Snapshot:
        """Read what `to_json` wrote.

        Raises:
            SnapshotError: it is no snapshot; the message says what is wrong with it.
        """
        try:
            raw = json.loads(text)
        except ValueError as exc:
            raise SnapshotError(f"this snapshot is no JSON: {exc}") from None
        fields = {"id": str, "state_names": list, "time": list, "queue_tick": int, "machine_tick": int}
        if not isinstance(raw, dict):
            raise SnapshotError(f"this snapshot is a {type(raw).__name__}, not a JSON object")
        for name, kind in fields.items():
            if not isinstance(raw.get(name), kind) or isinstance(raw.get(name), bool):
                raise SnapshotError(f"the snapshot's {name!r} is {raw.get(name)!r}: it should be a {kind.__name__}")
        if not all(isinstance(n, str) for n in raw["state_names"]):
            raise SnapshotError("the snapshot's 'state_names' should all be strings")
        if not all(isinstance(t, int) and not isinstance(t, bool) and t >= 0 for t in raw["time"]):
            raise SnapshotError("the snapshot's 'time' should be whole numbers from 0")
        return cls(raw["id"], tuple(raw["state_names"]), tuple(raw["time"]), raw["queue_tick"], raw["machine_tick"])


def check_fit(machine: Machine, snapshot: Snapshot) -> None:
    """Raise `SnapshotError` unless the snapshot is of an earlier life of this machine."""
    if not isinstance(snapshot, Snapshot):
        raise SnapshotError(f"{snapshot!r} is no Snapshot: use Snapshot.from_json for text")
    if snapshot.id != machine.id:
        raise SnapshotError(
            f"the snapshot is of {snapshot.id!r}, this machine is {machine.id!r}: build it with that id"
        )
    names, known = snapshot.state_names, machine.state_names
    if len(snapshot.time) != len(names):
        raise SnapshotError(f"the snapshot has {len(snapshot.time)} ticks for {len(names)} states")
    if len(set(names)) != len(names) or set(names) != set(known):
        odd = sorted(set(names) ^ set(known)) or ["a name that comes twice"]
        raise SnapshotError(
            f"the snapshot's states differ from the schema's in {', '.join(odd)}: use the schema of then"
        )
    if any(then < machine.tick(name) for name, then in zip(names, snapshot.time, strict=True)):
        raise SnapshotError(f"{machine.id} is past this snapshot already: restore into a machine that was just built")
