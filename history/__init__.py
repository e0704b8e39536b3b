"""Record every transition of machines in SQL, and answer questions about any past moment.

history, asking, opening, retention  the trio shell: records, answers, begins and ends; what is let go
recorder, stream, writer, hlc        from a transition to a committed row, and its stamp
store, memory, sql, tables, versions the boundary to a database, its two sides, tables and migrations
connections, inserts, statements     the ways to SQL, what goes there, and what is asked of it
questions, directory, answers, times what can be asked, and what comes back: how it was (moments), what happened
                                     (transitions), why (causes), for how long (activity)
log, packing, judging, received      rows as bytes; for others; which of theirs are right
logs, journal, journals              the logs of machines, and those of all machines of an owner
codec, errors, places, export        how rows are packed; what goes wrong; where files are; other forms
"""

from history.answers import Diff, Interval, MachineInfo, Moment, Network, Record
from history.errors import (
    ExtraMissingError,
    HistoryError,
    HorizonError,
    LifeError,
    LogError,
    QuestionError,
    StorageError,
    UnknownMachineError,
    VersionError,
)
from history.export import export_file
from history.history import History
from history.hlc import HybridClock
from history.opening import default_url, open_history, open_store
from history.questions import Page, Questions
from history.recorder import Except, Recorder
from history.times import LogicalTime, format_time, parse_when
from history.writer import Limits

__all__ = [
    "Diff",
    "Except",
    "ExtraMissingError",
    "History",
    "HistoryError",
    "HorizonError",
    "HybridClock",
    "Interval",
    "LifeError",
    "Limits",
    "LogError",
    "LogicalTime",
    "MachineInfo",
    "Moment",
    "Network",
    "Page",
    "QuestionError",
    "Questions",
    "Record",
    "Recorder",
    "StorageError",
    "UnknownMachineError",
    "VersionError",
    "default_url",
    "export_file",
    "format_time",
    "open_history",
    "open_store",
    "parse_when",
]
