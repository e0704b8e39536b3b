"""How messages lie in a stream of libp2p, whatever pieces it comes in; and what makes a hello good. No network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub import Domain, Identity, WireError
from pubsub.transport.framing import MAX_FRAME, Splitter, frame
from pubsub.transport.hello import MAX_HELLO, Hello, decode_hello
from pubsub.wire import varint

MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 4), st.integers(0, 2**64 - 1) | st.integers(0, 200), st.binary(max_size=300).map(lambda b: b * 3)
    )
)
ONE, TWO = Identity(b"1" * 32).owner, Identity(b"2" * 32).owner


@given(MESSAGES, st.lists(st.integers(1, 400)))
def test_messages_come_out_as_they_went_in_whatever_the_pieces(
    messages: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(frame(*message) for message in messages)
    splitter, found, at = Splitter(), [], 0
    for size in [*cuts, len(stream)]:
        splitter.feed(stream[at : at + size])
        at = min(at + size, len(stream))
        while (framed := splitter.next()) is not None:
            found.append(framed)
    assert [framed[:3] for framed in found] == messages
    assert sum(framed[3] for framed in found) == len(stream)


@given(st.binary(max_size=60))
def test_any_bytes_are_messages_or_an_error_and_never_anything_else(data: bytes) -> None:
    splitter = Splitter()
    splitter.feed(data)
    try:
        while (framed := splitter.next()) is not None:
            assert 0 <= framed[0] <= 4
    except WireError:
        pass


@pytest.mark.parametrize(
    "data",
    [
        varint(MAX_FRAME + 1),
        b"\xff" * 10,
        b"\x82\x00\x01\x00",  # a length that is not in its shortest form
        b"\x00",
        b"\x01\x01",
        b"\x02\x05\x00",  # channel 5
        b"\x03\x01\x80\x00",  # a stream that is not in its shortest form
    ],
)
def test_what_is_no_frame_is_refused_as_soon_as_that_is_known(data: bytes) -> None:
    splitter = Splitter()
    splitter.feed(data)
    with pytest.raises(WireError):
        splitter.next()


def test_a_limit_holds_before_the_message_is_there() -> None:
    splitter = Splitter()
    splitter.feed(varint(100))
    assert splitter.next() is None
    with pytest.raises(WireError):
        splitter.next(99)


@pytest.mark.parametrize("key", [b"", b"secret"])
def test_a_hello_is_good_for_whom_it_was_said_to_and_no_other(key: bytes) -> None:
    domain = Domain("home", key)
    hello = Hello(b"incarnat", b"connecti", b"lastlast")
    said = hello.encode(domain, ONE, TWO)
    assert len(said) == MAX_HELLO - (0 if key else 16)
    assert decode_hello(said, domain, ONE, TWO) == hello
    others = [(Domain("work", key), ONE, TWO), (Domain("home", b"other"), ONE, TWO)]
    if key:
        others += [(Domain("home"), ONE, TWO), (domain, TWO, TWO), (domain, ONE, ONE), (domain, TWO, ONE)]
    for other in others:
        with pytest.raises(WireError):
            decode_hello(said, *other)


def test_no_bit_of_a_hello_can_be_changed_where_the_topic_has_a_key() -> None:
    domain = Domain("home", b"secret")
    said = Hello(b"incarnat", b"connecti").encode(domain, ONE, TWO)
    for at in range(len(said)):
        changed = said[:at] + bytes((said[at] ^ 1,)) + said[at + 1 :]
        with pytest.raises(WireError):
            decode_hello(changed, domain, ONE, TWO)
    for cut in (said[:-1], said + b"\x00", b""):
        with pytest.raises(WireError):
            decode_hello(cut, domain, ONE, TWO)
