"""Checkpoints: all that was there at a moment, as bytes.

A line of JSON says how long which array is and of which type; the arrays follow, and then the texts to which they
refer, all of it compressed. Arrays have the smallest type that holds what is in them; what grows is stored as how much.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.names import Names, Texts
from graph.packed import LIFE, Packed
from history.graphs import OPEN

MAGIC: Final = b"am graph 1\n"  # a program that does not know it reads the rows instead
MARK: Final = b"\xff"  # between texts, of which it can be in none
LEVEL: Final = 1  # measured: half the time of level 6, for a fifth more bytes
Tables = tuple[Packed, Packed]


def to_bytes(tables: Tables, names: Names, at: int) -> bytes:
    """Pack those of some vertices and edges that were there at a moment."""
    vertices, edges = (table.some(table.there(at)) for table in tables)
    used, ends = np.unique(np.concatenate((vertices.ends, edges.ends.reshape(-1, 1)))[:, 0], return_inverse=True)
    kinds, kind = np.unique(edges.kind, return_inverse=True)
    tags, tagged = np.unique(np.concatenate((vertices.tags, edges.tags)), return_inverse=True)
    numbers = (table.name & ((1 << LIFE) - 1) for table in (vertices, edges))
    arrays = [_small(array) for array in (*map(_steps, (*numbers, vertices.since, edges.since)), ends, kind, tagged)]
    texts = [
        MARK.join(some.texts(chosen))
        for some, chosen in ((names.vertices, used), (names.kinds, kinds), (names.tags, tags))
    ]
    head = {
        "vertices": len(vertices),
        "edges": len(edges),
        "arrays": [(array.dtype.str, array.nbytes) for array in arrays],
        "texts": [(len(text), len(chosen)) for text, chosen in zip(texts, (used, kinds, tags), strict=True)],
    }
    parts = [json.dumps(head).encode(), b"\n", *(array.tobytes() for array in arrays), *texts]
    return MAGIC + zlib.compress(b"".join(parts), LEVEL)


def from_bytes(body: bytes, names: Names, life: int) -> Tables | None:
    """Return the vertices and edges of a checkpoint of a life; None: it is of a kind that is not known here."""
    if not body.startswith(MAGIC):
        return None
    try:
        return _read(body, names, life)
    except (zlib.error, ValueError, LookupError):
        return None  # damaged; the rows say the same


def _read(body: bytes, names: Names, life: int) -> Tables:
    told, _, rest = zlib.decompress(body[len(MAGIC) :]).partition(b"\n")
    head = json.loads(told)
    sizes = [*(size for _, size in head["arrays"]), *(size for size, _ in head["texts"])]
    pieces = [rest[a:b] for a, b in pairwise(accumulate(sizes, initial=0))]
    count, types = head["vertices"], [kind for kind, _ in head["arrays"]]
    arrays = [np.frombuffer(piece, dtype=kind) for piece, kind in zip(pieces, types, strict=False)]
    known: tuple[Texts[Any], ...] = (names.vertices, names.kinds, names.tags)
    v, k, t = (
        texts.take(piece.split(MARK) if number else [])
        for texts, piece, (_, number) in zip(known, pieces[len(types) :], head["texts"], strict=True)
    )
    number_v, number_e, since_v, since_e = (np.cumsum(array, dtype=np.int64) for array in arrays[:4])
    ends, kind, tagged = v[arrays[4]], k[arrays[5]], t[arrays[6]]
    none = np.zeros(0, dtype=np.int32)
    vertices = Packed(number_v, since_v, np.full(count, OPEN), ends[:count, None], none, tagged[:count])
    edges = Packed(number_e, since_e, np.full(head["edges"], OPEN), ends[count:].reshape(-1, 2), kind, tagged[count:])
    return replace(vertices, name=number_v | life << LIFE), replace(edges, name=number_e | life << LIFE)


def _steps(array: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how much each is more than the one before."""
    return np.diff(array, prepend=0)


def _small(array: NDArray[Any]) -> NDArray[Any]:
    """Return the same numbers in the smallest type that holds them."""
    if array.min(initial=0) < 0:
        return array.astype("<i8")
    most = int(array.max(initial=0))
    return array.astype(next(kind for kind in ("<u1", "<u2", "<u4", "<u8") if most <= np.iinfo(kind).max))
