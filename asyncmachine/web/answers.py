"""What the page's server answers with. Of these structs the JSON is made, and the OpenAPI document.

Every moment is text: ns since 1970 do not fit into a number of JavaScript.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Ns = Annotated[str, Meta(pattern=r"^-?[0-9]{1,19}$", description="A moment: ns since 1970, as decimal text.")]
Key = Annotated[str, Meta(description="Of a machine, among all: owner/name.")]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Be the base of all answers."""


class Wrong(Answer, frozen=True, kw_only=True):
    """What is wrong with a question, and what would work."""

    error: str
    parameter: str | None = None


class OwnerInfo(Answer, frozen=True, kw_only=True):
    """Whose machines there are. ``name``: what to call a peer, if somebody knows."""

    owner: str
    machines: int
    name: str | None = None


class StateCount(Answer, frozen=True, kw_only=True):
    """In how many machines there is a state of this name."""

    name: str
    machines: int


class GraphInfo(Answer, frozen=True, kw_only=True):
    """A recording of a graph: complete from when until when."""

    name: str
    first: Ns
    last: Ns


class Limits(Answer, frozen=True, kw_only=True):
    """How much one answer holds: events that wait for a client of the feed, records of a page, rows of a window."""

    feed: int
    page: int
    window: int


class Info(Answer, frozen=True, kw_only=True):
    """What this page is about. ``states``: most used first, 200 at most; ``peer``: who serves it.

    ``life``: the same as long as it is the same history, whose rows have the same ids.
    """

    version: str
    mode: Literal["history", "peer", "window"]
    title: str
    source: str
    life: str
    first: Ns | None
    last: Ns | None
    live: bool
    peer: str | None
    topic: str | None
    machines: int
    owners: list[OwnerInfo]
    states: list[StateCount]
    relations: bool
    graph: list[GraphInfo]
    token: bool
    limits: Limits


class MachineNow(Answer, frozen=True, kw_only=True):
    """A machine as it was at a moment.

    ``peer``: in whose box it is; it differs from the owner of copies such as ``earlier log of …``. ``stale_ms``: of the
    replica of a live peer, now. ``id``: its number in answers in brief; null: it is not recorded.
    """

    key: Key
    id: int | None
    machine: str
    owner: str
    peer: str
    at: Ns
    seq: int
    epoch: int
    active: list[str]
    error: bool
    parent: str | None
    tags: list[str]
    stale_ms: int | None = None
    online: bool | None = None


class BriefMachines(Answer, frozen=True, kw_only=True):
    """Machines as columns: the first of each is about the first machine.

    Attributes:
        ids: their numbers.
        sets: states that are active together.
        active: which of the sets it is.
        stale_ms: see `MachineNow`; null: nothing is said of any.
        online: of those peers of which it is known.
    """

    ids: list[int]
    sets: list[list[str]]
    active: list[int]
    stale_ms: list[int | None] | None
    online: dict[str, bool | None]


class NetworkAnswer(Answer, frozen=True, kw_only=True):
    """All machines at a moment. ``not_yet``: not known by then; ``forgotten``: let go of by retention.

    ``brief``: the machines, if they are asked for in brief; ``machines`` is empty then.
    """

    asked: Ns
    machines: list[MachineNow]
    not_yet: int
    forgotten: int
    truncated: bool
    brief: BriefMachines | None = None


class VertexAnswer(Answer, frozen=True, kw_only=True):
    """A peer, a machine, or a state of it. ``key``: of the machine in the history; none: it is not recorded."""

    id: str
    kind: Literal["peer", "machine", "state"]
    peer: str
    label: str
    since: Ns
    machine: str | None = None
    key: Key | None = None
    name: str | None = None
    tags: list[str] = []


class EdgeAnswer(Answer, frozen=True, kw_only=True):
    """Something between two vertices. ``label``: of a pipe, between which states, and when."""

    id: str
    kind: str
    source: str
    target: str
    since: Ns
    mutation: str | None = None
    label: str | None = None
    tags: list[str] = []


class BriefPeer(Answer, frozen=True, kw_only=True):
    """A peer of a graph, and what to call it."""

    peer: str
    label: str


class BriefGraph(Answer, frozen=True, kw_only=True):
    """A graph as numbers. What leads to a machine that is not recorded is left out.

    Attributes:
        peers: those that are there.
        machines: numbers of those that are there.
        edges: by kind the ends of each: source, target, source, target, … A number is that of a machine; -1 is the
            first of the peers, -2 the second, and so on.
    """

    peers: list[BriefPeer]
    machines: list[int]
    edges: dict[str, list[int]]


class GraphAnswer(Answer, frozen=True, kw_only=True):
    """The graph of a moment. ``derived``: no graph was recorded then, so it is made of owners, machines and parents.

    ``brief``: what is there, if it is asked for in brief; ``kinds`` counts all kinds then, ``vertices`` and ``edges``
    are empty, and nothing is derived.
    """

    asked: Ns
    vertices: list[VertexAnswer]
    edges: list[EdgeAnswer]
    kinds: dict[str, int]
    derived: bool
    truncated: bool
    brief: BriefGraph | None = None


