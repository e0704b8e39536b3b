"""Updates: what is known of a change of somebody else's machine, in place of a transition."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from machine.clock import Time
from machine.mutation import Mutation
from machine.pipes import deliver
from machine.resolver import MutationType
from machine.transition import NOTHING, Step, Transition

if TYPE_CHECKING:
    from machine.machine import Machine
    from machine.reader import Reader

BUDGET = 10_000  # deliveries to machines behind pipes


class Update(Transition):
    """One advance of a replica: its ticks before and after, and nothing of how the machine came there.

    It may stand for many transitions of the machine, or, in a new life of it, lead to lower ticks. So `plan` is None,
    nothing was called, and there is no source; `type` is SET, which is what it amounts to.

    Attributes:
        epoch: of the machine's life.
        seq: the version of its owner that this leads to.
    """

    __slots__ = ("epoch",)

    def __init__(
        self, machine: Reader, before: tuple[int, ...], after: tuple[int, ...], epoch: int, version: int
    ) -> None:
        self.machine = cast("Machine", machine)  # its reading side
        self.epoch = epoch
        self.seq = version
        self.ticks_before = before
        self.ticks_after = after
        self.plan = None  # type: ignore[assignment]
        self.args = NOTHING
        self.source = None
        self.accepted = self.completed = True
        self.canceled_by = ""
        self.error = None
        self._mutation = self._handled = None

    @property
    def mutation(self) -> Mutation:
        """A set of what is active now, as nothing is known of what was called."""
        return Mutation(MutationType.SET, (), (), {})

    @property
    def id(self) -> str:
        """Unique among all updates of machines with different ids and the same owner."""
        return f"{self.machine.id}:{self.epoch}:{self.seq}"

    @property
    def type(self) -> MutationType:
        """SET."""
        return MutationType.SET

    @property
    def is_auto(self) -> bool:
        """False."""
        return False

    @property
    def is_check(self) -> bool:
        """False."""
        return False

    @property
    def called(self) -> tuple[str, ...]:
        """Nothing that is known."""
        return ()

    @property
    def called_vector(self) -> Time:
        """All 0."""
        return Time((0,) * len(self.ticks_after))

    @property
    def targets(self) -> tuple[str, ...]:
        """The states that are active now, in the order of the schema."""
        return tuple(n for n, tick in zip(self.machine.state_names, self.ticks_after, strict=True) if tick & 1)

    @property
    def enters(self) -> tuple[str, ...]:
        """The states that became active, or were re-entered."""
        return self.added

    @property
    def exits(self) -> tuple[str, ...]:
        """The states that became inactive."""
        return self.removed

    @property
    def states_before(self) -> tuple[str, ...]:
        """The states that were active before, in the order of the schema."""
        return tuple(n for n, tick in zip(self.machine.state_names, self.ticks_before, strict=True) if tick & 1)

    @property
    def changed(self) -> tuple[str, ...]:
        """The states whose tick changed."""
        return tuple(n for n, a, b in self._ticks() if a != b)

    @property
    def added(self) -> tuple[str, ...]:
        """The states that became active or were re-entered."""
        return tuple(n for n, a, b in self._ticks() if a != b and b & 1)

    @property
    def removed(self) -> tuple[str, ...]:
        """The states that became inactive."""
        return tuple(n for n, a, b in self._ticks() if a & 1 and not b & 1)

    def _ticks(self) -> zip[tuple[str, int, int]]:
        return zip(self.machine.state_names, self.ticks_before, self.ticks_after, strict=True)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What changed, without the reasons."""
        return (*[Step("deactivate", n) for n in self.exits], *[Step("activate", n) for n in self.enters])

    def __repr__(self) -> str:
        return f"<Update {self.id}>"


def advance(replica: Reader, ticks: tuple[int, ...], epoch: int, version: int) -> Update:
    """Bring a replica to other ticks: tell its tracers, settle its waits, deliver what its pipes posted.

    Everything happens once, in this order, as it does after a transition.
    """
    update = Update(replica, replica._time, ticks, epoch, version)
    replica._time = ticks
    hooks = replica._hooks
    hooks.tell(hooks.transition_finals, update)
    hooks.tell(hooks.transition_end, update)
    if replica._waits is not None:
        before = update.ticks_before
        replica._waits.settle(replica, [i for i, tick in enumerate(ticks) if tick != before[i]])
    if replica._mail:
        deliver(replica, BUDGET)
    return update
