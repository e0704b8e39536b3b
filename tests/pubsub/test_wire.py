"""There is one way to write a value, and a reader takes no other."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pubsub import WireError
from pubsub.wire import U64, Reader, text, varint, varints

numbers = st.integers(0, U64) | st.integers(0, 63).map(lambda bits: 1 << bits)


@given(numbers)
@example(0)
@example(127)
@example(128)
@example(U64)
def test_a_number_comes_back(value: int) -> None:
    written = varint(value)
    reader = Reader(written)
    assert reader.varint() == value
    reader.end()
    assert len(written) == max(1, -(-value.bit_length() // 7))


@given(st.lists(numbers))
@example([127, 128, 255, 256])
def test_many_numbers_are_written_like_one_after_the_other(values: list[int]) -> None:
    assert varints(tuple(values)) == b"".join(map(varint, values))


@given(st.text())
def test_a_text_comes_back(value: str) -> None:
    reader = Reader(text(value))
    assert reader.text(U64) == value
    reader.end()


@given(st.binary(max_size=12))
def test_whatever_is_read_as_a_number_would_be_written_the_same(data: bytes) -> None:
    reader = Reader(data)
    try:
        value = reader.varint()
    except WireError:
        return
    assert value <= U64
    assert varint(value) == data[: len(data) - reader.left]


@given(st.integers(0, U64), st.integers(1, 10))
def test_a_longer_form_is_refused(value: int, zeros: int) -> None:
    padded = bytearray(varint(value))
    padded[-1] |= 128
    padded += b"\x80" * (zeros - 1) + b"\0"
    with pytest.raises(WireError):
        Reader(bytes(padded)).varint()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\xff" * 9 + b"\x02",  # 2**64 and more
        b"\xff" * 9 + b"\x7f",
        b"\xff" * 10 + b"\x01",
        b"\xff" * 10_000,
    ],
)
def test_a_number_that_ends_too_early_or_late_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        Reader(data).varint()


@given(numbers, numbers)
def test_a_number_above_its_limit_is_refused(value: int, limit: int) -> None:
    reader = Reader(varint(value))
    if value <= limit:
        assert reader.varint(limit) == value
    else:
        with pytest.raises(WireError, match=f"{value} is above its limit {limit}"):
            reader.varint(limit)


@pytest.mark.parametrize("raw", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"])
def test_a_text_that_is_no_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError, match="UTF-8"):
        Reader(varint(len(raw)) + raw).text(10)


def test_a_length_is_not_believed() -> None:
    for claimed in (2, 1 << 40, U64):
        with pytest.raises(WireError, match="ends too early"):
            Reader(varint(claimed) + b"a").text(U64)
        with pytest.raises(WireError, match="ends too early"):
            Reader(b"a").take(claimed)


def test_what_is_left_over_is_refused() -> None:
    reader = Reader(b"ab")
    assert reader.byte() == ord("a")
    assert reader.left == 1
    with pytest.raises(WireError, match="1 bytes are left over"):
        reader.end()
    reader.take(1)
    reader.end()
    with pytest.raises(WireError, match="too early"):
        reader.byte()


@pytest.mark.parametrize("value", [-1, -128, U64 + 1])
def test_a_number_that_has_no_form_is_not_written(value: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        varint(value)
    with pytest.raises(ValueError, match="64 bits"):
        varints((1, value))
