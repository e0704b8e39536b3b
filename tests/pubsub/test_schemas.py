"""Schemas have a form that every language can write, and nobody can pass off another one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine import Schema, SchemaError, State
from pubsub import ExposeError, WireError
from pubsub.schemas import MAX_SCHEMA, decode_schema, encode_schema, schema_hash

DOOR = Schema(
    {"Open": State(remove="Closed", tags=["a", "ü"]), "Closed": State(auto=True, remove="Open", after="Open")}
)


def test_the_bytes_are_these() -> None:
    body = b"".join(
        (
            b"\x01\x03",  # format, three states: the implicit Exception is one of them
            b"\x04Open\x00" + b"\x00" + b"\x00" + b"\x01\x01" + b"\x00" + b"\x02\x01a\x02\xc3\xbc",
            b"\x06Closed\x01" + b"\x00" + b"\x00" + b"\x01\x00" + b"\x01\x00" + b"\x00",
            b"\x09Exception\x02" + b"\x00\x00\x00\x00\x00",
        )
    )
    assert encode_schema(DOOR) == body
    assert schema_hash(DOOR).hex() == "da4a2f07fdf0c1a4261ab8e915c449df"
    assert decode_schema(body) == DOOR


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    names = draw(st.lists(st.from_regex(r"[A-Z][a-z]{0,5}[0-9]", fullmatch=True), min_size=1, max_size=9, unique=True))
    subset = st.lists(st.sampled_from(names), unique=True, max_size=4)
    states = {}
    for name in names:
        require = draw(subset)
        states[name] = State(
            auto=draw(st.booleans()),
            multi=draw(st.booleans()),
            require=require,
            add=draw(subset),
            remove=[t for t in draw(subset) if t not in require],
            after=draw(subset),
            tags=draw(st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=3)),
        )
    return Schema(states)


@given(schemas(), schemas())
def test_a_schema_comes_back_and_equal_hashes_mean_equal_schemas(one: Schema, two: Schema) -> None:
    assert decode_schema(encode_schema(one)) == one
    assert (schema_hash(one) == schema_hash(two)) == (one == two)


@given(schemas(), st.randoms(use_true_random=False))
def test_whatever_bytes_come_they_are_refused_or_canonical(schema: Schema, rng: random.Random) -> None:
    body = bytearray(encode_schema(schema))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(body))
        body[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        body += b"" if body else b"\x01"
    data = bytes(body)
    try:
        found = decode_schema(data)
    except (WireError, SchemaError):
        return
    assert encode_schema(found) == data


def one_state(name: bytes = b"\x01A", flags: bytes = b"\0", rest: bytes = b"\0\0\0\0\0") -> bytes:
    return b"\x01\x02" + name + flags + rest + b"\x09Exception\x02\0\0\0\0\0"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(b"", WireError, id="nothing"),
        pytest.param(b"\x02" + one_state()[1:], WireError, id="another format"),
        pytest.param(one_state()[:-1], WireError, id="cut"),
        pytest.param(one_state() + b"\0", WireError, id="left over"),
        pytest.param(one_state(flags=b"\x04"), WireError, id="unknown flag"),
        pytest.param(one_state(rest=b"\x01\x02\0\0\0\0"), WireError, id="no such state"),
        pytest.param(one_state(rest=b"\0\0\x01\0\0\0"), WireError, id="removes itself"),
        pytest.param(one_state(rest=b"\0\x02\x01\x01\0\0\0"), WireError, id="a target twice"),
        pytest.param(one_state(rest=b"\0\0\0\0\x02\x01t\x01t"), WireError, id="a tag twice"),
        pytest.param(one_state(b"\x09Exception"), WireError, id="a name twice"),
        pytest.param(b"\x01\x01\x01A\0\0\0\0\0\0", WireError, id="no Exception"),
        pytest.param(b"\x01\x00", WireError, id="no states"),
        pytest.param(one_state(b"\x01\xff"), WireError, id="no UTF-8"),
        pytest.param(one_state(b"\x01?"), SchemaError, id="no name"),
        pytest.param(one_state(b"\x06AState"), SchemaError, id="a handler's name"),
        pytest.param(one_state(rest=b"\x01\x01\0\x01\x01\0\0"), SchemaError, id="requires what it removes"),
        pytest.param(bytes(MAX_SCHEMA + 1), WireError, id="too long"),
    ],
)
def test_bad_bytes_are_refused(body: bytes, error: type[Exception]) -> None:
    assert decode_schema(one_state())
    with pytest.raises(error):
        decode_schema(body)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        pytest.param({"A": State(tags=["x" * MAX_SCHEMA])}, "at most 65536", id="too large"),
        pytest.param({"A": State(tags=["\ud800"])}, "no UTF-8", id="no UTF-8"),
    ],
)
def test_what_cannot_be_published_says_why(schema: dict[str, State], message: str) -> None:
    with pytest.raises(ExposeError, match=message):
        encode_schema(Schema(schema))
