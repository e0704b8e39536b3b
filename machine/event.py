"""What a handler is told: the event."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from machine.errors import MisuseError

if TYPE_CHECKING:
    from machine.machine import Machine
    from machine.mutation import Mutation
    from machine.transition import Transition

T = TypeVar("T")


class Event:
    """One call of a handler.

    Attributes:
        name: the handler's name by convention, such as ``"ConnectedState"``.
        machine: the machine it belongs to.
        transition: the transition; its `time_before`, `time_after`, `targets` and `called` are readable in all phases.
        args: what the caller of the mutation passed along. All handlers of a transition see the same mapping.
    """

    __slots__ = ("args", "machine", "name", "transition")

    def __init__(self, name: str, transition: Transition, args: Mapping[str, Any]) -> None:
        self.name = name
        self.transition = transition
        self.machine: Machine = transition.machine
        self.args = args

    @property
    def mutation(self) -> Mutation:
        """The mutation that the transition carries out."""
        return self.transition.mutation

    @property
    def is_check(self) -> bool:
        """Whether this is a dry run: nothing will change, whatever the handlers say."""
        return self.transition.mutation.is_check

    def is_valid(self) -> bool:
        """Tell whether the transition is still the machine's current one, unfinished, and not canceled."""
        tx = self.transition
        return self.machine.transition is tx and not tx.completed and tx.accepted

    def parse(self, kind: type[T]) -> T:
        """Return the args as an object of a class, such as a dataclass: those that it has parameters for.

        Raises:
            MisuseError: an arg that the class needs was not passed along.
        """
        wanted = inspect.signature(kind).parameters
        try:
            return kind(**{name: value for name, value in self.args.items() if name in wanted})
        except TypeError as exc:
            raise MisuseError(f"{self.name}: the args {sorted(self.args)} make no {kind.__name__}: {exc}") from None

    def replace(self, **args: Any) -> Event:
        """Return a copy with other args, to be passed on."""
        return Event(self.name, self.transition, args)

    def export(self) -> dict[str, str]:
        """Return names and ids only, ready for JSON."""
        return {"name": self.name, "machine_id": self.machine.id, "transition_id": self.transition.id}

    def __repr__(self) -> str:
        return f"<Event {self.name} of {self.machine.id}>"
