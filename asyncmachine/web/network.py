"""The answers about all machines: what there is at all, and how each was at a moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import asyncmachine
from asyncmachine.web.answers import (
    BriefMachines,
    GraphInfo,
    Info,
    Limits,
    MachineNow,
    NetworkAnswer,
    OwnerInfo,
    StateCount,
)
from asyncmachine.web.asked import AskInfo, AskNetwork, WrongError
from asyncmachine.web.log import check_state
from asyncmachine.web.roster import LOG, Listed, key_of
from asyncmachine.web.source import Source
from history.codec import Standing, decode_ticks
from machine import EXCEPTION

STATES = 200  # that info lists
FEW = 50  # ids that are looked up one by one
KEPT = 20_000  # ticks of which it is known what is active


def info(source: Source, ask: AskInfo, *, limits: Limits, token: bool, live: bool) -> Info:
    """Return what a page is about."""
    first, last = source.span()
    is_empty = not (first or last)
    if source.mode == "peer":
        last = max(last, source.now())
    names, states, owners = source.names(), Counter[str](), Counter[str]()
    relations = False
    bodies = Counter(one.row.schema_hash for one in source.roster.all() if one.rank == LOG)
    for hash, count in bodies.items():
        schema = source.store.recorded_schema(hash)
        states.update(dict.fromkeys(schema.states, count))
        relations = relations or any(s.require or s.add or s.remove or s.after for s in schema.schema().values())
    for peer, _ in source.roster.bases():
        owners[peer] += 1
    return Info(
        version=asyncmachine.__version__,
        mode=source.mode,
        title=source.title,
        source=source.store.url,
        life=str(source.store.life()),
        first=None if is_empty else str(first),
        last=None if is_empty and source.mode != "peer" else str(last),
        live=live,
        peer=source.live.peer if source.live is not None else None,
        topic=source.live.topic if source.live is not None else None,
        machines=len(source.roster.bases()),
        owners=[OwnerInfo(owner=owner, machines=n, name=names.get(owner)) for owner, n in owners.items()],
        states=[StateCount(name=name, machines=n) for name, n in states.most_common(STATES)],
        relations=relations,
        graph=[GraphInfo(name=life.graph, first=str(life.began), last=str(life.last)) for life in source.lives()],
        token=token,
        limits=limits,
    )


def network(source: Source, ask: AskNetwork) -> NetworkAnswer:
    """Return all machines as they were at a moment, or those of an owner, with a tag, in which a state was active."""
    at = source.moment(ask.at)
    if ask.state is not None:
        check_state(source, None, ask.state)
    wanted = {one.row.id for one in source.chosen(ask.owner) if ask.tag is None or ask.tag in one.row.tags}
    some = sorted(wanted) if len(wanted) <= FEW else None
    rows = source.store.snapshot(at, some)
    if ask.observer is not None:
        wanted = {id for id in wanted if source.roster.get(id).observer == ask.observer}
        if not wanted:
            raise WrongError(f"nothing was recorded here of what {ask.observer[:80]!r} believed", "observer", 404)
    known = source.roster.standing([row for row in rows if row.machine_id in wanted])
    there = {one.base for one, _ in known}
    missing = {one.base for one in source.chosen(ask.owner) if one.row.id in wanted} - there
    forgotten = {source.roster.get(m.id).base for m in source.store.forgotten(at) if m.id in wanted} - there
    chosen = [(one, row, active_in(source, one, row)) for one, row in known]
    if ask.state is not None:
        chosen = [each for each in chosen if ask.state in each[2]]
    truncated, chosen = len(chosen) > ask.limit, chosen[: ask.limit]
    if ask.form == "brief":
        return NetworkAnswer(
            asked=str(at),
            machines=[],
            not_yet=len(missing - forgotten),
            forgotten=len(forgotten),
            truncated=truncated,
            brief=brief(source, chosen),
        )
    found = [machine_now(source, *each) for each in chosen]
    if source.live is not None and ask.at is None and ask.observer is None:
        found += [machine for machine in heard_now(source, at) if _is_wanted(machine, ask, there)]
        truncated = truncated or len(found) > ask.limit
        found = found[: ask.limit]
    return NetworkAnswer(
        asked=str(at),
        machines=found,
        not_yet=len(missing - forgotten),
        forgotten=len(forgotten),
        truncated=truncated,
    )


def active_in(source: Source, one: Listed, row: Standing) -> list[str]:
    """Return the states that were active in a row."""
    directory = source.roster.directory
    return list(_active(directory.schema_at(directory.entry(one.row.id), row.at).states, row.ticks))


@lru_cache(KEPT)
def _active(states: tuple[str, ...], ticks: bytes) -> tuple[str, ...]:
    """Return the same. Machines of a kind that do not live long are much alike, and from moment to moment most are."""
    return tuple(name for name, tick in zip(states, decode_ticks(ticks), strict=False) if tick & 1)


def brief(source: Source, found: Iterable[tuple[Listed, Standing, list[str]]]) -> BriefMachines:
    """Return machines as columns."""
    ids: list[int] = []
    places: list[int] = []
    sets: dict[tuple[str, ...], int] = {}
    live, silent = source.live, list[int | None]()
    for one, _, active in found:
        ids.append(one.row.id)
        places.append(sets.setdefault(tuple(active), len(sets)))
        if live is not None:
            silent.append(live.silent(one.base))
    return BriefMachines(
        ids=ids,
        sets=[list(active) for active in sets],
        active=places,
        stale_ms=None if live is None else silent,
        online={} if live is None else dict(live.online),
    )


def _is_wanted(machine: MachineNow, ask: AskNetwork, there: set[tuple[str, str]]) -> bool:
    return (
        (machine.peer, machine.machine) not in there
        and ask.owner in (None, machine.owner)
        and (ask.tag is None or ask.tag in machine.tags)
        and (ask.state is None or ask.state in machine.active)
    )


def heard_now(source: Source, at: int) -> list[MachineNow]:
    """Return the machines of others as a live peer knows them, recorded or not."""
    live = source.live
    assert live is not None
    found = []
    for (peer, name), heard in live.heard.items():
        active = [state for state, tick in heard.ticks.items() if tick & 1]
        found.append(
            MachineNow(
                key=key_of(peer, name),
                id=None,
                machine=name,
                owner=peer,
                peer=peer,
                at=str(at - 1000 * live.since(heard)),
                seq=heard.version,
                epoch=heard.epoch,
                active=active,
                error=EXCEPTION in active,
                parent=heard.parent,
                tags=list(heard.tags),
                stale_ms=live.silent((peer, name)),
                online=live.online.get(peer),
            )
        )
    return found


def machine_now(source: Source, one: Listed, row: Standing, active: list[str]) -> MachineNow:
    """Return a row as a machine of a moment."""
    peer = source.live.peer if source.live is not None and not one.peer else one.peer
    online = None if source.live is None else source.live.online.get(peer)
    return MachineNow(
        key=one.key,
        id=one.row.id,
        machine=one.row.name,
        owner=one.row.owner,
        peer=peer,
        at=str(row.at),
        seq=row.seq,
        epoch=row.epoch,
        active=active,
        error=EXCEPTION in active,
        parent=one.row.parent,
        tags=list(one.row.tags),
        stale_ms=None if source.live is None else source.live.silent(one.base),
        online=online,
    )
