"""Storing logs of others in a database: many machines at a time, by a few statements whatever their number is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from history import tables
from history.inserts import Inserts
from history.log import GONE, LogPart, earlier_log_of, updates_of
from history.store import Mark

M = tables.machine
J = tables.journal
_b = sa.bindparam
_NOW = ("schema_hash", "tags", "parent", "last_at", "epoch", "seq", "machine_tick", "ticks")
_MINE = sa.select(M.c.id, M.c.name, M.c.pulled).where(
    M.c.owner == _b("owner"), M.c.name.in_(_b("names", expanding=True))
)
_MOVE = (
    sa.update(M)
    .where(M.c.id == _b("b_id"), M.c.last_at < _b("b_last_at"))  # somebody else may have been faster
    .values(
        {name: _b(f"b_{name}") for name in _NOW}
        | {"life": sa.case((_b("b_life", type_=sa.BigInteger) == 0, M.c.life), else_=_b("b_life"))}
    )
)


def write_logs(
    connection: sa.Connection, inserts: Inserts, owner: str, parts: Sequence[LogPart], mark: Mark | None
) -> bool:
    """Store rows that came from their owner, in a transaction; see `Store.write_logs`."""
    by_name = {part.identity.name: part for part in parts}
    ids: dict[str, int] = {}
    aside = False
    for row in connection.execute(_MINE, {"owner": owner, "names": list(by_name)}).all() if parts else ():
        if row.pulled and not by_name[row.name].anew:
            ids[row.name] = row.id
        else:
            _move_aside(connection, owner, row)
            aside = True
    known = [part for part in parts if part.identity.name in ids]
    new = [part for part in parts if part.identity.name not in ids]
    # a row of the table of machines names a schema, so that comes first
    for schema in {schema.hash: schema for part in parts for _, schema in part.periods}.values():
        inserts.schema(connection, schema)
    if new:
        first = [
            {"owner": owner, "first_at": part.first_at, "horizon": part.horizon, "pulled": 1} | _now(part)
            for part in new
        ]
        connection.execute(sa.insert(M), first)
        made = connection.execute(_MINE, {"owner": owner, "names": [part.identity.name for part in new]})
        ids |= {row.name: row.id for row in made}
    if known:
        moved = [{f"b_{name}": value for name, value in _now(part).items()} for part in known]
        for values in moved:
            values["b_id"] = ids[values.pop("b_name")]
        connection.execute(_MOVE, moved)
    rows: list[tuple[int, tuple[Any, ...]]] = []
    for part in parts:
        machine_id = ids[part.identity.name]
        rows += [(n, (machine_id, *row)) for n, row in zip(part.order, part.rows, strict=True)]
    rows.sort(key=itemgetter(0))
    inserts.rows(connection, [row for _, row in rows])
    periods = [(ids[part.identity.name], at, schema) for part in parts for at, schema in part.periods]
    if periods:
        inserts.periods(connection, periods)
    if mark is not None:
        _save_mark(connection, inserts, owner, mark)
    return aside


def rewind(connection: sa.Connection, inserts: Inserts, owner: str, name: str | None) -> None:
    """Note that logs are gone with their owner, in a transaction; see `Store.rewind`."""
    which = sa.and_(M.c.owner == owner, M.c.pulled == 1, sa.true() if name is None else M.c.name == name)
    connection.execute(sa.update(M).where(which).values(life=GONE))
    if name is None:
        _save_mark(connection, inserts, owner, Mark(GONE, 0))


def _save_mark(connection: sa.Connection, inserts: Inserts, owner: str, mark: Mark) -> None:
    values = {"life": mark.life, "place": mark.id, "at": mark.at}
    insert = inserts.insert(J).values(owner=owner, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["owner"], set_=values))


def _now(part: LogPart) -> dict[str, Any]:
    """Return what a machine is after its rows."""
    return {
        "name": part.identity.name,
        "tags": json.dumps(part.identity.tags),
        "parent": part.identity.parent,
        "life": part.life,
        **{name: getattr(part, name) for name in _NOW if name not in ("tags", "parent")},
    }


def _move_aside(connection: sa.Connection, owner: str, row: Any) -> None:
    """Let the log of a machine have its name."""
    taken = set(connection.scalars(sa.select(M.c.owner).where(M.c.name == row.name)))
    other = earlier_log_of if row.pulled else updates_of
    away = next(a for i in count(1) if (a := other(owner, i)) not in taken)
    connection.execute(sa.update(M).where(M.c.id == row.id).values(owner=away))
