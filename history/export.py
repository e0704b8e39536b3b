"""Export: records as JSON lines, CSV or Parquet, one after the other, in constant memory.

`as_row` is the shape of JSON lines, of the other two, and of `am history log --json`. Its keys only ever grow in
number. A moment is there twice: ``…at`` in ns since 1970, ``…time`` the same as ISO 8601. CSV holds lists as names with
spaces between them (a state's name has none), and ticks and arguments as JSON. Parquet has lists, a map from state to
tick, `time` as a timestamp in microseconds (nanoseconds stay in `at`), and arguments as JSON.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, get_args

import msgspec

from history.answers import Record
from history.errors import ExtraMissingError, QuestionError
from history.times import format_time

if TYPE_CHECKING:
    import pyarrow

Format = Literal["jsonl", "csv", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
GROUP = 20_000  # records of a Parquet row group; they are all that is in memory at a time

COLUMNS = (
    "id",
    "machine",
    "owner",
    "at",
    "time",
    "epoch",
    "seq",
    "mutation",
    "auto",
    "rejected",
    "error",
    "called",
    "activated",
    "deactivated",
    "active",
    "ticks",
    "time_sum",
    "time_diff",
    "tx_id",
    "source_machine",
    "source_tx",
    "arguments",
)
_LISTS = ("called", "activated", "deactivated", "active")
_encode = msgspec.json.Encoder().encode


def as_row(record: Record) -> dict[str, Any]:
    """Return a record as plain values, in the order of `COLUMNS`."""
    return {
        "id": record.id,
        "machine": record.machine,
        "owner": record.owner,
        "at": record.at,
        "time": format_time(record.at),
        "epoch": record.epoch,
        "seq": record.seq,
        "mutation": record.mutation,
        "auto": record.auto,
        "rejected": record.rejected,
        "error": record.error,
        "called": record.called,
        "activated": record.activated,
        "deactivated": record.deactivated,
        "active": record.clock.active_states(),
        "ticks": dict(record.clock),
        "time_sum": record.time_sum,
        "time_diff": record.time_diff,
        "tx_id": record.tx_id,
        "source_machine": record.source_machine,
        "source_tx": record.source_tx,
        "arguments": record.arguments,
    }


def format_of(path: str | Path) -> Format:
    """Return the format that a file's name asks for.

    Raises:
        QuestionError: it asks for none that is known.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise QuestionError(f"{path} does not tell its format: end it with {', '.join(SUFFIXES)}, or name the format")
    return SUFFIXES[suffix]


def check_format(format: Format) -> None:
    """Make sure that a format can be written here, before anything is begun.

    Raises:
        ExtraMissingError: its library is missing.
    """
    if format == "parquet":
        _pyarrow()


def export(records: Iterable[Record], target: BinaryIO, format: Format) -> int:
    """Write records to an open file, which stays open; return how many these were.

    Raises:
        ExtraMissingError: Parquet, without pyarrow.
    """
    writers: dict[Format, Callable[[Iterable[Record], BinaryIO], int]] = {
        "jsonl": write_json_lines,
        "csv": write_csv,
        "parquet": write_parquet,
    }
    return writers[format](records, target)


def export_file(records: Iterable[Record], path: str | Path, format: Format | None = None) -> int:
    """Write records to a file, which appears (or is replaced) only when it is complete; return how many these were.

    Args:
        records: from `Questions.between`, say.
        path: where to; its end tells the format, unless that is given.
        format: ``jsonl``, ``csv`` or ``parquet``.
    """
    path = Path(path)
    chosen = format or format_of(path)
    check_format(chosen)
    if path.exists() and not path.is_file():  # a pipe or a device is written to as it is
        with path.open("wb") as target:
            return export(records, target, chosen)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as target:
            count = export(records, target, chosen)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return count


def write_json_lines(records: Iterable[Record], target: BinaryIO) -> int:
    """Write one JSON object a line; return how many."""
    count = 0
    for record in records:
        target.write(_encode(as_row(record)) + b"\n")
        count += 1
    return count


def write_csv(records: Iterable[Record], target: BinaryIO) -> int:
    """Write a line of names, then one a record, in UTF-8; return how many records."""
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        count = 0
        for record in records:
            row = as_row(record)
            for name in _LISTS:
                row[name] = " ".join(row[name])
            row["ticks"] = _encode(row["ticks"]).decode()
            row["arguments"] = None if row["arguments"] is None else _encode(row["arguments"]).decode()
            writer.writerow([str(v).lower() if isinstance(v, bool) else v for v in row.values()])
            count += 1
        return count
    finally:
        text.detach()


def write_parquet(records: Iterable[Record], target: BinaryIO) -> int:
    """Write a Parquet file (zstd), a row group at a time; return how many records."""
    pa = _pyarrow()
    from pyarrow import parquet

    schema, count = _parquet_schema(pa), 0
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for group in _groups(records, GROUP):
            writer.write_table(pa.Table.from_pylist([_parquet_row(r) for r in group], schema))
            count += len(group)
    return count


def _parquet_row(record: Record) -> dict[str, Any]:
    row = as_row(record)
    row["time"] = record.at // 1000
    row["ticks"] = list(row["ticks"].items())
    row["arguments"] = None if record.arguments is None else _encode(record.arguments).decode()
    return row


def _parquet_schema(pa: Any) -> pyarrow.Schema:
    names, text, number, flag = pa.list_(pa.string()), pa.string(), pa.int64(), pa.bool_()
    types = {
        **dict.fromkeys(("id", "at", "epoch", "seq", "time_sum", "time_diff"), number),
        **dict.fromkeys(("auto", "rejected", "error"), flag),
        **dict.fromkeys(_LISTS, names),
        "time": pa.timestamp("us", tz="UTC"),
        "ticks": pa.map_(text, number),
    }
    return pa.schema([(name, types.get(name, text)) for name in COLUMNS])


def _groups(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    group: list[Record] = []
    for record in records:
        group.append(record)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ExtraMissingError(
            "Parquet needs pyarrow, which is not installed: install the extra asyncmachine[parquet], "
            "as in pip install '.[parquet]' in a checkout, or pyarrow itself"
        ) from None
    return pyarrow


@contextmanager
def watched(records: Iterable[Record], low: int, high: int) -> Iterator[Iterable[Record]]:
    """Yield the same records, with a progress bar on stderr while they are taken; on no terminal, without one.

    They come by time, so the time of the last one tells how far it is from `low` to `high` (ns; the greater one first,
    if the newest come first).
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield records
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("exporting"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %  {task.fields[count]:,} rows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=max(abs(high - low), 1), count=0)

        def told() -> Iterator[Record]:
            for count, record in enumerate(records, 1):
                yield record
                if count % 1000 == 0:
                    progress.update(task, completed=abs(record.at - low), count=count)

        yield told()
