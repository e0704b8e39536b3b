"""Pipes: a state of one machine drives a state of another.

A pipe is fed by what really changed in a transition of its source: an activation (or re-entry) of the source state adds
the target state, or a deactivation removes it. It never delays or cancels the source; the target may refuse. What a
source posts arrives in order, in the target's own queue, worked off by the target's own drain, once the source's is
done. The mutation carries the source's transition as its cause. A pipe is an explicit record, known at both ends, and
is cut when either end is disposed of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from machine.errors import MisuseError
from machine.mutation import Mutation
from machine.resolver import MutationType
from machine.state import EXCEPTION
from machine.tracer import Tracer

if TYPE_CHECKING:
    from machine.machine import Machine
    from machine.reader import Reader
    from machine.transition import Transition

CONNECTED = ("Connecting", "Connected", "Disconnecting", "Disconnected")


@dataclass(frozen=True, slots=True, eq=False)
class Pipe:
    """One end-to-end record: when `on` happens to the source state, the target state is added or removed.

    A `flat` pipe passes no args on, and posts nothing that the target already is. The pipe of `bind_any` has ``*`` for
    both states and sets the target.
    """

    source: Reader
    source_state: str
    target: Machine
    target_state: str
    on: Literal["activation", "deactivation", "any"]
    mutation: MutationType
    flat: bool = False

    def __repr__(self) -> str:
        verb = self.mutation.name.lower()
        return f"<Pipe {self.source.id}.{self.source_state} {self.on} → {verb} {self.target.id}.{self.target_state}>"


class PipeSet(Tracer):
    """The pipes of one bind call; ``cut`` takes them off. Counts what it posted in `posted`."""

    def __init__(self, source: Reader, pipes: Sequence[Pipe]) -> None:
        self.id = f"pipe:{source.id}:{pipes[0].target.id}"
        self.source = source
        self.pipes = tuple(pipes)
        self.posted = 0
        self._on = {
            (p.on, p.source_state): [q for q in pipes if (q.on, q.source_state) == (p.on, p.source_state)]
            for p in pipes
        }
        source.add_tracer(self)
        for pipe in self.pipes:
            source._pipes_out = (*source._pipes_out, pipe)
            pipe.target._pipes_in = (*pipe.target._pipes_in, pipe)
            _tell(pipe, "pipe_added")

    def transition_end(self, transition: Transition) -> None:
        """Post what this transition of the source means for the target."""
        if transition.ticks_before == transition.ticks_after:
            return
        for state in transition.removed:
            for pipe in self._on.get(("deactivation", state), ()):
                self._post(pipe, (pipe.target_state,), transition)
        for state in transition.added:
            for pipe in self._on.get(("activation", state), ()):
                extra = (EXCEPTION,) if pipe.target_state.startswith("Err") else ()
                self._post(pipe, (pipe.target_state, *extra), transition)
        for pipe in self._on.get(("any", "*"), ()):
            active = self.source.active_states()
            if not pipe.target.is_idle or set(active) != set(pipe.target.active_states()):
                self._post(pipe, active, transition)

    def machine_dispose(self, machine: Reader) -> None:
        """Cut these pipes: their source is gone."""
        self.cut()

    def cut(self) -> None:
        """Remove these pipes from both ends. Doing it twice is doing it once."""
        if not self.pipes:
            return
        pipes, self.pipes = self.pipes, ()
        self._on = {}
        if any(t is self for t in self.source.tracers):
            self.source.remove_tracer(self)
        for pipe in pipes:
            self.source._pipes_out = tuple(p for p in self.source._pipes_out if p is not pipe)
            pipe.target._pipes_in = tuple(p for p in pipe.target._pipes_in if p is not pipe)
            _tell(pipe, "pipe_removed")

    def _post(self, pipe: Pipe, states: tuple[str, ...], transition: Transition) -> None:
        target = pipe.target
        # what waits in its queue may make another machine of a busy target
        if pipe.flat and target.is_idle and target.is_active(*states) is (pipe.mutation is MutationType.ADD):
            return
        args: dict[str, Any] = {} if pipe.flat else dict(transition.args)
        error = args.get("error")
        if EXCEPTION in states and isinstance(error, BaseException):
            if target.last_error is error:
                return  # it has been there: errors that are bound in a ring come to rest
            target._last_error = error
        called = target._called(states)
        mutation = Mutation(pipe.mutation, called, target._names(called), args, source=transition.as_source())
        self.posted += 1
        post(self.source, target, mutation)


# -- delivery


def post(source: Reader, target: Machine, mutation: Mutation) -> None:
    """Put a mutation into the queue of another machine, to be worked off when the source is idle."""
    was, target._draining = target._draining, True  # only queue it
    try:
        target._submit(mutation)
    finally:
        target._draining = was
        target._observers_changed()
    if not was:
        source._mail = (*source._mail, target)


def deliver(source: Reader, budget: int) -> bool:
    """Let every machine that got mail from an idle source work its queue off, and those that got mail from these.

    Chains and rings of pipes of any length are walked without recursion. A ring that never comes to rest (two multi
    states that add each other) is left after `budget` deliveries; tell whether all was delivered.
    """
    if source._driven:
        return True  # by the loop below, one level up
    waiting = deque(source._mail)
    source._mail = ()
    try:
        while waiting and budget > 0:
            budget -= 1
            target = waiting.popleft()
            target._driven = True
            try:
                target._drain()
            finally:
                target._driven = False
                waiting.extend(target._mail)
                target._mail = ()
    finally:
        source._mail = (*source._mail, *waiting)
    return not waiting


def forget_pipes(machine: Reader) -> None:
    """Cut all pipes that begin or end at a machine."""
    sets = [t for pipe in machine._pipes_in for t in pipe.source.tracers if isinstance(t, PipeSet) and pipe in t.pipes]
    sets += [t for t in machine.tracers if isinstance(t, PipeSet)]
    for pipes in sets:
        pipes.cut()


def _tell(pipe: Pipe, hook: str) -> None:
    ends = (pipe.source,) if pipe.source is pipe.target else (pipe.source, pipe.target)
    for end in ends:
        end._hooks.tell(getattr(end._hooks, hook), pipe)


# -- what people call


def pipe_add(
    source: Reader, state: str, target: Machine, target_state: str | None = None, *, flat: bool = False
) -> PipeSet:
    """Add the target state whenever `state` is activated."""
    return PipeSet(source, [_pipe(source, state, target, target_state, "activation", MutationType.ADD, flat)])


def pipe_remove(
    source: Reader, state: str, target: Machine, target_state: str | None = None, *, flat: bool = False
) -> PipeSet:
    """Remove the target state whenever `state` is deactivated."""
    return PipeSet(source, [_pipe(source, state, target, target_state, "deactivation", MutationType.REMOVE, flat)])


def bind_state(
    source: Reader,
    state: str,
    target: Machine,
    active: str | None = None,
    inactive: str | None = None,
    *,
    flat: bool = False,
) -> PipeSet:
    """Let a target state follow `state`: added with its activation, removed with its deactivation.

    Args:
        source, state: what is followed.
        target: what follows.
        active: the target state that is added; `state` by default.
        inactive: the target state that is removed; `active` by default.
        flat: see `Pipe`.
    """
    return bind_many(source, (state,), target, (active or state,), (inactive or active or state,), flat=flat)


def bind_many(
    source: Reader,
    states: Iterable[str],
    target: Machine,
    active: Iterable[str] | None = None,
    inactive: Iterable[str] | None = None,
    *,
    flat: bool = False,
) -> PipeSet:
    """Let several target states follow several source states, as one set. See `bind_state`."""
    states = tuple(states)
    actives = states if active is None else tuple(active)
    inactives = actives if inactive is None else tuple(inactive)
    if not states or len(states) != len(actives) or len(states) != len(inactives):
        raise MisuseError(
            f"{len(states)} source states for {len(actives)} target states: give as many, and at least one"
        )
    pipes = []
    for state, on, off in zip(states, actives, inactives, strict=True):
        pipes.append(_pipe(source, state, target, on, "activation", MutationType.ADD, flat))
        pipes.append(_pipe(source, state, target, off, "deactivation", MutationType.REMOVE, flat))
    return PipeSet(source, pipes)


def bind_ready(source: Reader, target: Machine, active: str | None = None, inactive: str | None = None) -> PipeSet:
    """Let a target state, Ready by default, follow Ready."""
    return bind_state(source, "Ready", target, active, inactive)


def bind_start(source: Reader, target: Machine, active: str | None = None, inactive: str | None = None) -> PipeSet:
    """Let a target state, Start by default, follow Start."""
    return bind_state(source, "Start", target, active, inactive)


def bind_error(source: Reader, target: Machine, state: str = EXCEPTION) -> PipeSet:
    """Add a target state, Exception by default, at each error of the source. It is never removed by this."""
    return pipe_add(source, EXCEPTION, target, state)


def bind_connected(
    source: Reader,
    target: Machine,
    *,
    connecting: str = CONNECTED[0],
    connected: str = CONNECTED[1],
    disconnecting: str = CONNECTED[2],
    disconnected: str = CONNECTED[3],
) -> PipeSet:
    """Let four target states follow the states of a connection."""
    return bind_many(source, CONNECTED, target, (connecting, connected, disconnecting, disconnected))


def bind_any(source: Reader, target: Machine) -> PipeSet:
    """Set the target to the active states of the source whenever these differ. The target must have all its states."""
    for state in source.state_names:
        target.tick(state)
    return PipeSet(source, [Pipe(source, "*", target, "*", "any", MutationType.SET)])


def sync(source: Reader, target: Machine, states: Iterable[str], target_states: Iterable[str] | None = None) -> int:
    """Bring target states in line with source states once: one add and one remove; return how many states that were."""
    states = tuple(states)
    targets = states if target_states is None else tuple(target_states)
    if not states or len(states) != len(targets):
        raise MisuseError(
            f"{len(states)} source states for {len(targets)} target states: give as many, and at least one"
        )
    active = [t for s, t in zip(states, targets, strict=True) if source.is_active(s)]
    inactive = [t for s, t in zip(states, targets, strict=True) if not source.is_active(s)]
    if active:
        target.add(*active)
    if inactive:
        target.remove(*inactive)
    return len(states)


def _pipe(
    source: Reader,
    state: str,
    target: Machine,
    target_state: str | None,
    on: Literal["activation", "deactivation"],
    mutation: MutationType,
    flat: bool,
) -> Pipe:
    source.tick(state)  # raise for unknown states now, and not when the pipe is first used
    target.tick(target_state or state)
    return Pipe(source, state, target, target_state or state, on, mutation, flat)
