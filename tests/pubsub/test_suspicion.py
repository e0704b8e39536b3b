"""A suspicion has one encoding, and nothing else is ever taken for one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub import Domain, Header, Identity, Proof, WireError, decode_proof, decode_record
from pubsub.identity import verify
from pubsub.record import FORMAT, MAX_EPOCH
from pubsub.suspicion import KIND, MAX_SINCE, PREFIX, Suspicion, decode_suspicion, suspect
from pubsub.wire import U64

ANNA, BEN, CARA = Identity(bytes(range(32))), Identity(bytes(32)), Identity(b"c" * 32)
DOMAIN = Domain("golden")
GOLDEN_SIGNATURE = (
    "9e05dcccca37c540e5be57a900b8a5eb024ce573aac255741b1300eec1123c03"
    "5e0358cf8b50639de7a5810cd9300752d1699198f7be4b6cdbf80ef84a12f402"
)

keys = st.sampled_from([i.owner for i in (ANNA, BEN, CARA)])
suspicions = st.builds(
    Suspicion,
    target=keys,
    witness=keys,
    epoch=st.integers(0, MAX_EPOCH),
    version=st.integers(0, U64),
    since=st.integers(0, MAX_SINCE),
    signature=st.binary(min_size=64, max_size=64),
)


def a_suspicion() -> Suspicion:
    return suspect(BEN, DOMAIN, ANNA.owner, (1_700_000_000, 300), 1_700_000_123)


def test_the_bytes_are_golden() -> None:
    suspicion = a_suspicion()
    rest = "6553f100" + "ac02" + "6553f17b"
    assert suspicion.encode()[:75].hex() == "40" + ANNA.owner.hex() + BEN.owner.hex() + rest
    assert suspicion.encode()[75:].hex() == suspicion.signature.hex() == GOLDEN_SIGNATURE
    assert len(suspicion.encode()) == 139


@given(suspicions)
def test_it_comes_back_as_it_was(suspicion: Suspicion) -> None:
    assert decode_suspicion(suspicion.encode()) == suspicion


def test_only_the_witness_can_sign_it() -> None:
    suspicion = a_suspicion()
    assert suspicion.is_signed(DOMAIN)
    assert not suspicion.is_signed(Domain("another"))
    assert not replace(suspicion, witness=CARA.owner).is_signed(DOMAIN)
    for change in ({"target": CARA.owner}, {"epoch": 1}, {"version": 301}, {"since": 0}, {"signature": bytes(64)}):
        assert not replace(suspicion, **change).is_signed(DOMAIN)


@given(suspicions, st.integers(0, 255))
def test_what_is_signed_is_no_header_and_the_other_way_round(suspicion: Suspicion, flags: int) -> None:
    header = Header(flags, suspicion.witness, suspicion.epoch, suspicion.version, 0, 0, bytes(16))
    assert suspicion.signed_part()[0] == PREFIX[0] < FORMAT == header.signed_part()[0]
    signature = BEN.sign(DOMAIN.bind(suspicion.signed_part()))
    assert not verify(BEN.owner, DOMAIN.bind(header.signed_part()), signature)
    assert KIND != FORMAT
    for decode in (decode_record, decode_proof):
        with pytest.raises(WireError):
            decode(suspicion.encode())


def test_a_proof_is_no_suspicion() -> None:
    one = Header(0, ANNA.owner, 1, 1, 0, 0, bytes(16)).sign(ANNA, DOMAIN)
    proof = Proof.of(one, replace(one, root=b"1" * 16).sign(ANNA, DOMAIN))
    assert proof is not None
    with pytest.raises(WireError, match="no kind"):
        decode_suspicion(proof.encode())


def test_every_byte_counts() -> None:
    data = a_suspicion().encode()
    for cut in range(len(data)):
        with pytest.raises(WireError):
            decode_suspicion(data[:cut])
    with pytest.raises(WireError):
        decode_suspicion(data + b"\0")


def test_mutated_bytes_are_refused_or_not_signed(seed: int) -> None:
    rng, true = random.Random(seed), a_suspicion()
    decoded = 0
    for _ in range(5_000):
        data = bytearray(true.encode())
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    data[at:at] = rng.randbytes(rng.randrange(1, 9))
                case 2:
                    del data[at:]
                    data = data or bytearray(1)
                case _:
                    data[at:] = data[rng.randrange(len(data)) :]
        try:
            suspicion = decode_suspicion(bytes(data))
        except WireError:
            continue
        decoded += 1
        assert suspicion.encode() == bytes(data), "a suspicion has two encodings"
        assert suspicion == true or not suspicion.is_signed(DOMAIN), "a suspicion was forged"
    assert decoded > 500
