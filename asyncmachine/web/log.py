"""The answers about transitions: a page of them, and how many there were when."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import Any

from asyncmachine.web.answers import DensityAnswer, LogAnswer
from asyncmachine.web.asked import AskDensity, AskLog, WrongError
from asyncmachine.web.records import record_answer
from asyncmachine.web.roster import UPDATES, Listed
from asyncmachine.web.source import Source
from history import Record
from machine.errors import did_you_mean


def log(source: Source, ask: AskLog) -> LogAnswer:
    """Return a page of transitions."""
    one = None if ask.machine is None else source.roster.find(ask.machine, ask.owner)
    low, high = source.window(ask.since, ask.until, one)
    question: dict[str, Any] = {
        "t1": low,
        "t2": high,
        "machines": names(source, one, ask.owner),
        "newest_first": ask.order == "newest",
        "after": _place(ask.after),
        "chunk": ask.limit + 1,
    }
    if ask.state is not None:
        check_state(source, one, ask.state)
        question["changed"] = ask.state
    found: list[Record] = list(islice(source.questions.between(**question), ask.limit + 1))
    records = found[: ask.limit]
    after = None
    if len(found) > ask.limit:
        last = records[-1]
        after = f"{last.at}.{source.roster.find(last.machine, last.owner).row.id}"
    return LogAnswer(records=[record_answer(record) for record in records], after=after)


def _place(after: str | None) -> tuple[int, int] | None:
    if after is None:
        return None
    found = re.fullmatch(r"(-?\d{1,19})\.(\d{1,19})", after, re.ASCII)
    if found is None or not -(1 << 63) < int(found[1]) < (1 << 63):
        raise WrongError(f"after={after[:80]!r} is not where a page ended: give what the page before says", "after")
    return int(found[1]), int(found[2])


def chosen(source: Source, one: Listed | None, owner: str | None) -> list[Listed] | None:
    """Return the machines that a question is about; None: all there are.

    Of a question about many, what was believed is left out: it is none of what happened.
    """
    if one is not None:
        return [one]
    every = list(source.chosen(owner))
    kept = [other for other in every if other.rank != UPDATES] or every
    return None if owner is None and len(kept) == len(every) else kept


def names(source: Source, one: Listed | None, owner: str | None) -> list[tuple[str, str]] | None:
    """Return the same as `Questions` take it."""
    found = chosen(source, one, owner)
    return None if found is None else [(other.row.owner, other.row.name) for other in found]


def check_state(source: Source, one: Listed | None, state: str) -> None:
    """Raise if no machine asked about has a state of this name."""
    hashes = {m.row.schema_hash for m in ([one] if one is not None else source.roster.all())}
    known = {name for hash in hashes for name in source.store.recorded_schema(hash).states}
    if one is None and source.live is not None:
        known.update(name for heard in source.live.heard.values() for name in heard.ticks)
    if one is not None:
        directory = source.roster.directory
        known.update(name for schema in directory.entry(one.row.id).schemas for name in schema.states)
    if state not in known:
        whose = one.row.name if one is not None else "no machine"
        has = "has no" if one is not None else "has a"
        hint = did_you_mean(state[:80], sorted(known))
        raise WrongError(f"{whose} {has} state {state[:80]!r}{hint}", "state")


def density(source: Source, ask: AskDensity) -> DensityAnswer:
    """Return how many transitions there were in each part of a window."""
    one = None if ask.machine is None else source.roster.find(ask.machine, ask.owner)
    low, high = source.window(ask.since, ask.until, one)
    width = max(-(-(high - low) // ask.buckets), 1)
    counts, errors = Counter[int](), Counter[int]()
    if ask.state is not None:
        if one is None:
            raise WrongError("state is for one machine: give machine, too", "state")
        check_state(source, one, ask.state)
        directory = source.roster.directory
        for part in directory.segments(directory.entry(one.row.id), low, high):
            if ask.state in part.schema.states:
                index = part.schema.states.index(ask.state)
                flips = source.store.flips(one.row.id, index, part.low, part.high)
                counts.update((at - low - 1) // width for at, _ in flips)
    else:
        several = chosen(source, one, ask.owner)
        ids = None if several is None else [other.row.id for other in several]
        for place, rows, wrong in source.store.density(low, high, width, ids):
            counts[place], errors[place] = rows, wrong
    return DensityAnswer(
        since=str(low),
        until=str(high),
        counts=[counts[place] for place in range(ask.buckets)],
        errors=[errors[place] for place in range(ask.buckets)],
    )
