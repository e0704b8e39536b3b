"""Many rows in one write: what is in them, what is there already, and what cannot be stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from history import StorageError, open_store
from history.inserts import BLOCKS
from history.store import Store
from history.stream import Identity, Stream
from machine import Machine, State

if TYPE_CHECKING:
    from tests.history.conftest import Place

MANY = BLOCKS[0] + 2 * BLOCKS[1] + 3  # blocks of each size, and some that are left over


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """Return an open store of each kind."""
    store = open_store(place.url)
    store.open()
    yield store
    store.close()


@pytest.fixture
def stream(store: Store) -> Stream:
    """Return a machine that has been registered."""
    stream = Stream(Identity("", "m"), Machine({"A": State()}, id="m"), None)
    stream.begin(store.register(stream))
    stream.periods.append((1, stream.schema))
    stream.known.schema_hash = stream.schema.hash  # type: ignore[union-attr]
    return stream


def rows_of(stream: Stream, count: int, **sparse: Any) -> list[tuple[Any, ...]]:
    """Return rows; each optional column that is named has its value in every seventh row only."""
    known = stream.known
    assert known is not None
    rows = []
    for n in range(1, count + 1):
        some = sparse if n % 7 == 0 else {}
        cause = (some.get("source_machine"), some.get("source_tx"), some.get("arguments"))
        head = (known.machine_id, n, known.epoch, n, 0, 1, 1, n & 1, some.get("wide"), n, 1, b"\x91\x01")
        rows.append((*head, some.get("tx_id"), *cause))
    return rows


OPTIONAL = {"wide": b"\x90", "tx_id": "1:7", "source_machine": "other", "source_tx": "1:2", "arguments": '{"a":1}'}


@pytest.mark.parametrize("columns", [(), ("wide",), ("tx_id",), ("source_machine", "source_tx"), tuple(OPTIONAL)])
def test_what_is_written_is_read(store: Store, stream: Stream, columns: tuple[str, ...]) -> None:
    rows = rows_of(stream, MANY, **{name: OPTIONAL[name] for name in columns})
    store.write(iter(rows), [stream])
    assert [tuple(row[1:]) for row in store.feed(0, 2 * MANY, None)] == rows


def test_what_is_there_already_is_left_out(store: Store, stream: Stream) -> None:
    rows = rows_of(stream, MANY)
    store.write(rows[:-10], [stream])
    store.write(rows[5:] + rows[-20:], [stream])
    assert [tuple(row[1:]) for row in store.feed(0, 2 * MANY, None)] == rows


@pytest.mark.parametrize("place_of_bad", [3, BLOCKS[0] + 3, MANY - 1])
def test_a_row_that_cannot_be_stored_undoes_them_all(lasting: Place, place_of_bad: int) -> None:
    store = open_store(lasting.url)
    store.open()
    stream = Stream(Identity("", "m"), Machine({"A": State()}, id="m"), None)
    stream.begin(store.register(stream))
    rows = rows_of(stream, MANY)
    bad = list(rows)
    bad[place_of_bad] = (*bad[place_of_bad][:11], None, *bad[place_of_bad][12:])  # no ticks
    with pytest.raises(StorageError):
        store.write(bad, [])
    assert store.feed(0, 1, None) == []
    store.write(rows, [])
    assert [tuple(row[1:]) for row in store.feed(0, 2 * MANY, None)] == rows
    store.close()
