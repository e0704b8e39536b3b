"""The fuzzer itself, for a moment; ``python -m simulations.fuzz --count 1000000`` takes a few minutes."""

from __future__ import annotations

import tracemalloc

from pubsub import Verdict
from pubsub.boundary import CHANNELS
from simulations.fuzz import Fuzzer


def test_mutated_bytes_are_never_taken_for_what_they_are_not(seed: int) -> None:
    fuzzer = Fuzzer(seed)
    fuzzer.run(range(10_000))
    counts = fuzzer.counts
    assert sum(counts.values()) == 10_000
    for verdict in (Verdict.COMMITTED, Verdict.GAP, Verdict.OLDER, Verdict.DUPLICATE, Verdict.BAD_SIGNATURE):
        assert counts[f"record: {verdict.value}"] > 0, "the mutations are too wild to get that far"
    for verdict in (Verdict.EQUIVOCATION, Verdict.OWN, Verdict.BACKWARDS):
        assert counts[f"record: {verdict.value}"] == 0
    assert counts["record: refused by the decoder"] > 2_000
    assert counts["proof: refused by the decoder"] > 500
    for outcome in ("WireError", "SchemaError", "decoded"):
        assert counts[f"schema: {outcome}"] > 0
    for channel in CHANNELS:
        for outcome in ("refused by the decoder", "decoded"):
            assert counts[f"{channel}: {outcome}"] > 10


def test_memory_is_bounded_whatever_comes_in(seed: int) -> None:
    fuzzer = Fuzzer(seed)
    tracemalloc.start()
    try:
        fuzzer.run(range(2_000))
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_seed_gives_the_same_inputs_again(seed: int) -> None:
    one, same, other = Fuzzer(seed), Fuzzer(seed), Fuzzer(seed + 1)
    for fuzzer in (one, same, other):
        fuzzer.run(range(300))
    assert one.counts == same.counts != other.counts
    assert one.corpus == same.corpus != other.corpus
