"""Throw mutated bytes at every decoder and at receivers: ``python -m simulations.fuzz --count 1000000 --seed 7``.

What must hold, whatever comes in: a decoder returns or raises `WireError`; what it returns encodes to the same bytes;
what a receiver knows of an owner is exactly a state that the owner published, and never an older one than before; no
proof convicts an owner that signed honestly; a schema is never taken for another one; a message has the size that it
says; memory is bounded.
"""

from __future__ import annotations

import argparse
import random
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from rich.console import Console
from rich.progress import track

from machine import Machine, Schema, SchemaError, State
from pubsub.accept import Acceptor, Verdict
from pubsub.errors import WireError
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity, short_of
from pubsub.ledger import Ledger
from pubsub.proof import Proof, decode_proof
from pubsub.publisher import Publisher
from pubsub.record import Record, decode_record
from pubsub.schemas import decode_schema, encode_schema
from pubsub.state import OwnerState
from pubsub.wire import varint
from simulations.fuzz_messages import Messages

EXTREMES = [varint(n) for n in (0, 1, 127, 128, 4095, 4096, 65535, 1 << 32, (1 << 53) - 1, (1 << 64) - 1)]
EXTREMES += [b"\x80\x00", b"\xff" * 9 + b"\x01", b"\xff" * 12, b"\xed\xa0\x80"]  # not shortest, too long, a surrogate


def a_life(rng: random.Random, identity: Identity, domain: Domain, epoch: int, flushes: int) -> list[OwnerState]:
    """Return what an owner publishes in one epoch: machines come, change, gain states and tags, and go."""
    wall = rng.randrange(10**12, 2 * 10**12)
    publisher = Publisher(identity, domain, HybridClock(lambda: wall), epoch)
    machines: list[Machine] = []
    states: list[OwnerState] = []
    for at in range(flushes):
        if not machines or rng.random() < 0.15:
            schema = Schema({f"S{i}": State(multi=True) for i in range(rng.choice((1, 3, 19, 60)))})
            machines.append(Machine(schema, id=f"m{at}", tags=["a"] * rng.randrange(3)))
            publisher.expose(machines[-1])
        elif len(machines) > 1 and rng.random() < 0.1:
            publisher.unexpose(machines.pop(rng.randrange(len(machines))))
        for exposure in publisher.exposures:
            if rng.random() < 0.5:
                continue
            machine = exposure.reader
            assert isinstance(machine, Machine)
            if rng.random() < 0.1:
                machine.set_tags(f"tag:{at}")
            if rng.random() < 0.1:
                machine.set_schema({**machine.schema, f"New{at}": State(multi=True)})
            for _ in range(rng.choice((1, 1, 3, 200))):
                machine.add(rng.choice(machine.state_names[:-1]))
            publisher.changed(exposure)
        if publisher.flush(bye=at == flushes - 1) is not None:
            assert publisher.state is not None
            states.append(publisher.state)
    return states