class Cause(Answer, frozen=True, kw_only=True):
    """What caused a record: a transition of a machine, by its number there."""

    machine: str
    tx: str


class RecordAnswer(Answer, frozen=True, kw_only=True):
    """A transition. ``arguments``: what was passed along, as JSON, cut if it is long."""

    id: int
    key: Key
    machine: str
    owner: str
    at: Ns
    epoch: int
    seq: int
    mutation: str
    auto: bool
    rejected: bool
    error: bool
    called: list[str]
    activated: list[str]
    deactivated: list[str]
    time_sum: int
    cause: Cause | None
    arguments: str | None


class MomentAnswer(Answer, frozen=True, kw_only=True):
    """A machine as it was at ``asked``. ``at``: when its last transition before that was."""

    key: Key
    machine: str
    owner: str
    peer: str
    asked: Ns
    at: Ns
    epoch: int
    seq: int
    active: list[str]
    ticks: dict[str, int]
    time_sum: int
    tags: list[str]
    parent: str | None


class StateAnswer(Answer, frozen=True, kw_only=True):
    """A state of a machine, as its schema of then has it. ``last_change``: when its tick grew last, as far as known."""

    name: str
    tick: int
    active: bool
    auto: bool
    multi: bool
    require: list[str]
    add: list[str]
    remove: list[str]
    after: list[str]
    tags: list[str]
    last_change: Ns | None


class Belief(Answer, frozen=True, kw_only=True):
    """What somebody else held a machine for.

    Attributes:
        observer: who; a peer id, or the name that was recorded. Empty: whoever recorded this history.
        known: whether it knew of the machine at all.
        at: when that came to it.
        seq: the number of the update there; of a live replica, the version of the record.
        behind_ticks: how many ticks the truth was ahead; null: it cannot be compared, as the machine began anew.
        stale_ms: for how long what it believed had not been so any more; 0: it was right. Where the truth is not here,
            for how long nothing was heard.
        ticks: by state, the truth and what was believed, where these differ.
    """

    observer: str
    known: bool
    at: Ns | None
    epoch: int | None
    seq: int | None
    stale_ms: int | None
    behind_ticks: int | None
    ticks: dict[str, tuple[int, int]]


class MachineAnswer(Answer, frozen=True, kw_only=True):
    """All about a machine at a moment: what it was, how it came to that, what followed, and who believed what."""

    moment: MomentAnswer
    states: list[StateAnswer]
    last: RecordAnswer | None
    causes: list[RecordAnswer]
    effects: list[RecordAnswer]
    beliefs: list[Belief]


class LogAnswer(Answer, frozen=True, kw_only=True):
    """Records. ``after``: give it for the next ones; null: that was all."""

    records: list[RecordAnswer]
    after: str | None


class Span(Answer, frozen=True, kw_only=True):
    """When a state was active. ``began``, ``ended``: whether it changed there; no end: it lasts."""

    start: Ns
    end: Ns | None
    began: bool
    ended: bool


class Lane(Answer, frozen=True, kw_only=True):
    """The spans of a state."""

    state: str
    spans: list[Span]


class IntervalsAnswer(Answer, frozen=True, kw_only=True):
    """The lanes of a machine in a window. ``truncated``: there are more spans than these."""

    since: Ns
    until: Ns
    lanes: list[Lane]
    truncated: bool


class StepAnswer(Answer, frozen=True, kw_only=True):
    """Where the next step leads; null: there is nothing more."""

    at: Ns | None
    record: RecordAnswer | None


class MachineDiff(Answer, frozen=True, kw_only=True):
    """What became of a machine. ``ticks``: by how much each grew."""

    key: Key
    machine: str
    owner: str
    new: bool
    activated: list[str]
    deactivated: list[str]
    ticks: dict[str, int]


class GraphPart(Answer, frozen=True, kw_only=True):
    """Something that came into the graph, or went."""

    kind: str
    label: str
    vertex: bool


class GraphDiff(Answer, frozen=True, kw_only=True):
    """What came into the graph, and what went."""

    came: list[GraphPart]
    went: list[GraphPart]


class DiffAnswer(Answer, frozen=True, kw_only=True):
    """What is different at ``t2``. ``unchanged``: machines that are as they were."""

    t1: Ns
    t2: Ns
    machines: list[MachineDiff]
    graph: GraphDiff | None
    unchanged: int
    truncated: bool


class DensityAnswer(Answer, frozen=True, kw_only=True):
    """How many records there were in each of equal parts of a window, and how many of them were about errors."""

    since: Ns
    until: Ns
    counts: list[int]
    errors: list[int]


class Opened(Answer, frozen=True, kw_only=True):
    """A file that was opened: give ``window`` with any question."""

    window: str


class Health(Answer, frozen=True, kw_only=True):
    """Whether all is well."""

    ok: bool
