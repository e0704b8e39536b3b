"""The answer about steps: the next, or the previous, transition, minute, or change of a state."""

from __future__ import annotations

from asyncmachine.web.answers import StepAnswer
from asyncmachine.web.asked import AskStep, WrongError
from asyncmachine.web.log import check_state, chosen, names
from asyncmachine.web.records import record_answer, record_of
from asyncmachine.web.roster import Listed
from asyncmachine.web.source import FIRST, LAST, Source
from history import Record
from history.codec import Row

MINUTE = 60 * 10**9
FEW = 50  # machines that are looked up one by one


def step(source: Source, ask: AskStep) -> StepAnswer:
    """Return where a step leads."""
    one = None if ask.machine is None else source.roster.find(ask.machine, ask.owner)
    at, forward = source.moment(ask.at, "at", one), ask.to == "next"
    if ask.state is not None:
        check_state(source, one, ask.state)
    if ask.by == "minute":
        whole = (at // MINUTE + 1 if forward else -(-at // MINUTE) - 1) * MINUTE
        return StepAnswer(at=str(whole) if FIRST <= whole <= LAST else None, record=None)
    if ask.by == "change":
        if ask.state is None:
            raise WrongError("by=change needs a state: give state", "state")
        found = _change(source, one, ask, at)
    else:
        found = _transition(source, one, ask.owner, at, forward)
    if found is None:
        return StepAnswer(at=None, record=None)
    return StepAnswer(at=str(found.at), record=record_answer(found))


def _transition(source: Source, one: Listed | None, owner: str | None, at: int, forward: bool) -> Record | None:
    """Return the record next to a moment, of a machine or of all."""
    store = source.store
    if at <= FIRST:
        at = FIRST + 1
    if one is not None:
        row = store.oldest(one.row.id, at) if forward else store.newest(one.row.id, at - 1)
        return None if row is None else record_of(source, one, row)
    several = chosen(source, None, owner)
    wanted = None if several is None else {other.row.id for other in several}
    ids = sorted(wanted) if wanted is not None and len(wanted) <= FEW else None
    rows = store.following(at, ids) if forward else store.snapshot(at - 1, ids)
    near = [(row.at, row.machine_id) for row in rows if wanted is None or row.machine_id in wanted]
    if not near:
        return None
    when, machine_id = min(near) if forward else max(near)
    found: Row | None = store.newest(machine_id, when)
    return None if found is None else record_of(source, source.roster.get(machine_id), found)


def _change(source: Source, one: Listed | None, ask: AskStep, at: int) -> Record | None:
    """Return the nearest record in which a tick of a state changed."""
    assert ask.state is not None
    forward = ask.to == "next"
    found = source.questions.between(
        at if forward else FIRST,
        LAST if forward else max(at - 1, FIRST),
        names(source, one, ask.owner),
        changed=ask.state,
        newest_first=not forward,
        chunk=2,
    )
    return next(found, None)
