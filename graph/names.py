"""What the rows of recorded graphs have in common: texts, each of them once, and by a number."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from graph.errors import GraphError
from graph.parts import EdgeKey, Link, Vertex, key_of

T = TypeVar("T")
Numbers = NDArray[np.int32]
NULL = "\0"  # is in no name that was recorded


class Texts(Generic[T]):
    """Texts by number, as bytes; what they stand for is made when it is asked for, and kept.

    Args:
        make: makes it of a text.
    """

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}
        self._texts: list[bytes] = []
        self._numbers: dict[bytes, int] = {}  # left behind while nobody looks for one

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, number: int) -> T:
        made = self._made.get(number)
        if made is None:
            made = self._made[number] = self._make(self._texts[number].decode())
        return made

    def number(self, text: bytes) -> int:
        """Return the number of a text, a new one if it has none."""
        if len(self._numbers) != len(self._texts):
            self._numbers = dict(zip(self._texts, range(len(self._texts)), strict=True))
        number = self._numbers.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number

    def take(self, texts: list[bytes]) -> Numbers:
        """Return the number of each of many texts that differ."""
        if not self._texts:
            self._texts = texts
            return np.arange(len(texts), dtype=np.int32)
        return np.fromiter(map(self.number, texts), dtype=np.int32, count=len(texts))

    def texts(self, numbers: NDArray[np.integer]) -> list[bytes]:
        """Return the texts of some numbers."""
        return [self._texts[number] for number in numbers.tolist()]


class Names:
    """The texts of all recordings in a database.

    Args:
        url: of the database, for errors.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.vertices: Texts[Vertex] = Texts(self._vertex)
        self.kinds: Texts[tuple[Link, str]] = Texts(self._kind)  # link and label of an edge
        self.tags: Texts[tuple[str, ...]] = Texts(lambda text: tuple(json.loads(text)) if text else ())
        self.edges: dict[int, EdgeKey] = {}  # by the name of the row: those that were asked for
        self._tagged: dict[tuple[str, ...], int] = {}

    def vertex(self, key: tuple[str, ...]) -> int:
        """Return the number of the vertex with a key."""
        return self.vertices.number(NULL.join(key).encode())

    def kind(self, link: str, label: str) -> int:
        """Return the number of a kind of edges."""
        return self.kinds.number(f"{link}{NULL}{label}".encode())

    def tagged(self, tags: tuple[str, ...]) -> int:
        """Return the number of tags."""
        number = self._tagged.get(tags)
        if number is None:
            text = json.dumps(tags) if tags else ""
            number = self._tagged[tags] = self.tags.number(text.encode())
        return number

    def edge(self, row: int, source: int, target: int, kind: int) -> EdgeKey:
        """Return the key of an edge; `row`: the name of its row."""
        key = self.edges.get(row)
        if key is None:
            link, label = self.kinds[kind]
            key = self.edges[row] = EdgeKey(link, self.vertices[source], self.vertices[target], label)
        return key

    def _vertex(self, text: str) -> Vertex:
        try:
            made = key_of(text.split(NULL))
        except ValueError as error:
            raise self.unknown(str(error)) from None
        assert isinstance(made, Vertex)
        return made

    def _kind(self, text: str) -> tuple[Link, str]:
        link, label = text.split(NULL)
        try:
            return Link(link), label
        except ValueError:
            raise self.unknown(f"{link!r} is not known") from None

    def unknown(self, what: str) -> GraphError:
        """Return the error for what a newer program has stored."""
        return GraphError(
            f"{self._url} has something in a graph that this program does not know ({what}): update the program"
        )
