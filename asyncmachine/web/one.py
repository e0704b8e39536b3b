"""The answer about one machine: its states, how they came about, what followed, and who believed what."""

from __future__ import annotations

from typing import Final

from asyncmachine.web.answers import MachineAnswer, MomentAnswer, StateAnswer
from asyncmachine.web.asked import AskMachine, WrongError
from asyncmachine.web.beliefs import beliefs
from asyncmachine.web.records import record_answer, record_of
from asyncmachine.web.roster import Listed, key_of
from asyncmachine.web.source import FIRST, Source
from history import HorizonError, Record, format_time
from history.codec import RecordedSchema, Row, decode_ticks
from history.search import find_first
from machine import State

CAUSES: Final = 8  # one before the other
EFFECTS: Final = 50


def machine(source: Source, ask: AskMachine) -> MachineAnswer:
    """Return all about a machine at a moment.

    Raises:
        WrongError: it was not known then.
    """
    try:
        one = source.roster.find(ask.machine, ask.owner)
    except WrongError:
        heard = heard_of(source, ask)
        if heard is None:
            raise
        return heard
    at = source.moment(ask.at, "at", one)
    row = source.store.newest(one.row.id, at)
    if row is None:
        raise _too_early(source, one, at)
    directory = source.roster.directory
    schema = directory.schema_at(directory.entry(one.row.id), row.at)
    ticks = decode_ticks(row.ticks)
    named = dict(zip(schema.states, ticks, strict=False))
    last = record_of(source, one, row)
    return MachineAnswer(
        moment=MomentAnswer(
            key=one.key,
            machine=one.row.name,
            owner=one.row.owner,
            peer=one.peer,
            asked=str(at),
            at=str(row.at),
            epoch=row.epoch,
            seq=row.seq,
            active=[name for name, tick in named.items() if tick & 1],
            ticks=named,
            time_sum=sum(ticks),
            tags=list(one.row.tags),
            parent=one.row.parent,
        ),
        states=_states(source, row, schema, ticks),
        last=record_answer(last),
        causes=[record_answer(record) for record in _causes(source, last)],
        effects=[record_answer(record) for record in source.questions.effects(last)[:EFFECTS]],
        beliefs=beliefs(source, one, row, named, at, is_now=ask.at is None),
    )


def heard_of(source: Source, ask: AskMachine) -> MachineAnswer | None:
    """Return a machine that is not recorded, as a live peer knows it now; None: it does not, or the past is meant."""
    live = source.live
    if live is None or ask.at is not None:
        return None
    named = [base for base in live.heard if base[1] == ask.machine and ask.owner in (None, base[0])]
    named = named or [base for base in live.heard if key_of(*base) == ask.machine]
    if len(named) != 1:
        return None
    (base,) = named
    heard, at = live.heard[base], source.now()
    active = [name for name, tick in heard.ticks.items() if tick & 1]
    moment = MomentAnswer(
        key=key_of(*base),
        machine=base[1],
        owner=base[0],
        peer=base[0],
        asked=str(at),
        at=str(at - 1000 * live.since(heard)),
        epoch=heard.epoch,
        seq=heard.version,
        active=active,
        ticks=dict(heard.ticks),
        time_sum=sum(heard.ticks.values()),
        tags=list(heard.tags),
        parent=heard.parent,
    )
    states = [_state(name, tick, heard.schema[name], None) for name, tick in heard.ticks.items()]
    return MachineAnswer(moment=moment, states=states, last=None, causes=[], effects=[], beliefs=[])


def _too_early(source: Source, one: Listed, at: int) -> Exception:
    row = source.store.machine(one.row.id)
    if row.horizon > row.first_at and at >= row.first_at:
        return HorizonError(row.name, at, row.horizon)
    return WrongError(
        f"{row.name} was not known yet at {format_time(at)}: it was recorded from {format_time(row.first_at)} on",
        "at",
        404,
    )


def _causes(source: Source, record: Record) -> list[Record]:
    """Return what caused a record, what caused that, and so on."""
    found: list[Record] = []
    cause = source.questions.cause(record)
    while cause is not None and len(found) < CAUSES:
        found.append(cause)
        cause = source.questions.cause(cause)
    return found


def _states(source: Source, row: Row, schema: RecordedSchema, ticks: list[int]) -> list[StateAnswer]:
    oldest, whole = source.store.oldest(row.machine_id, FIRST), schema.schema()
    found = []
    for index, (name, tick) in enumerate(zip(schema.states, ticks, strict=False)):
        state = whole[name]
        changed = None if oldest is None or not tick else _last_change(source, oldest, row, index, tick)
        found.append(_state(name, tick, state, changed))
    return found


def _state(name: str, tick: int, state: State, changed: int | None) -> StateAnswer:
    return StateAnswer(
        name=name,
        tick=tick,
        active=bool(tick & 1),
        auto=state.auto,
        multi=state.multi,
        require=list(state.require),
        add=list(state.add),
        remove=list(state.remove),
        after=list(state.after),
        tags=list(state.tags),
        last_change=None if changed is None else str(changed),
    )


def _last_change(source: Source, oldest: Row, newest: Row, index: int, tick: int) -> int | None:
    """Return when a tick came to what it is: ticks of an epoch only grow, so few rows have to be looked at."""

    def tick_of(row: Row) -> int | None:
        ticks = decode_ticks(row.ticks)
        return ticks[index] if row.epoch == newest.epoch and index < len(ticks) else None

    def reached(row: Row) -> bool:
        there = tick_of(row)
        return there is not None and there >= tick

    found = find_first(source.store, newest.machine_id, (oldest, newest), reached, tick_of, tick)
    return None if found is None else found.at
