"""What is packed comes out again: masks, ticks, arguments and schemas."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.codec import LOW, NARROW, RecordedSchema, Row, decode_ticks, encode_ticks, pack_masks, unpack_masks
from history.stream import bits, encode_arguments
from machine import Schema, State

MASKS = st.integers(0, (1 << 200) - 1) | st.integers(0, LOW) | st.sampled_from([0, 1, LOW, LOW + 1, 1 << 63, 1 << 64])
NAMES = st.text(st.characters(categories=["Lu", "Ll", "Nd"]), min_size=1, max_size=8)


def row(**values: Any) -> Row:
    bare = dict.fromkeys(Row._fields, 0) | dict.fromkeys(Row._fields[13:], None) | {"wide": None, "ticks": b"\x90"}
    return Row(**{**bare, **values})


@given(MASKS, MASKS, MASKS)
def test_masks(called: int, changed: int, active: int) -> None:
    narrow = pack_masks(called, changed, active)
    assert all(0 <= mask < 1 << NARROW for mask in narrow[:3])
    assert (narrow[3] is None) is (max(called, changed, active) <= LOW)
    packed = row(**dict(zip(("called", "changed", "active", "wide"), narrow, strict=True)))
    assert unpack_masks(packed) == (called, changed, active)


@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=120))
def test_ticks(ticks: list[int]) -> None:
    assert decode_ticks(encode_ticks(tuple(ticks))) == ticks


@given(st.lists(st.integers(0, 127), max_size=50))
def test_small_ticks_take_a_byte_each(ticks: list[int]) -> None:
    assert len(encode_ticks(tuple(ticks))) <= len(ticks) + 3


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53), 1 << 53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, JSON, min_size=1))
def test_arguments_that_have_a_json_form_come_back_as_they_were(args: dict[str, Any]) -> None:
    text = encode_arguments(args, None)
    assert text is not None
    assert "\x00" not in text, "PostgreSQL takes no null character"
    assert text.encode("utf-8")
    if "\\ud8" not in json.dumps(args):
        assert json.loads(text) == args


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


ODD = st.one_of(
    st.just(Odd()),
    st.just(ValueError("no")),
    st.just({1, 2}),
    st.complex_numbers(),
    st.binary(),
    st.just(math.inf),
    st.just(1 << 100),
    st.just(-(1 << 100)),
    st.text(st.characters(categories=["Cs"])),
    st.dictionaries(st.tuples(st.integers()), st.none()),
)


@given(st.dictionaries(NAMES, ODD, min_size=1))
def test_arguments_that_have_none_become_some_json(args: dict[str, Any]) -> None:
    text = encode_arguments(args, None)
    assert text is not None
    json.loads(text)
    text.encode("utf-8")
    assert "\x00" not in text


def test_a_repr_that_fails_or_has_null_characters_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    class Null:
        def __repr__(self) -> str:
            return "\x00\ud800"

    for odd in (Broken(), Null()):
        text = encode_arguments({"odd": odd}, None)
        assert text is not None
        json.loads(text)
        text.encode("utf-8")
        assert "\x00" not in text


def test_no_arguments_take_no_room() -> None:
    assert encode_arguments({}, None) is None
    assert encode_arguments({"a": 1}, lambda args: None) is None
    assert encode_arguments({"a": 1}, lambda args: {}) is None


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    names = draw(st.lists(st.sampled_from([f"S{c}" for c in "abcdefghé名"]), min_size=1, max_size=8, unique=True))
    some = st.lists(st.sampled_from(names), max_size=3)
    states = {}
    for name in names:
        require = draw(some)
        states[name] = State(
            auto=draw(st.booleans()),
            multi=draw(st.booleans()),
            require=require,
            add=draw(some),
            remove=[n for n in draw(some) if n not in require],
            after=draw(some),
            tags=draw(st.lists(NAMES, max_size=2)),
        )
    return Schema(states)


@given(schemas(), st.data())
def test_schemas(schema: Schema, data: st.DataObject) -> None:
    some = data.draw(st.none() | st.lists(st.sampled_from(schema.names), min_size=1))
    recorded = RecordedSchema.of(schema, some)
    again = RecordedSchema.read(recorded.hash, recorded.body)
    assert again == recorded
    assert again.schema() == schema
    assert again.states == tuple(n for n in schema.names if some is None or n in some)
    assert again.is_whole is (set(again.states) == set(schema.names))
    assert RecordedSchema.of(schema, list(reversed(again.states))).hash == recorded.hash
    assert len(recorded.hash) == 32


def test_a_schema_that_differs_has_another_hash() -> None:
    plain = Schema({"A": State(), "B": State()})
    others = [
        Schema({"A": State(auto=True), "B": State()}),
        Schema({"A": State(require="B"), "B": State()}),
        Schema({"B": State(), "A": State()}),
        Schema({"A": State(), "B": State(), "C": State()}),
    ]
    hashes = {RecordedSchema.of(s).hash for s in [plain, *others]}
    hashes.add(RecordedSchema.of(plain, ["A"]).hash)
    assert len(hashes) == 6


@given(st.lists(st.sampled_from("ABCDEF")), st.lists(st.sampled_from("ABCD"), unique=True))
def test_bits_are_those_of_the_states_that_are_recorded(names: list[str], states: list[str]) -> None:
    mask = bits(names, states)
    assert {s for i, s in enumerate(states) if mask >> i & 1} == set(names) & set(states)
    assert mask < 1 << len(states)
