"""What a history has done, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a history has done. Numbers of transitions, but for ``blocked`` (seconds that producers were held up).

    ``appended`` = ``committed`` + ``lost`` + ``encode_errors`` + ``waiting``; ``dropped`` were never taken, because the
    buffer was full. Of logs of others: ``pulled`` rows were stored, ``pulled_missing`` ones between them nobody has any
    more, and ``refused_pages`` were wrong; ``earlier_logs`` are kept of owners that have another database now. Of ours,
    ``cut_rows`` were given without arguments, which were too large, and ``unsent_rows`` are too large without them.
    """

    recorders: int
    appended: int
    committed: int
    waiting: int
    batches: int
    dropped: int
    lost: int
    write_errors: int
    encode_errors: int
    blocked: float
    pruned: int
    skewed_stamps: int
    failing: str | None
    pulled: int
    pulled_missing: int
    refused_pages: int
    cut_rows: int
    unsent_rows: int
    earlier_logs: int
