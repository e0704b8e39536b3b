"""A schema as integers: state indexes, relation bit masks and the order of handlers.

Computed once per schema and shared by all its machines. Bit ``i`` of a mask stands for the state of index ``i``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from machine.automaton import Automaton
from machine.resolver import mask_of
from machine.schema import Schema
from machine.state import EXCEPTION

HEALTH = ("Healthcheck", "Heartbeat")


class Compiled:
    """Hold what the resolver and the machines need of a schema. Frozen after construction.

    Attributes:
        names: state names by index.
        index: name -> index.
        require, add, remove, after: per state, the mask of that relation's targets.
        add_list: per state, the targets of add in declared order; adding: the mask of those that have any.
        removed_by: per state, the mask of the states that list it in remove.
        requiring, removing: (bit, targets) of the states that have that relation at all.
        behind: per state, the mask of what its handlers run after: require and after together.
        auto, multi: masks of the states with that property; auto_list: indexes.
        plain: mask of the states that no relation concerns, but that others may add.
        rank: per state, its place in a topological order over require; 0 where no require edge touches it.
        automaton: the configurations that machines of this schema have been in.
    """

    __slots__ = (
        "add",
        "add_list",
        "adding",
        "after",
        "after_used",
        "auto",
        "auto_list",
        "automaton",
        "behind",
        "exception",
        "health",
        "index",
        "multi",
        "names",
        "plain",
        "rank",
        "remove",
        "removed_by",
        "removing",
        "require",
        "requiring",
        "schema",
        "zero",
    )

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.names = schema.names
        self.index = {n: i for i, n in enumerate(self.names)}
        states = [schema[n] for n in self.names]
        self.require = [self.mask(s.require) for s in states]
        self.add = [self.mask(s.add) for s in states]
        self.add_list = [tuple(self.index[t] for t in s.add) for s in states]
        self.adding = mask_of([i for i, targets in enumerate(self.add) if targets])
        self.remove = [self.mask(s.remove) for s in states]
        self.after = [self.mask(s.after) for s in states]
        self.requiring = [(1 << i, mask) for i, mask in enumerate(self.require) if mask]
        self.removing = [(1 << i, mask) for i, mask in enumerate(self.remove) if mask]
        self.behind = [a | r for a, r in zip(self.after, self.require, strict=True)]
        self.after_used = any(self.after)
        self.auto = self.mask(n for n, s in schema.items() if s.auto)
        self.auto_list = [i for i in range(len(states)) if self.auto >> i & 1]
        self.multi = self.mask(n for n, s in schema.items() if s.multi)
        self.removed_by = [0] * len(states)
        for i, s in enumerate(states):
            for target in s.remove:
                self.removed_by[self.index[target]] |= 1 << i
        self.plain = self._plain_mask()
        self.rank = self._ranks()
        self.exception = self.index[EXCEPTION]
        self.health = self.mask(n for n in HEALTH if n in self.index)
        self.zero = (0,) * len(states)
        self.automaton = Automaton(self)

    def mask(self, names: Iterable[str]) -> int:
        """Return the bit mask of `names`, which must be declared."""
        return sum({1 << self.index[n] for n in names})

    def _plain_mask(self) -> int:
        concerned = self.adding
        for relation in (self.require, self.remove, self.after):
            for i, targets in enumerate(relation):
                concerned |= targets | (1 << i if targets else 0)
        return ~concerned

    def _ranks(self) -> list[int]:
        """Rank the states of the require graph in depth-first post-order, by index: the required come first.

        A cycle in require is legal (its states live and die together) and has no order: all ranks are 0 then.
        """
        edges = self.require
        touched = [i for i in range(len(edges)) if edges[i] or any(e >> i & 1 for e in edges)]
        rank, open_, count = [0] * len(edges), set[int](), 0
        for root in touched:
            stack = [(root, False)]
            while stack:
                i, leaving = stack.pop()
                if leaving:
                    open_.discard(i)
                    count += 1
                    rank[i] = count
                elif i in open_:
                    return [0] * len(edges)
                elif not rank[i]:
                    open_.add(i)
                    stack.append((i, True))
                    required = [self.index[t] for t in self.schema[self.names[i]].require]
                    stack.extend((t, False) for t in sorted(required, reverse=True) if not rank[t])
        return rank

    def sort(self, order: Sequence[int]) -> tuple[int, ...]:
        """Return `order` such that handlers of a state run behind those of the states it requires, or lists in after.

        Stable: what no relation orders keeps its place. After wins where the two conflict; a cycle of after keeps
        the given order.
        """
        listed = sorted(order, key=self.rank.__getitem__) if self.requiring else list(order)
        if not self.after_used:
            return tuple(listed)
        behind, waiting, needed = self.behind, mask_of(listed), 0
        out: list[int] = []
        blocked: list[int] = []
        for i in listed:
            bit = 1 << i
            if behind[i] & waiting & ~bit:
                blocked.append(i)
                needed |= behind[i]
                continue
            out.append(i)
            waiting ^= bit
            while needed & bit and (at := _first_free(blocked, behind, waiting)) >= 0:
                out.append(blocked.pop(at))
                waiting ^= 1 << out[-1]
        while blocked:  # after against require, or a cycle
            at = _first_free(blocked, behind, waiting)
            if at < 0:
                at = max(_first_free(blocked, self.after, waiting), 0)
            out.append(blocked.pop(at))
            waiting ^= 1 << out[-1]
        return tuple(out)


def _first_free(listed: Sequence[int], edges: Sequence[int], waiting: int) -> int:
    """Return the place of the first state that is behind nothing that still waits; -1 for none."""
    for at, i in enumerate(listed):
        if not edges[i] & waiting & ~(1 << i):
            return at
    return -1


def compile_schema(schema: Schema) -> Compiled:
    """Return the compiled form of `schema`, computed at the first call."""
    if schema._compiled is None:
        schema._compiled = Compiled(schema)
    compiled: Compiled = schema._compiled
    return compiled
