"""A signature is one key's, for one message in one domain, and for nothing else."""

from __future__ import annotations

import random
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub import Domain, Identity, IdentityError
from pubsub.identity import MAX_TOPIC_KEY, short_of, verify

ANNA = Identity(bytes(range(32)))
BEN = Identity(bytes(32))
#: Points of order 1, 2, 4 and 8: under such a "key", some signatures hold for nearly every message.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
L = 2**252 + 27742317777372353535851937790883648493  # the order of the group


def test_the_same_seed_is_the_same_peer() -> None:
    again = Identity(ANNA.seed)
    assert again.owner == ANNA.owner != BEN.owner
    assert again.sign(b"x") == ANNA.sign(b"x")
    assert short_of(ANNA.owner) == blake2b(ANNA.owner, digest_size=8).digest()


def test_a_new_identity_is_as_random_as_its_source() -> None:
    one, same = (Identity.generate(random.Random(7).randbytes) for _ in range(2))
    assert one.owner == same.owner
    assert Identity.generate(random.Random(8).randbytes).owner != one.owner


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_a_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(IdentityError, match=f"32 bytes, this one has {size}"):
        Identity(bytes(size))


def test_a_repr_does_not_tell_the_secret() -> None:
    assert ANNA.seed.hex() not in repr(ANNA)
    assert short_of(ANNA.owner).hex() in repr(ANNA)


@given(st.binary(max_size=300))
def test_a_signature_is_of_its_message_and_its_owner_only(message: bytes) -> None:
    signature = ANNA.sign(message)
    assert verify(ANNA.owner, message, signature)
    assert not verify(BEN.owner, message, signature)
    assert not verify(ANNA.owner, message + b"\0", signature)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 511))
def test_a_flipped_bit_is_no_signature(message: bytes, bit: int) -> None:
    signature = bytearray(ANNA.sign(message))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify(ANNA.owner, message, bytes(signature))


def test_a_signature_has_one_form() -> None:
    """S + L would hold too, if it were not refused: somebody else could make a second signature of a message."""
    signature = ANNA.sign(b"x")
    scalar = int.from_bytes(signature[32:], "little") + L
    assert not verify(ANNA.owner, b"x", signature[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_a_key_that_fits_every_message_is_refused(key: str) -> None:
    for point in SMALL_ORDER:
        forged = bytes.fromhex(point) + bytes(32)
        assert not any(verify(bytes.fromhex(key), bytes([n]), forged) for n in range(16))


@pytest.mark.parametrize("size", [0, 1, 63, 65, 128])
def test_a_signature_of_a_wrong_size_is_refused(size: int) -> None:
    message = ANNA.sign(b"x") + b"x"
    assert not verify(ANNA.owner, message[64 - size :] if size < 64 else message, bytes(size))
    assert not verify(ANNA.owner, message[size:], message[:size]), "it took the rest from the message"


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_a_wrong_size_verifies_nothing(size: int) -> None:
    assert not verify(ANNA.owner[:size].ljust(size), b"x", ANNA.sign(b"x"))


DOMAINS = [
    Domain("a"),
    Domain("b"),
    Domain("ab"),
    Domain(""),
    Domain("a", b"k"),
    Domain("a", b"l"),
    Domain("b", b"k"),
    Domain("a", bytes(MAX_TOPIC_KEY)),
    Domain("a", bytes(MAX_TOPIC_KEY - 1) + b"\1"),
]


def test_a_signature_of_one_domain_means_nothing_in_another() -> None:
    for at, one in enumerate(DOMAINS):
        signature = ANNA.sign(one.bind(b"message"))
        for where, other in enumerate(DOMAINS):
            assert verify(ANNA.owner, other.bind(b"message"), signature) == (at == where)


@given(st.text(max_size=5), st.text(max_size=5), st.binary(max_size=5), st.binary(max_size=5))
def test_topic_and_message_do_not_flow_into_each_other(topic: str, other: str, one: bytes, two: bytes) -> None:
    same = (topic, one) == (other, two)
    assert (Domain(topic).bind(one) == Domain(other).bind(two)) == same


def test_a_topic_key_is_used_whole_or_refused() -> None:
    Domain("a", bytes(MAX_TOPIC_KEY))
    with pytest.raises(IdentityError, match="at most 64 bytes, this one has 65"):
        Domain("a", bytes(MAX_TOPIC_KEY + 1))


def test_a_topic_that_cannot_be_signed_for_is_refused() -> None:
    with pytest.raises(IdentityError, match="no UTF-8"):
        Domain("a\ud800")
