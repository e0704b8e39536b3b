"""Recorders: tracers that hand what happens in one machine to the writer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from history.errors import QuestionError
from history.hlc import HybridClock
from history.stream import Identity, Mapper, Stream, check_texts, encode_arguments
from history.writer import Writer
from machine import Machine, Reader, Schema, Tracer, Transition, Update


@dataclass(frozen=True, slots=True, init=False)
class Except:
    """A block list: all states but these. ``called=Except("Heartbeat")``."""

    states: tuple[str, ...]

    def __init__(self, *states: str) -> None:
        object.__setattr__(self, "states", states)


Filter = str | Iterable[str] | Except | None


class Recorder(Tracer):
    """The handle that `History.record` returns: one machine being recorded.

    Attributes:
        machine: whose transitions these are.
        recorded, skipped: how many were handed to the writer, and how many the filters left out.
    """

    def __init__(
        self,
        machine: Reader,
        writer: Writer,
        clock: HybridClock,
        *,
        owner: str = "",
        states: Iterable[str] | None = None,
        called: Filter = None,
        changed: Filter = None,
        rejected: bool = False,
        arguments: bool | Mapper = False,
        on_end: Callable[[Recorder], None] = lambda recorder: None,
    ) -> None:
        tracked = None if states is None else ((states,) if isinstance(states, str) else tuple(states))
        if tracked is not None and not tracked:
            raise QuestionError("states=[] records nothing: name the states to track, or leave it out for all")
        for name in tracked or ():
            machine.tick(name)  # an unknown one raises now
        parent = machine.parent_id
        check_texts(name=machine.id, owner=owner, parent=parent or "", tag=" ".join(machine.tags))
        self.id = f"history:{machine.id}"
        self.machine = machine
        self.recorded = self.skipped = 0
        self._at = 0  # the stamp of the transition in progress, once its clocks have changed
        self._writer = writer
        self._clock = clock
        self._append, self._stamp = writer.append, clock.stamp  # looked up once: every transition passes here
        self._has_plans = isinstance(machine, Machine)  # the updates of a replica have none
        self._rejected = rejected
        self._arguments = arguments is not False
        self._mapper = arguments if callable(arguments) else None
        self._called, self._changed, self._tracked = called, changed, tracked
        self.stream = Stream(Identity(owner, machine.id, machine.tags, parent), machine, tracked)
        self._on_end = on_end
        self._choose()
        machine.add_tracer(self)
        self._append_base()

    def _choose(self) -> None:
        machine = self.machine
        self._called_mask = _mask(machine, self._called)
        self._changed_mask = _mask(machine, self._changed)
        self._tracked_mask = _mask(machine, self._tracked)
        self._filtered = (self._called, self._changed, self._tracked) != (None, None, None)

    finals_with_handlers_only = True

    def transition_finals(self, transition: Transition) -> None:
        """Stamp a change when it happens: what its final handlers do to other machines is an effect, and later."""
        self._at = self._clock.stamp()

    def transition_end(self, transition: Transition) -> None:
        """Hand a transition over, unless the filters leave it out."""
        at, self._at = self._at, 0
        if not transition.accepted or transition.is_check:
            unchanged = transition.ticks_before == transition.ticks_after
            if transition.is_check or (unchanged and not self._rejected):
                return
        if self._filtered and not self._wants(transition):
            self.skipped += 1
            return
        arguments = None
        if self._arguments and transition.args:
            arguments = encode_arguments(transition.args, self._mapper)
        self.recorded += 1
        what = transition.plan if self._has_plans and transition.accepted else transition
        if not at:
            at = self._stamp()
        self._append((self.stream, at, what, transition.ticks_after, transition.seq, transition.source, arguments))

    def _wants(self, tx: Transition) -> bool:
        if self._has_plans and tx.accepted:  # most often; then the plan tells it all
            plan = tx.plan
            called, changed = plan.called_mask, plan.changed
            if not called & self._called_mask:
                return False
        else:
            if isinstance(tx, Update):  # what was called to bring it about is not known
                called = 0
                if not isinstance(self._called, Except | None):
                    return False
            else:
                called = tx.plan.called_mask
                if not called & self._called_mask:
                    return False
            changed = 0
            for i, (before, after) in enumerate(zip(tx.ticks_before, tx.ticks_after, strict=True)):
                changed |= (before != after) << i
        if self._changed is not None and not changed & self._changed_mask:
            return False
        return bool((changed | (called if not changed else 0)) & self._tracked_mask)

    def schema_change(self, machine: Machine, old: Schema) -> None:
        """Begin a new period under the new schema."""
        self._choose()
        self._append_base()

    def verify_states(self, machine: Machine) -> None:
        """Begin a new period under the new order."""
        self._choose()
        self._append_base()

    def machine_restored(self, machine: Machine) -> None:
        """Note the clock that was restored."""
        self._append_base()

    def _append_base(self) -> None:
        base = self.stream.base(self.machine)
        self._writer.append((self.stream, self._clock.stamp(), base, (), 0, None, None), always=True)

    def machine_dispose(self, machine: Reader) -> None:
        """End with the machine."""
        self._on_end(self)

    def stop(self) -> None:
        """Stop recording. What was recorded stays. Doing it twice is doing it once."""
        if any(t is self for t in self.machine.tracers):
            self.machine.remove_tracer(self)
        self._on_end(self)


def _mask(machine: Reader, names: Filter) -> int:
    everything = (1 << len(machine.state_names)) - 1
    if names is None:
        return everything
    if isinstance(names, Except):
        return everything & ~_mask(machine, names.states)
    listed = (names,) if isinstance(names, str) else tuple(names)
    mask = 0
    for name in listed:
        machine.tick(name)
        mask |= 1 << machine.index(name)[0]
    return mask
