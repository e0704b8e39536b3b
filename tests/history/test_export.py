"""Export: what is written is what was recorded, in every format, and a file is there when it is whole."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import trio

import history.export as module
from history import ExtraMissingError, QuestionError, Questions, Record, export_file, open_history, open_store
from history.export import COLUMNS, FORMATS, Format, as_row, export, format_of, watched
from machine import Machine, State, bind_state

SECOND = 10**9
BEGINNING = 1_360_375_200 * SECOND


class Wall:
    at = BEGINNING

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Return what a lamp and a fan did, with everything in it that a format could trip over."""

    async def recorded() -> list[Record]:
        wall = Wall()
        async with open_history(f"sqlite:///{tmp_path / 'export.db'}", now=wall) as history:
            lamp = Machine({"On": State(), "Ünlit": State(auto=True, remove="On")}, id='the "lamp", upstairs')
            fan = Machine({"Turning": State(), "Never": State(require="On"), "On": State()}, id="fan")
            bind_state(lamp, "On", fan, "Turning")
            history.record(lamp, owner="Ann\nB", arguments=True, rejected=True)
            history.record(fan, rejected=True)
            wall.at += SECOND
            lamp.add("On", who="Zoë, 'the first'", list=[1, None], nested={"a": "\n"})
            fan.add("Never")
            wall.at += 123_456_789
            lamp.remove("On")
            await history.sync()
            return [record async for record in history.between()]

    return trio.run(recorded)


def exported(records: list[Record], format: Format) -> bytes:
    target = io.BytesIO()
    assert export(records, target, format) == len(records)
    assert not target.closed
    return target.getvalue()


def test_a_row_has_the_documented_columns_in_their_order(records: list[Record]) -> None:
    for record in records:
        assert tuple(as_row(record)) == COLUMNS


def test_json_lines_hold_every_record(records: list[Record]) -> None:
    lines = [json.loads(line) for line in exported(records, "jsonl").decode().splitlines()]
    assert lines == [json.loads(json.dumps(as_row(record))) for record in records]
    assert any(line["arguments"] for line in lines)
    assert any(line["rejected"] for line in lines)
    assert {line["source_machine"] for line in lines} >= {None, 'the "lamp", upstairs'}


def test_time_is_at_as_a_person_writes_it(records: list[Record]) -> None:
    written = {record.at: as_row(record)["time"] for record in records}
    assert written[BEGINNING] == "2013-02-09T02:00:00Z"
    assert "2013-02-09T02:00:01.123456789Z" in written.values()


def test_csv_holds_every_record(records: list[Record]) -> None:
    rows = list(csv.DictReader(io.StringIO(exported(records, "csv").decode(), newline="")))
    assert [tuple(row) for row in rows] == [COLUMNS] * len(records)
    for row, record in zip(rows, records, strict=True):
        assert (int(row["id"]), row["machine"], row["owner"]) == (record.id, record.machine, record.owner)
        assert (int(row["at"]), row["rejected"]) == (record.at, str(record.rejected).lower())
        assert tuple(row["activated"].split()) == record.activated
        assert json.loads(row["ticks"]) == dict(record.clock)
        assert (row["tx_id"] or None) == record.tx_id
        assert (json.loads(row["arguments"]) if row["arguments"] else None) == record.arguments


def test_parquet_is_read_back_as_it_was_written(records: list[Record]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(exported(records, "parquet")))
    assert tuple(table.column_names) == COLUMNS
    types = {field.name: str(field.type) for field in table.schema}
    assert types["at"] == "int64"
    assert types["time"] == "timestamp[us, tz=UTC]"
    assert types["ticks"].startswith("map<string, int64")
    for row, record in zip(table.to_pylist(), records, strict=True):
        expected = as_row(record)
        assert row["time"] == record.time
        assert dict(row["ticks"]) == expected["ticks"]
        assert (None if row["arguments"] is None else json.loads(row["arguments"])) == record.arguments
        for name in set(COLUMNS) - {"time", "ticks", "arguments"}:
            value = expected[name]
            assert row[name] == (list(value) if isinstance(value, tuple) else value), name


