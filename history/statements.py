"""The questions that are asked over and over: made and compiled once, not for every call."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from history import tables
from history.codec import ERROR, KIND, Standing
from history.store import EVERY, Condition

T = tables.transition
M = tables.machine
P = tables.machine_schema
J = tables.journal
_b = sa.bindparam
_sqlite = sqlite.dialect(paramstyle="named")


class Statement:
    """A question of SQLAlchemy Core, and what SQLite's driver itself takes for it.

    Measured: looking up a row by the index takes SQLite 10 us. A connection from the engine's pool costs 25 us, and
    SQLAlchemy's way from a statement to a result 60 us.

    Attributes:
        clause: for a connection of SQLAlchemy.
        text, constants: for the driver; the caller's values are added to these.
    """

    __slots__ = ("clause", "constants", "text")

    def __init__(self, clause: sa.Select[Any]) -> None:
        self.clause = clause
        compiled = clause.compile(dialect=_sqlite)
        self.text = str(compiled)
        self.constants = {name: value for name, value in compiled.params.items() if value is not None}


_MINE = sa.select(T).where(T.c.machine_id == _b("machine"))
_WINDOW = _MINE.where(T.c.at > _b("low"), T.c.at <= _b("high"))

NEWEST = Statement(_MINE.where(T.c.at <= _b("at")).order_by(T.c.at.desc()).limit(1))
OLDEST = Statement(_MINE.where(T.c.at > _b("at")).order_by(T.c.at).limit(1))
FLIPS = Statement(
    sa.select(T.c.at, T.c.active)
    .where(T.c.machine_id == _b("machine"), T.c.at > _b("low"), T.c.at <= _b("high"))
    .where(T.c.changed.bitwise_and(_b("bit", type_=sa.BigInteger)) != 0)
    .order_by(T.c.at)
    .limit(_b("chunk"))
)
LAST_ID = Statement(sa.select(sa.func.max(T.c.id)))
# Along the ids: an owner is looked up for each row, and no planner makes a walk along the machines of it.
_whose = sa.select(M.c.owner).where(M.c.id == T.c.machine_id).correlate(T).scalar_subquery()
OWNED = Statement(
    sa.select(T)
    .where(T.c.id > _b("after"), T.c.id <= _b("until"), _whose == _b("owner"))
    .order_by(T.c.id)
    .limit(_b("chunk"))
)
MARKED = Statement(sa.select(J.c.life, J.c.place, J.c.at).where(J.c.owner == _b("owner")))
CAUSED = Statement(
    sa.select(T)
    .where(T.c.source_machine == _b("machine"), T.c.source_tx == _b("tx"), T.c.source_tx.is_not(None))
    .order_by(T.c.id)
)
_number = sa.tuple_(T.c.epoch, T.c.seq)  # compared as a pair, along the index
NUMBERED = Statement(
    _MINE.where(
        _number > sa.tuple_(_b("epoch", type_=sa.BigInteger), _b("seq", type_=sa.BigInteger)),
        _number <= sa.tuple_(_b("last_epoch", type_=sa.BigInteger), _b("last_seq", type_=sa.BigInteger)),
    )
    .order_by(T.c.epoch, T.c.seq)
    .limit(_b("chunk"))
)
MACHINES = Statement(sa.select(M).where(M.c.first_at != 0).order_by(M.c.id))
NAMED = Statement(sa.select(M).where(M.c.owner == _b("owner"), M.c.name == _b("name"), M.c.first_at != 0))
FOUND = Statement(
    sa.select(M).where(M.c.owner == _b("owner"), M.c.name.in_(_b("names", expanding=True)), M.c.first_at != 0)
)
MACHINE = Statement(sa.select(M).where(M.c.id == _b("machine")))
FORGOTTEN = Statement(sa.select(M).where(M.c.first_at <= _b("at"), M.c.horizon > _b("at"), M.c.first_at != 0))
PERIODS = Statement(sa.select(P.c.machine_id, P.c.at, P.c.schema_hash).order_by(P.c.machine_id, P.c.at))
PERIODS_OF = Statement(
    sa.select(M.c.last_at, P.c.at, P.c.schema_hash)
    .select_from(M)
    .outerjoin(P, P.c.machine_id == M.c.id)
    .where(M.c.id == _b("machine"))
    .order_by(P.c.at)
)
PERIOD_COUNT = Statement(sa.select(sa.func.count()).select_from(P))


@lru_cache(maxsize=64)
def scan(shape: Condition, newest_first: bool) -> Statement:
    """Return the statement for rows of a window under conditions of this shape, see `shape_of`."""
    c, statement = shape, _WINDOW
    called, changed, activated, deactivated = (
        _b(name, type_=sa.BigInteger) for name in ("called", "changed", "activated", "deactivated")
    )
    if c.called:
        statement = statement.where(T.c.called.bitwise_and(called) != 0)
    if c.changed:
        statement = statement.where(T.c.changed.bitwise_and(changed) != 0)
    if c.activated:
        statement = statement.where(T.c.changed.bitwise_and(activated) == activated)
        statement = statement.where(T.c.active.bitwise_and(activated) == activated)
    if c.deactivated:
        statement = statement.where(T.c.changed.bitwise_and(deactivated) == deactivated)
        statement = statement.where(T.c.active.bitwise_and(deactivated) == 0)
    if c.kinds:
        statement = statement.where(sa.or_(*[T.c.mutation.bitwise_and(KIND) == kind for kind in c.kinds]))
    if c.caused_by is not None:
        statement = statement.where(T.c.source_machine == _b("caused_by"))
    return Statement(statement.order_by(T.c.at.desc() if newest_first else T.c.at).limit(_b("chunk")))


EVERY_ROW = {newest_first: scan(EVERY, newest_first) for newest_first in (True, False)}


def shape_of(c: Condition) -> Condition:
    """Return a condition with the same parts, whatever states and machine it names: of these there are few."""
    called, changed, activated, deactivated = map(bool, (c.called, c.changed, c.activated, c.deactivated))
    return Condition(called, changed, activated, deactivated, c.kinds, None if c.caused_by is None else "")


def values_of(c: Condition) -> dict[str, Any]:
    """Return what a condition names, as the values of the statement of its shape."""
    named = {"called": c.called, "changed": c.changed, "activated": c.activated, "deactivated": c.deactivated}
    values: dict[str, Any] = {name: mask for name, mask in named.items() if mask}
    return values if c.caused_by is None else {**values, "caused_by": c.caused_by}


@lru_cache(maxsize=8)
def one_each(before: bool, some: bool, lateral: bool) -> Statement:
    """Return the statement for where each machine stood next to a moment.

    Args:
        before: the newest at or before it; else the oldest after it.
        some: only of the machines among ``machines``.
        lateral: for PostgreSQL, whose planner makes one walk along the index of it; SQLite's does so of the other.
    """
    told = [T.c[name] for name in Standing._fields]
    when, order = (T.c.at <= _b("at"), T.c.at.desc()) if before else (T.c.at > _b("at"), T.c.at.asc())
    if lateral:
        found = sa.select(*told).where(T.c.machine_id == M.c.id, when).order_by(order).limit(1).correlate(M).lateral()
        statement = sa.select(found).select_from(M).join(found, sa.true()).order_by(M.c.id)
    else:
        first = sa.select(T.c.id).where(T.c.machine_id == M.c.id, when).order_by(order).limit(1)
        chosen = first.correlate(M).scalar_subquery()
        statement = sa.select(*told).select_from(M).join(T, T.c.id == chosen).order_by(M.c.id)
    if some:
        statement = statement.where(M.c.id.in_(_b("machines", expanding=True)))
    return Statement(statement)


@lru_cache(maxsize=2)
def density(some: bool) -> Statement:
    """Return the statement for how many rows each part of a window has; `some`: only of those among ``machines``."""
    low, width = _b("low", type_=sa.BigInteger), _b("width", type_=sa.BigInteger)
    part = ((T.c.at - low - 1) // width).label("part")
    error = sa.case((T.c.mutation.bitwise_and(ERROR) != 0, 1), else_=0)
    statement = sa.select(part, sa.func.count(), sa.func.sum(error)).where(T.c.at > low, T.c.at <= _b("high"))
    if some:
        statement = statement.where(T.c.machine_id.in_(_b("machines", expanding=True)))
    return Statement(statement.group_by(part).order_by(part))


@lru_cache(maxsize=2)
def feed(some: bool) -> Statement:
    """Return the statement for the rows with a greater id; `some`: only of the machines among ``machines``."""
    statement = sa.select(T).where(T.c.id > _b("after")).order_by(T.c.id).limit(_b("chunk"))
    return Statement(statement.where(T.c.machine_id.in_(_b("machines", expanding=True))) if some else statement)
