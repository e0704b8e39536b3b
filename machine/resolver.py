"""Relation resolution: which states will be active, and why not the others.

A pure function of (schema, active states in order, mutation). After it, these hold: every target has all its required
states among the targets; no target is removed by another one; a target that was neither called nor active is added by
a state that enters. The algorithm closes `add` transitively, filters by `require`, lets `remove` block from the last
element to the first (called beats active beats implied), and bans implied states that did not make it, until stable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machine.compiled import Compiled


class MutationType(IntEnum):
    """What a mutation does with the states it calls."""

    ADD = 0
    REMOVE = 1
    SET = 2


Explain = Callable[[str, int, int], None]
"""Receives (what, state, because of state): ``("lacks", 2, 5)``; -1 where there is no second state."""


def _silent(what: str, state: int, other: int) -> None:
    """Explain nothing."""


def resolve(
    schema: Compiled,
    kind: MutationType,
    called: Sequence[int],
    active: Sequence[int],
    banned: int = 0,
    explain: Explain = _silent,
) -> list[int]:
    """Return the indexes of the states that will be active, before they are sorted.

    Args:
        schema: the compiled schema.
        kind: the mutation's type.
        called: indexes of the called states, without duplicates.
        active: indexes of the active states, in their order.
        banned: mask of implied states that must not come in (rejected autos).
        explain: told about each relation that was applied, of given-up rounds only what became of implied states.
    """
    called_mask = _mask(called)
    if kind is MutationType.ADD:
        base = [*called, *(i for i in active if not called_mask >> i & 1)]
    elif kind is MutationType.REMOVE:
        base = [i for i in active if not called_mask >> i & 1]
        banned |= called_mask
    else:
        base = list(called)
    entering_base = ~_mask(active) | schema.multi & called_mask
    base_mask = _mask(base)
    told: list[tuple[str, int, int]] = []
    while True:
        steps: list[tuple[str, int, int]] = []
        listed = _close(schema, base, base_mask, entering_base, banned)
        implied = _mask(listed) & ~base_mask
        alive = _settle(schema, listed, implied, entering_base, steps, explain is not _silent)
        lost = implied & ~alive & ~banned
        if not lost:
            break
        banned |= lost
        told += [step for step in steps if lost >> step[1] & 1]
    for step in told + steps:
        explain(*step)
    return [i for i in listed if alive >> i & 1]


def _close(schema: Compiled, base: list[int], base_mask: int, entering: int, banned: int) -> list[int]:
    """Append, in discovery order, all that entering states add."""
    listed, seen, add = list(base), base_mask | banned, schema.add
    for i in listed:  # grows while it is walked
        if entering >> i & 1 and add[i] & ~seen:
            for target in schema.add_list[i]:
                if not seen >> target & 1:
                    seen |= 1 << target
                    listed.append(target)
    return listed


def _settle(
    schema: Compiled,
    listed: list[int],
    implied: int,
    entering: int,
    steps: list[tuple[str, int, int]],
    tell: bool,
) -> int:
    """Return the mask of the states of `listed` that survive require and remove."""
    told = steps if tell else None
    alive = _require(schema, listed, _mask(listed), told)
    removed_by = schema.removed_by
    for i in reversed(listed):
        bit = 1 << i
        if alive & bit and (killers := removed_by[i] & alive & ~bit):
            alive ^= bit
            if tell:
                steps.append(("removed", i, _lowest(killers)))
    while True:
        alive = _require(schema, listed, alive, told)
        orphans = implied & alive
        if orphans:
            for i in listed:
                if alive >> i & 1 and entering >> i & 1:
                    orphans &= ~schema.add[i]
        if not orphans:
            return alive
        alive &= ~orphans


def _require(schema: Compiled, listed: list[int], alive: int, steps: list[tuple[str, int, int]] | None) -> int:
    """Drop states whose required states are not all alive, to a fixpoint."""
    require = schema.require
    while True:
        before = alive
        for i in listed:
            if before >> i & 1 and (missing := require[i] & ~before):
                alive &= ~(1 << i)
                if steps is not None:
                    steps.append(("lacks", i, _lowest(missing)))
        if alive == before:
            return alive


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _mask(indexes: Sequence[int]) -> int:
    mask = 0
    for i in indexes:
        mask |= 1 << i
    return mask
