"""What does a record cost, from a machine's change to somebody's replica state? `--json` for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

from benchmarks.harness import Report
from machine import Machine, Schema, State
from pubsub import Acceptor, Domain, HybridClock, Identity, Ledger, Publisher, Record, Verdict, decode_record, merge
from pubsub.identity import short_of

DOMAIN = Domain("bench")
OWNER = Identity(bytes(range(32)))
OWNERS = {short_of(OWNER.owner): OWNER.owner}
TWENTY = Schema({f"S{i}": State(multi=True) for i in range(19)})  # and Exception
COUNT = 5_000


def wall() -> int:
    return 1_700_000_000_000


class Life:
    """An owner of some machines of 20 states, each of which has ticked; each record tells of one more tick."""

    def __init__(self, machines: int) -> None:
        self.publisher = Publisher(OWNER, DOMAIN, HybridClock(wall), 1)
        self.machines = [Machine(TWENTY, id=f"machine-{i}") for i in range(machines)]
        self.exposures = [self.publisher.expose(machine) for machine in self.machines]
        for machine in self.machines:
            for name in TWENTY.names[:19]:
                machine.add(name)
        first = self.publisher.flush()
        assert first is not None
        self.first = first
        self.at = 0

    def tick(self) -> None:
        self.at += 1
        at = self.at % len(self.machines)
        self.machines[at].add(f"S{self.at % 19}")
        self.publisher.changed(self.exposures[at])

    def next(self) -> Record:
        self.tick()
        record = self.publisher.flush()
        assert record is not None
        return record


def ticking(life: Life) -> Callable[[int], None]:
    def work(count: int) -> None:
        for _ in range(count):
            life.tick()

    return work


def publishing(life: Life) -> Callable[[int], None]:
    def work(count: int) -> None:
        for _ in range(count):
            life.next().encode(short=True)

    return work


def accepting(life: Life, frames: list[bytes], *, decoding: bool) -> Callable[[int], None]:
    """Take records in, from the first on; what was accepted before is forgotten at each call."""
    records = [decode_record(frame, OWNERS) for frame in frames]

    def work(count: int) -> None:
        acceptor = Acceptor(DOMAIN, Ledger(), HybridClock(wall), bytes(32))
        acceptor.consider(life.first, 0)
        for at in range(count):
            record = decode_record(frames[at], OWNERS) if decoding else records[at]
            acceptor.consider(record, 50_000 * at)
        assert acceptor.counts[Verdict.COMMITTED] == count + 1

    return work


def records_of(report: Report, machines: int) -> None:
    """Measure the record path of an owner of so many machines."""
    what = f"{machines} x 20 states"
    life = Life(machines)
    frames = [life.next().encode(short=True) for _ in range(COUNT)]
    records = [decode_record(frame, OWNERS) for frame in frames]
    publish = report.time(f"{what}: change, encode and sign", publishing(Life(machines)), COUNT)
    change = report.time("  of which the change", ticking(Life(machines)), COUNT)
    report.add("  encode and sign", publish - change, "us", 60)
    report.time("  decode", lambda count: [decode_record(f, OWNERS) for f in frames[:count]], COUNT)
    verify = report.time(
        "  verify the signature", lambda count: [r.header.is_signed(DOMAIN) for r in records[:count]], COUNT
    )
    accept = report.time("  verify and merge", accepting(life, frames, decoding=False), COUNT, 120)
    report.add("  … without the signature", accept - verify, "us", 30)
    start = merge(None, life.first)
    report.time("  merge alone", lambda count: [merge(start, records[0]) for _ in range(count)], COUNT)
    whole = report.time("  decode, verify and merge", accepting(life, frames, decoding=True), COUNT)
    report.add("  records received on one core", 1e6 / whole, "/s", 2_000, at_least=True)
    report.add("  … and as many published", 1e6 / (publish + whole), "/s")
    report.add("  bytes of a record", len(frames[-1]), "B", 118)
    full = life.publisher.state
    assert full is not None
    data = full.record().encode()
    report.add("  bytes of a full record", len(data), "B")
    report.time("  decode a full record", lambda count: [decode_record(data) for _ in range(count)], 5_000 // machines)


def main() -> None:
    report = Report("gossip")
    for machines in (1, 10, 100):
        records_of(report, machines)
    report.show()


if __name__ == "__main__":
    main()
