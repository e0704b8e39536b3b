"""The backlog: the mutations that wait, and questions about them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from machine.background import Background
from machine.mutation import Mutation
from machine.resolver import MutationType

if TYPE_CHECKING:
    from machine.compiled import Compiled
    from machine.reader import Reader


class Backlog(Background):
    """The part of a machine that holds what waits. Only called states are looked at, never implied ones."""

    __slots__ = ("_queue",)

    def __init__(self, schema: Compiled, id: str, parent: Reader | None, tags: tuple[str, ...]) -> None:
        super().__init__(schema, id, parent, tags)
        self._queue: deque[Mutation] | tuple[()] = ()  # an empty deque is 600 bytes; most machines never queue anything

    def queue(self) -> tuple[Mutation, ...]:
        """Return the mutations that wait, first one first."""
        return tuple(self._queue)

    @property
    def queue_len(self) -> int:
        """How many mutations wait."""
        return len(self._queue)

    def is_queued(
        self,
        type: MutationType,
        states: Iterable[str],
        *,
        without_args: bool = False,
        exact: bool = False,
        is_check: bool = False,
        min_queue_tick: int = 0,
        position: Literal["any", "first", "last"] = "any",
    ) -> Mutation | None:
        """Return the first waiting mutation that calls at least (or exactly) these states; None if there is none."""
        wanted = frozenset(self._indexes(tuple(states)))
        queue = list(self._queue)
        chosen = {"any": queue, "first": queue[:1], "last": queue[-1:]}[position]
        return next(
            (m for m in chosen if _matches(m, type, wanted, without_args, exact, is_check, min_queue_tick)),
            None,
        )

    def is_queued_above(self, count: int, type: MutationType, states: Iterable[str], **conditions: Any) -> bool:
        """Tell whether at least `count` waiting mutations match; for rate limits. See `is_queued`."""
        wanted = frozenset(self._indexes(tuple(states)))
        options = {
            "without_args": False,
            "exact": False,
            "is_check": False,
            "min_queue_tick": 0,
            **conditions,
        }
        return sum(_matches(m, type, wanted, **options) for m in self._queue) >= count

    def will_be(self, *states: str, position: Literal["any", "first", "last"] = "any") -> bool:
        """Tell whether a waiting mutation adds all these states."""
        return self.is_queued(MutationType.ADD, states, position=position) is not None

    def will_be_removed(self, *states: str, position: Literal["any", "first", "last"] = "any") -> bool:
        """Tell whether a waiting mutation removes all these states."""
        return self.is_queued(MutationType.REMOVE, states, position=position) is not None


def _matches(
    mutation: Mutation,
    type: MutationType,
    wanted: frozenset[int],
    without_args: bool,
    exact: bool,
    is_check: bool,
    min_queue_tick: int,
) -> bool:
    called = frozenset(mutation.called)
    return (
        mutation.type is type
        and mutation.is_check is is_check
        and (called == wanted if exact else called >= wanted)
        and not (without_args and mutation.args)
        and mutation.queue_tick >= min_queue_tick
    )
