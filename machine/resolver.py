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

Steps = list[tuple[str, int, int]]


def mask_of(indexes: Sequence[int]) -> int:
    """Return the bit mask of some indexes."""
    mask = 0
    for i in indexes:
        mask |= 1 << i
    return mask


def _silent(what: str, state: int, other: int) -> None:
    """Explain nothing."""


def resolve(
    schema: Compiled,
    kind: MutationType,
    called: Sequence[int],
    active: Sequence[int],
    active_mask: int,
    banned: int = 0,
    explain: Explain = _silent,
) -> tuple[list[int], int]:
    """Return the indexes of the states that will be active, before they are sorted, and their mask.

    Args:
        schema: the compiled schema.
        kind: the mutation's type.
        called: indexes of the called states, without duplicates.
        active, active_mask: indexes of the active states, in their order, and as a mask.
        banned: mask of implied states that must not come in (rejected autos).
        explain: told about each relation that was applied, of given-up rounds only what became of implied states.
    """
    called_mask = mask_of(called)
    if kind is MutationType.ADD:
        base = [*called, *[i for i in active if not called_mask >> i & 1]]
        base_mask = active_mask | called_mask
    elif kind is MutationType.REMOVE:
        base = [i for i in active if not called_mask >> i & 1]
        base_mask = active_mask & ~called_mask
        banned |= called_mask
    else:
        base, base_mask = list(called), called_mask
    entering = ~active_mask | schema.multi & called_mask
    told: Steps = []
    while True:
        steps: Steps = []
        listed, implied = _close(schema, base, base_mask, entering, banned)
        alive = _settle(schema, listed, base_mask | implied, implied, entering, None if explain is _silent else steps)
        lost = implied & ~alive & ~banned
        if not lost:
            break
        banned |= lost
        told += [step for step in steps if lost >> step[1] & 1]
    for step in told + steps:
        explain(*step)
    return [i for i in listed if alive >> i & 1], alive


def _close(schema: Compiled, base: list[int], base_mask: int, entering: int, banned: int) -> tuple[list[int], int]:
    """Append, in discovery order, all that entering states add; return the list and the mask of what was appended."""
    if not base_mask & entering & schema.adding:
        return base, 0
    listed, seen, implied, add = list(base), base_mask | banned, 0, schema.add
    for i in listed:  # grows while it is walked
        if entering >> i & 1 and add[i] & ~seen:
            for target in schema.add_list[i]:
                if not seen >> target & 1:
                    seen |= 1 << target
                    implied |= 1 << target
                    listed.append(target)
    return listed, implied


def _settle(schema: Compiled, listed: list[int], alive: int, implied: int, entering: int, steps: Steps | None) -> int:
    """Return the mask of the states of `listed` that survive require and remove."""
    alive = _require(schema, alive, steps)
    removed_by = schema.removed_by
    for i in [i for i in reversed(listed) if removed_by[i] & alive]:
        bit = 1 << i
        if alive & bit and (killers := removed_by[i] & alive & ~bit):
            alive ^= bit
            if steps is not None:
                steps.append(("removed", i, _lowest(killers)))
    while True:
        alive = _require(schema, alive, steps)
        orphans = implied & alive
        if orphans:
            for i in listed:
                if alive >> i & 1 and entering >> i & 1:
                    orphans &= ~schema.add[i]
        if not orphans:
            return alive
        alive &= ~orphans


def _require(schema: Compiled, alive: int, steps: Steps | None) -> int:
    """Drop states whose required states are not all alive, to a fixpoint."""
    while True:
        before = alive
        for bit, required in schema.requiring:
            if before & bit and required & ~before:
                alive ^= bit
                if steps is not None:
                    steps.append(("lacks", _lowest(bit), _lowest(required & ~before)))
        if alive == before:
            return alive


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