def test_parquet_comes_in_row_groups(records: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(module, "GROUP", 2)
    file = parquet.ParquetFile(io.BytesIO(exported(records, "parquet")))
    assert file.num_row_groups == -(-len(records) // 2)
    assert file.metadata.num_rows == len(records)


@pytest.mark.parametrize("format", FORMATS)
def test_no_records_are_a_file_without_rows(format: Format) -> None:
    if format == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        table = parquet.read_table(io.BytesIO(exported([], format)))
        assert (table.num_rows, tuple(table.column_names)) == (0, COLUMNS)
    else:
        assert exported([], format).decode().splitlines() == ([",".join(COLUMNS)] if format == "csv" else [])


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_memory_does_not_grow_with_the_number_of_records(records: list[Record], format: Format) -> None:
    class Nowhere(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any, /) -> int:
            return len(data)

    def many() -> Iterator[Record]:
        for number in range(10_000):  # all of them together take several MB
            yield replace(records[0], id=number)

    stream = many()
    export(islice(stream, 1000), io.BufferedWriter(Nowhere()), format)
    tracemalloc.start()
    try:
        assert export(stream, io.BufferedWriter(Nowhere()), format) == 9_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_the_name_of_a_file_tells_the_format() -> None:
    told = {suffix: format_of(f"a.b{suffix}") for suffix in (".jsonl", ".NDJSON", ".json", ".csv", ".parquet", ".pq")}
    assert set(told.values()) == set(FORMATS)
    with pytest.raises(QuestionError, match=r"past\.xls.*\.csv"):
        format_of("past.xls")


def test_a_file_is_replaced_when_the_new_one_is_whole(records: list[Record], tmp_path: Path) -> None:
    target = tmp_path / "past.csv"
    target.write_text("as before")

    def broken() -> Iterator[Record]:
        yield records[0]
        assert target.read_text() == "as before"
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        export_file(broken(), target)
    assert target.read_text() == "as before"
    assert [path.name for path in tmp_path.iterdir() if "past" in path.name] == ["past.csv"]
    assert export_file(records, target) == len(records)
    assert len(target.read_text().splitlines()) > len(records)


def test_a_device_is_written_to_as_it_is(records: list[Record]) -> None:
    assert export_file(records, "/dev/null", "jsonl") == len(records)
    assert not Path("/dev/null").is_file()


def test_a_missing_library_is_named_before_anything_is_written(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from history import ExtraMissingError, export_file\n"
        "def records(): raise SystemExit('asked for records'); yield\n"
        "try: export_file(records(), sys.argv[1])\n"
        "except ExtraMissingError as error: print(error)\n"
    )
    target = tmp_path / "past.parquet"
    done = subprocess.run([sys.executable, "-c", program, str(target)], capture_output=True, text=True, check=True)
    assert "asyncmachine[parquet]" in done.stdout
    assert "pip install" in done.stdout
    assert not list(tmp_path.iterdir())
    assert issubclass(ExtraMissingError, ImportError)


async def test_what_was_exported_with_a_filter_is_what_was_asked_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'filter.db'}"
    async with open_history(url) as history:
        lamp = Machine({"On": State(multi=True), "Hot": State()}, id="lamp")
        history.record(lamp)
        for state in ("On", "Hot", "On"):
            lamp.add(state)
        await history.sync()
    store = open_store(url)
    store.open()
    count = export_file(Questions(store, lambda: 1 << 62).between(changed="On"), tmp_path / "on.jsonl")
    store.close()
    lines = [json.loads(line) for line in (tmp_path / "on.jsonl").read_text().splitlines()]
    assert [line["ticks"]["On"] for line in lines] == [1, 3]
    assert count == 2


def test_without_a_terminal_there_is_no_progress(records: list[Record], capsys: pytest.CaptureFixture[str]) -> None:
    with watched(records, 0, 1) as taken:
        assert list(taken) == records
    assert capsys.readouterr().err == ""


def test_on_a_terminal_progress_is_told_on_stderr(
    records: list[Record], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def terminal() -> Iterator[None]:
        monkeypatch.setenv("FORCE_COLOR", "1")  # which rich takes for a terminal
        monkeypatch.setenv("TERM", "xterm")
        yield

    many = [replace(records[0], id=number, at=BEGINNING + number) for number in range(2500)]
    with terminal(), watched(many, BEGINNING, BEGINNING + 2500) as taken:
        assert list(taken) == many
    said = capsys.readouterr()
    assert "exporting" in said.err
    assert "2,000 rows" in said.err
    assert said.out == ""
