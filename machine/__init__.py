"""The clock-based state machine. Pure: no I/O, and trio only where something waits.

state, schema, validation               what states are, and mean to each other
compiled, resolver, automaton           the same as bit masks, as a pure function, as an automaton that grows
machine, backlog, queue, runner         what people call, what waits, and what one mutation does on its way through
mutation, transition, options           what goes through, and how
update                                  what is known of a change of somebody else's machine
reader, waiting, clock                  reading and waiting, the same for machines and replicas
handlers, event, background, tracer     what is called when: handlers, tasks in a state's scope, observers
pipes, snapshot, mixins, helpers, log   machines together, and what is convenient
beside                                  tasks beside a block, for all floors
"""

from machine.automaton import Plan
from machine.background import StateScope, open_machine
from machine.clock import (
    Clock,
    Time,
    activations,
    is_active_tick,
    next_active,
    next_active_in,
    next_inactive,
    next_inactive_in,
)
from machine.errors import (
    AsyncMachineError,
    BindError,
    DisposedError,
    HandlerTimeoutError,
    MisuseError,
    NestedEvalError,
    NotOpenError,
    PendingError,
    SchemaError,
    SnapshotError,
    UnknownStateError,
)
from machine.event import Event
from machine.handlers import Binding
from machine.helpers import (
    Condition,
    ExceptionStateError,
    LoopGuard,
    add_async,
    add_sync,
    ask_add,
    cannot_add,
    cannot_remove,
    mirror,
    remove_sync,
    request,
    wait_for_all,
    wait_for_any,
)
from machine.log import Breakpoint, LogTracer, as_record, as_text
from machine.machine import Machine
from machine.mixins import Basic, Connected, ConnectionPool, Disposed, DisposedHandlers
from machine.mutation import Mutation, Result, Source, Ticket
from machine.options import Options, Statistics
from machine.pipes import (
    Pipe,
    PipeSet,
    bind_any,
    bind_connected,
    bind_error,
    bind_many,
    bind_ready,
    bind_start,
    bind_state,
    pipe_add,
    pipe_remove,
    sync,
)
from machine.reader import Reader
from machine.resolver import MutationType
from machine.schema import Schema
from machine.snapshot import Snapshot
from machine.state import EXCEPTION, Group, State, StateName
from machine.tracer import Tracer
from machine.transition import Step, Transition
from machine.update import Update

__all__ = [
    "EXCEPTION",
    "AsyncMachineError",
    "Basic",
    "BindError",
    "Binding",
    "Breakpoint",
    "Clock",
    "Condition",
    "Connected",
    "ConnectionPool",
    "Disposed",
    "DisposedError",
    "DisposedHandlers",
    "Event",
    "ExceptionStateError",
    "Group",
    "HandlerTimeoutError",
    "LogTracer",
    "LoopGuard",
    "Machine",
    "MisuseError",
    "Mutation",
    "MutationType",
    "NestedEvalError",
    "NotOpenError",
    "Options",
    "PendingError",
    "Pipe",
    "PipeSet",
    "Plan",
    "Reader",
    "Result",
    "Schema",
    "SchemaError",
    "Snapshot",
    "SnapshotError",
    "Source",
    "State",
    "StateName",
    "StateScope",
    "Statistics",
    "Step",
    "Ticket",
    "Time",
    "Tracer",
    "Transition",
    "UnknownStateError",
    "Update",
    "activations",
    "add_async",
    "add_sync",
    "as_record",
    "as_text",
    "ask_add",
    "bind_any",
    "bind_connected",
    "bind_error",
    "bind_many",
    "bind_ready",
    "bind_start",
    "bind_state",
    "cannot_add",
    "cannot_remove",
    "is_active_tick",
    "mirror",
    "next_active",
    "next_active_in",
    "next_inactive",
    "next_inactive_in",
    "open_machine",
    "pipe_add",
    "pipe_remove",
    "remove_sync",
    "request",
    "sync",
    "wait_for_all",
    "wait_for_any",
]
