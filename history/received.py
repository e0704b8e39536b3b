"""Texts and schemas that came from somebody else: read, or refused."""

from __future__ import annotations

import json
import zlib

from history.codec import RecordedSchema
from history.log import Head

MAX_TEXT = 1 << 20  # bytes of a schema or of arguments, unpacked
MAX_DEPTH = 200  # of arguments; Python's own parser gives up at some 1000
ZLIB = b"\x78"  # what compressed JSON begins with, and no other does


class WrongError(Exception):
    """What is wrong with a row. For this package; others see `LogError`."""


def text_of(packed: bytes) -> str:
    """Return JSON as text; what is compressed may not be too long."""
    if packed[:1] != ZLIB:
        return packed.decode()
    reader = zlib.decompressobj()
    text = reader.decompress(packed, MAX_TEXT)
    if reader.unconsumed_tail or not reader.eof or reader.unused_data:
        raise WrongError(f"it has a text that is cut off, or longer than {MAX_TEXT} bytes")
    return text.decode()


def check_text(text: str | None) -> None:
    """Refuse what no database would take."""
    if text is None:
        return
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise WrongError("it has a text that cannot be stored")


def check_arguments(arguments: str) -> None:
    """Refuse what is no JSON, or is nested too deep to be read."""
    check_text(arguments)
    if _depth(json.loads(arguments)) > MAX_DEPTH:
        raise WrongError(f"its arguments are nested more than {MAX_DEPTH} deep")


def _depth(value: object) -> int:
    """Return how deep lists and objects are nested, up to a bit more than `MAX_DEPTH`."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [value for values in inner for value in values]
        depth += bool(inner)
    return depth


class Schemas:
    """The schemas of one page, by the order in which they came."""

    def __init__(self) -> None:
        self._come: list[RecordedSchema | None] = []

    def read(self, head: Head) -> RecordedSchema:
        """Return the schema of a head; raises all sorts of errors if it is none."""
        if isinstance(head.schema, int):
            found = self._come[head.schema] if head.schema < len(self._come) else None
            if found is None:
                raise WrongError(f"no schema came before that has the number {head.schema}")
            return found
        self._come.append(None)  # so that the next one has its number, whatever becomes of this one
        self._come[-1] = found = _known.read(head.schema)
        return found


class _Known:
    """Schemas that were read lately: with each page come some, and they are most often the same."""

    def __init__(self, kept: int = 64) -> None:
        self._kept = kept
        self._known: dict[bytes, RecordedSchema] = {}

    def read(self, packed: bytes) -> RecordedSchema:
        found = self._known.get(packed)
        if found is None:
            found = _checked(text_of(packed))
            if len(self._known) >= self._kept:
                del self._known[next(iter(self._known))]
            self._known[packed] = found
        return found


def _checked(body: str) -> RecordedSchema:
    found = RecordedSchema.received(body)
    whole = found.schema()
    if not found.states or len(set(found.states)) != len(found.states):
        raise WrongError("its schema has no states, or one of them twice")
    for name in found.states:
        check_text(name)
        if name not in whole:
            raise WrongError(f"its schema does not have the state {name!r:.80} that was recorded")
    check_text(body)
    return found


_known = _Known()
