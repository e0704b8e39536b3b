"""What others held a machine for at a moment, beside what it was.

A belief of the past is a recording of a replica: an owner ``updates of X by Y`` says that Y saw a machine of X like
that, ``updates of X`` that whoever recorded the history did; its moments are those at which the updates came. Of the
present, a live peer has the replicas themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from asyncmachine.web.answers import Belief
from asyncmachine.web.roster import LOG, UPDATES, Listed
from asyncmachine.web.source import FIRST, Source
from history.codec import Row, decode_ticks
from history.search import find_first

MS = 1_000_000


def beliefs(
    source: Source, one: Listed, truth: Row, ticks: Mapping[str, int], at: int, *, is_now: bool
) -> list[Belief]:
    """Return what each observer believed of a machine that is known to have been like `truth` then."""
    found: list[Belief] = []
    if one.rank == LOG:
        copies = [other for other in source.roster.copies(one.base) if other.rank == UPDATES]
        found += [_recorded(source, other, truth, ticks, at) for other in copies]
    live = source.live
    if is_now and live is not None and one.base in live.heard:
        heard = live.heard[one.base]
        behind, differ = _compare(ticks, heard.ticks)
        stale: int | None = live.since(heard) // 1000
        if one.rank == LOG:
            stale = _stale(source, truth, sum(heard.ticks.values()), at) if differ else 0
        found.insert(
            0,
            Belief(
                observer=live.peer,
                known=True,
                at=str(at - 1000 * live.since(heard)),
                epoch=heard.epoch,
                seq=heard.version,
                stale_ms=stale,
                behind_ticks=behind,
                ticks=differ,
            ),
        )
    return found


def _recorded(source: Source, copy: Listed, truth: Row, ticks: Mapping[str, int], at: int) -> Belief:
    observer = copy.observer or ""
    row = source.store.newest(copy.row.id, at)
    if row is None:
        return Belief(
            observer=observer, known=False, at=None, epoch=None, seq=None, stale_ms=None, behind_ticks=None, ticks={}
        )
    directory = source.roster.directory
    states = directory.schema_at(directory.entry(copy.row.id), row.at).states
    believed = dict(zip(states, decode_ticks(row.ticks), strict=False))
    behind, differ = _compare(ticks, believed)
    return Belief(
        observer=observer,
        known=True,
        at=str(row.at),
        epoch=row.epoch,
        seq=row.seq,
        stale_ms=_stale(source, truth, row.time_sum, at) if differ else 0,
        behind_ticks=behind,
        ticks=differ,
    )


def _compare(truth: Mapping[str, int], believed: Mapping[str, int]) -> tuple[int | None, dict[str, tuple[int, int]]]:
    """Return by how many ticks a belief is behind, None if it is ahead somewhere; and the states that differ."""
    names = dict.fromkeys((*truth, *believed))
    differ = {n: (truth.get(n, 0), believed.get(n, 0)) for n in names if truth.get(n, 0) != believed.get(n, 0)}
    if any(was < seen for was, seen in differ.values()):
        return None, differ  # it has begun anew, and that has not come there yet
    return sum(was - seen for was, seen in differ.values()), differ


def _stale(source: Source, truth: Row, believed_sum: int, at: int) -> int | None:
    """Return for how many ms the truth has been beyond what is believed; None: that is not known."""
    oldest = source.store.oldest(truth.machine_id, FIRST)
    if oldest is None:
        return None
    beyond = find_first(
        source.store,
        truth.machine_id,
        (oldest, truth),
        lambda row: row.epoch == truth.epoch and row.time_sum > believed_sum,
        lambda row: row.time_sum if row.epoch == truth.epoch else None,
        believed_sum + 1,
    )
    return None if beyond is None else max(at - beyond.at, 0) // MS
