"""Tracers: observers that are told about everything a machine does, while it does it.

Subclass `Tracer` and override what you need; only overridden hooks cost anything. Hooks run inside the machine and must
be quick. One that raises is logged and counted in ``machine.statistics().tracer_errors``; the machine goes on.

Order for one ``add`` on an idle machine: mutation_queued, transition_init, transition_start, handler_start and
handler_end (negotiation), transition_finals, handler_start and handler_end (final), mutation_queued (of the auto
mutation, if any), transition_end, …, queue_end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from machine.errors import MisuseError

if TYPE_CHECKING:
    from machine.machine import Machine
    from machine.mutation import Mutation
    from machine.pipes import Pipe
    from machine.reader import Reader
    from machine.schema import Schema
    from machine.transition import Transition

logger = logging.getLogger("asyncmachine.machine")


class Tracer:
    """Do nothing at each hook; the base of all tracers. ``id`` names the tracer in lists and for removal."""

    id: str = ""
    finals_with_handlers_only: ClassVar[bool] = False
    """Whether `transition_finals` matters only for what handlers do after it: without any it is not called then."""

    def machine_init(self, machine: Machine) -> None:
        """See a machine at the end of its construction (only tracers that were given to the constructor)."""

    def new_submachine(self, parent: Machine, child: Machine) -> None:
        """See a machine that was constructed with `parent`; told to the parent's tracers."""

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        """See a mutation that was put into the queue: the caller's, an auto, a dry run or an error."""

    def transition_init(self, transition: Transition) -> None:
        """See a transition whose relations are resolved, whether they accept it or not."""

    def transition_start(self, transition: Transition) -> None:
        """See a transition right before its negotiation."""

    def handler_start(self, transition: Transition, binding: str, name: str) -> None:
        """See that an existing handler is about to run; `binding` is the id that its set was bound with."""

    def handler_end(self, transition: Transition, binding: str, name: str) -> None:
        """See that a handler has ended, or that an async one has been started."""

    def transition_finals(self, transition: Transition) -> None:
        """See an accepted transition whose clocks are applied, before its final handlers."""

    def transition_end(self, transition: Transition) -> None:
        """See a finished transition: accepted, canceled or a dry run."""

    def queue_end(self, machine: Machine) -> None:
        """See that a machine has become idle."""

    def verify_states(self, machine: Machine) -> None:
        """See that the order of the states was fixed anew."""

    def schema_change(self, machine: Machine, old: Schema) -> None:
        """See that the schema was replaced."""

    def machine_restored(self, machine: Machine) -> None:
        """See that the clock was restored from a snapshot."""

    def pipe_added(self, pipe: Pipe) -> None:
        """See a new pipe; told to the tracers of both ends."""

    def pipe_removed(self, pipe: Pipe) -> None:
        """See that a pipe is gone; told to the tracers of both ends."""

    def machine_dispose(self, machine: Reader) -> None:
        """See that a machine is disposed of."""


HOOKS = tuple(n for n, v in vars(Tracer).items() if callable(v) and not n.startswith("_"))

INNER = ("mutation_queued", "transition_init", "transition_start", "queue_end")
"""What happens around the change of the clocks and the end of a transition; handlers have a table of their own."""

Hook = tuple[Callable[..., None], ...]


class Hooks:
    """The tracers of one machine, and per hook the methods that override it. Replaced as a whole on every change.

    ``inner`` tells whether any hook but the change of the clocks and the end of a transition wants to see how a
    mutation is carried out. ``changed`` is all that is to be told of an accepted transition where no handlers are.
    """

    __slots__ = (*HOOKS, "changed", "errors", "inner", "tracers")

    machine_init: Hook
    new_submachine: Hook
    mutation_queued: Hook
    transition_init: Hook
    transition_start: Hook
    handler_start: Hook
    handler_end: Hook
    transition_finals: Hook
    transition_end: Hook
    queue_end: Hook
    verify_states: Hook
    schema_change: Hook
    machine_restored: Hook
    pipe_added: Hook
    pipe_removed: Hook
    machine_dispose: Hook

    def __init__(self, tracers: tuple[Tracer, ...] = (), errors: int = 0) -> None:
        self.tracers = tracers
        self.errors = errors
        for hook in HOOKS:
            overridden = (getattr(t, hook) for t in tracers if getattr(type(t), hook) is not getattr(Tracer, hook))
            setattr(self, hook, tuple(overridden))
        finals = [
            method
            for method in self.transition_finals
            if not getattr(method, "__self__").finals_with_handlers_only  # noqa: B009 - mypy knows no __self__
        ]
        self.changed: Hook = (*finals, *self.transition_end)
        self.inner = any(getattr(self, hook) for hook in INNER)

    def adding(self, tracer: Tracer) -> Hooks:
        """Return hooks with one tracer more."""
        if not isinstance(tracer, Tracer):
            raise MisuseError(f"{tracer!r} is no Tracer: give an instance of a subclass of Tracer")
        if any(t is tracer for t in self.tracers):
            raise MisuseError(f"{tracer!r} traces this machine already")
        return Hooks((*self.tracers, tracer), self.errors)

    def removing(self, tracer: Tracer | str) -> Hooks:
        """Return hooks without this tracer, or without the first that has this id."""
        for at, known in enumerate(self.tracers):
            if known is tracer or (isinstance(tracer, str) and tracer and known.id == tracer):
                return Hooks(self.tracers[:at] + self.tracers[at + 1 :], self.errors)
        raise MisuseError(f"{tracer!r} does not trace this machine; there are: {list(self.tracers)}")

    def tell(self, hook: Hook, *args: Any) -> None:
        """Call each method of one hook; what it raises is logged and counted."""
        for method in hook:
            try:
                method(*args)
            except Exception:
                self.failed(method)

    def failed(self, method: object) -> None:
        """Count and log what is being raised by a hook."""
        self.errors += 1
        logger.exception("tracer %r failed", method)


NO_HOOKS = Hooks()
