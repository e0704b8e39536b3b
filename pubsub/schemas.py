"""Schemas as bytes: a canonical form that every language can write, and its hash, by which machines name their schema.

schema  format u8, number of states varint, the states in order
state   name, flags u8 (1 auto, 2 multi), require, add, remove, after, tags
each relation: count varint, then the index of each target as a varint, in declared order
tags    count varint, then each
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from machine import Schema, State
from pubsub.errors import ExposeError, WireError
from pubsub.record import HASH_BYTES, MAX_STATES
from pubsub.wire import Reader, text, varint, varints

FORMAT = 1
AUTO, MULTI = 1, 2
RELATIONS = ("require", "add", "remove", "after")
MAX_SCHEMA = 64 * 1024  # bytes


@lru_cache(maxsize=64)
def encode_schema(schema: Schema) -> bytes:
    """Return the canonical form of a schema: equal exactly when states, order, relations and tags are.

    It is made once for all machines of a schema, of all peers of a process.

    Raises:
        ExposeError: it is too large, or has a tag that is no UTF-8. The message says what, and the limit.
    """
    places = {name: at for at, name in enumerate(schema.names)}
    parts = [bytes((FORMAT,)), varint(len(places))]
    try:
        for name, state in schema.items():
            parts += [text(name), bytes((AUTO * state.auto | MULTI * state.multi,))]
            for relation in RELATIONS:
                targets = getattr(state, relation)
                parts.append(varints((len(targets), *[places[t] for t in targets])))
            parts += [varint(len(state.tags)), *map(text, state.tags)]
    except UnicodeEncodeError as error:
        raise ExposeError(f"{error.object[:40]!r} in the schema is no UTF-8") from None
    body = b"".join(parts)
    if len(body) > MAX_SCHEMA:
        raise ExposeError(f"the schema has {len(body)} bytes, at most {MAX_SCHEMA} can be published")
    return body


def hash_of_body(body: bytes) -> bytes:
    """Return the hash that a canonical form is known by: blake2b-128."""
    return blake2b(body, digest_size=HASH_BYTES).digest()


def schema_hash(schema: Schema) -> bytes:
    """Return the hash of a schema; see `encode_schema`."""
    return hash_of_body(encode_schema(schema))


@lru_cache(maxsize=64)
def decode_schema(body: bytes) -> Schema:
    """Return the schema that bytes are. The peers of one process share it, and what is compiled of it.

    Raises:
        WireError: they are no canonical form of a schema.
        SchemaError: its states contradict each other.
    """
    if len(body) > MAX_SCHEMA:
        raise WireError(f"{len(body)} bytes are more than {MAX_SCHEMA}")
    reader = Reader(body)
    if (version := reader.byte()) != FORMAT:
        raise WireError(f"format {version} is not {FORMAT}")
    found = []
    count = reader.varint(MAX_STATES)
    for _ in range(count):
        name, flags = reader.text(MAX_SCHEMA), reader.byte()
        if flags & ~(AUTO | MULTI):
            raise WireError(f"unknown flags {flags:#x} of a state")
        relations = [[reader.varint(count - 1) for _ in range(reader.varint(count))] for _ in RELATIONS]
        tags = [reader.text(MAX_SCHEMA) for _ in range(reader.varint(MAX_SCHEMA))]
        found.append((name, flags, relations, tags))
    reader.end()
    names = [name for name, *_ in found]
    states = {}
    for name, flags, relations, tags in found:
        targets = {r: [names[i] for i in indexes] for r, indexes in zip(RELATIONS, relations, strict=True)}
        states[name] = State(auto=bool(flags & AUTO), multi=bool(flags & MULTI), tags=tags, **targets)
    schema = Schema(states)
    if encode_schema(schema) != body:  # a name twice, a target twice, a state that lists itself, no Exception
        raise WireError("the schema is not in its canonical form")
    return schema
