"""Records of a history, as the page gets them."""

from __future__ import annotations

from typing import Final

import msgspec

from asyncmachine.web.answers import Cause, RecordAnswer
from asyncmachine.web.roster import Listed, key_of
from asyncmachine.web.source import Source
from history import Record
from history.answers import as_record
from history.codec import Row

LONGEST: Final = 2000  # characters of arguments


def record_answer(record: Record) -> RecordAnswer:
    """Return a record as the page gets it."""
    caused = record.source_machine is not None and record.source_tx is not None
    return RecordAnswer(
        id=record.id,
        key=key_of(record.owner, record.machine),
        machine=record.machine,
        owner=record.owner,
        at=str(record.at),
        epoch=record.epoch,
        seq=record.seq,
        mutation=record.mutation,
        auto=record.auto,
        rejected=record.rejected,
        error=record.error,
        called=list(record.called),
        activated=list(record.activated),
        deactivated=list(record.deactivated),
        time_sum=record.time_sum,
        cause=Cause(machine=record.source_machine or "", tx=record.source_tx or "") if caused else None,
        arguments=_told(record.arguments),
    )


def _told(arguments: object) -> str | None:
    if arguments is None:
        return None
    text = msgspec.json.encode(arguments).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def record_of(source: Source, one: Listed, row: Row) -> Record:
    """Return a row of a store as a record."""
    directory = source.roster.directory
    schema = directory.schema_at(directory.entry(row.machine_id), row.at)
    return as_record(one.row.name, one.row.owner, row, schema)
