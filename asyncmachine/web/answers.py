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
    """What this page is about. ``states``: most used first, 200 at most; ``peer``: who serves it."""

    version: str
    mode: Literal["history", "peer", "window"]
    title: str
    source: str
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
    replica of a live peer, now.
    """

    key: Key
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


class NetworkAnswer(Answer, frozen=True, kw_only=True):
    """All machines at a moment. ``not_yet``: not known by then; ``forgotten``: let go of by retention."""

    asked: Ns
    machines: list[MachineNow]
    not_yet: int
    forgotten: int
    truncated: bool


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


class GraphAnswer(Answer, frozen=True, kw_only=True):
    """The graph of a moment. ``derived``: no graph was recorded then, so it is made of owners, machines and parents."""

    asked: Ns
    vertices: list[VertexAnswer]
    edges: list[EdgeAnswer]
    kinds: dict[str, int]
    derived: bool
    truncated: bool