class Fuzzer:
    """Make inputs of what three owners published, and judge what becomes of them. ``counts`` says what happened."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.domain = Domain("fuzz")
        self.counts: Counter[str] = Counter()
        identities = [Identity.generate(rng.randbytes) for _ in range(3)]
        self.lives = {
            i.owner: [state for epoch in (1, 2) for state in a_life(rng, i, self.domain, epoch, 12)] for i in identities
        }
        self.owners = {short_of(owner): owner for owner in self.lives}
        records = [record for life in self.lives.values() for record in _records(life)]
        self.corpus = [record.encode(short=rng.random() < 0.5) for record in records]
        self.heads = [
            len(record.header.encode(short=data[1] & 128 != 0))
            for record, data in zip(records, self.corpus, strict=True)
        ]
        header = records[0].header
        cheat = identities[0]
        assert cheat.owner == header.owner
        other = replace(header, root=bytes(16)).sign(cheat, self.domain)
        proof = Proof.of(header, other)
        assert proof is not None
        self.proof = proof.encode()
        names = [f"S{i}" for i in range(12)]
        related = {n: State(multi=n > "S5", add=rng.sample(names, 3), after=rng.choice(names), tags="a") for n in names}
        self.schemas = [encode_schema(Schema(related)), encode_schema(Schema({"A": State(auto=True, require="A")}))]
        self.messages = Messages(rng, records, self.owners, proof, self.schemas)

    def mutated(self, data: bytes) -> bytes:
        """Return something else, made of the bytes and of others."""
        rng = self.rng
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
            match rng.randrange(9):
                case 0 | 1:
                    out = bytearray(data or b"\0")
                    out[at % len(out)] ^= 1 << rng.randrange(8)
                    data = bytes(out)
                case 2:
                    data = data[:at]
                case 3:
                    data = data[:at] + data[end:]
                case 4:
                    data = data[:end] + data[at:]
                case 5:
                    data = data[:at] + rng.choice(EXTREMES) + data[at + rng.randrange(3) :]
                case 6:
                    data = data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]
                case 7:
                    other = rng.choice(self.corpus)
                    data = data[:at] + other[min(at, len(other)) :]
                case _:  # the header of one, the body of another
                    one, two = rng.randrange(len(self.corpus)), rng.randrange(len(self.corpus))
                    data = self.corpus[one][: self.heads[one]] + self.corpus[two][self.heads[two] :]
        return data

    def record(self) -> None:
        """Give a mutated record to the decoder, and what comes out of it to a receiver."""
        data = self.mutated(self.rng.choice(self.corpus))
        try:
            record = decode_record(data, self.owners)
        except WireError:
            self.counts["record: refused by the decoder"] += 1
            return
        assert record.encode(short=data[1] & 128 != 0) == data, "a record has two encodings"
        life = self.lives.get(record.header.owner, [])
        at = self.rng.randrange(-1, len(life))
        ledger = Ledger()
        if at >= 0:
            ledger.commit(life[at])
        acceptor = Acceptor(self.domain, ledger, HybridClock(lambda: 0), bytes(32))
        verdict = acceptor.consider(record, 0, limited=False).verdict
        self.counts[f"record: {verdict.value}"] += 1
        assert not acceptor.proofs, "an honest owner was convicted"
        known = ledger.get(record.header.owner)
        if known is None:
            assert at < 0
            assert verdict is not Verdict.COMMITTED
        else:
            assert known in life[max(at, 0) :], "what is known was never published, or went back"

    def evidence(self) -> None:
        """Give a mutated proof to the decoder, and see whom it convicts."""
        data = self.mutated(self.proof)
        try:
            proof = decode_proof(data)
        except WireError:
            self.counts["proof: refused by the decoder"] += 1
            return
        assert proof.encode() == data, "a proof has two encodings"
        valid = proof.is_valid(self.domain)
        assert not valid or data == self.proof, "a proof was forged"
        self.counts[f"proof: {'the true one' if valid else 'invalid'}"] += 1

    def schema(self) -> None:
        """Give a mutated schema to the decoder."""
        data = self.mutated(self.rng.choice(self.schemas))
        try:
            schema = decode_schema(data)
        except (WireError, SchemaError) as error:
            self.counts[f"schema: {type(error).__name__}"] += 1
            return
        assert encode_schema(schema) == data, "a schema has two encodings"
        self.counts["schema: decoded"] += 1

    def message(self) -> None:
        """Give a mutated message to the decoder of a channel."""
        channel, data = self.messages.draw()
        self.counts[self.messages.judge(channel, self.mutated(data))] += 1

    def run(self, count: Iterable[int]) -> None:
        """Try so many inputs: a tenth of them proofs, another tenth schemas, and 3 in 10 messages of all channels."""
        for _ in count:
            draw = self.rng.random()
            what = self.evidence if draw < 0.1 else self.schema if draw < 0.2 else self.message
            (what if draw < 0.5 else self.record)()


def _records(life: list[OwnerState]) -> Iterable[Record]:
    """Yield the deltas from each state to the next, and over a gap, and the full records."""
    for at, state in enumerate(life):
        yield state.record()
        for step in (1, 3):
            if at >= step and life[at - step].header.epoch == state.header.epoch:
                yield state.record(full=False, since=life[at - step])


def main() -> None:
    """Run, and print what happened; an assertion that fails has the seed beside it."""
    options = argparse.ArgumentParser(description="Throw mutated bytes at the decoders.")
    options.add_argument("--count", type=int, default=1_000_000, help="how many")
    options.add_argument("--seed", type=int, default=20130207, help="the same seed gives the same inputs")
    given = options.parse_args()
    console = Console()
    console.print(f"seed: {given.seed}")
    fuzzer = Fuzzer(given.seed)
    tracemalloc.start()
    fuzzer.run(track(range(given.count), "fuzzing", console=console))
    _, peak = tracemalloc.get_traced_memory()
    for what, times in sorted(fuzzer.counts.items()):
        console.print(f"{times:>10,}  {what}")
    console.print(f"{peak / 1e6:>7.1f} MB  of memory at most, beside the corpus of {len(fuzzer.corpus)} records")


if __name__ == "__main__":
    main()
