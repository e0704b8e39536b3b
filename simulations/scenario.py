"""A scenario: everything about a simulated network but what the seed draws, as values that a file can hold.

    question = "How long does news take in a network that loses a tenth of its frames?"
    peers = 200
    [network]
    loss = 0.1
    [workload]
    kind = "poisson"
    rate = 20.0

Every key has a default, so that an empty file is a scenario. Times are in seconds and count from the end of the
settling, unless a key's name ends in `_ms`, `_us` or `_ns`. Shares and chances go from 0 to 1. `scenario_file` reads
files, and `experiment` runs what is here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from simulations.scenario_faults import Fault
from simulations.scenario_network import Latency, Topology, Uniform
from simulations.scenario_network import Regular as RegularGraph
from simulations.scenario_parts import Chance, Count, Millis, Part, Period, Seconds
from simulations.scenario_who import Who
from simulations.workload import Poisson, Workload

DEFAULT_SEED = 20130207  # that of the tests

Checks: TypeAlias = Literal["promises", "safety", "none"]
Protocol: TypeAlias = Literal["clk", "go", "gossipsub"]


class Weather(Part, frozen=True, kw_only=True):
    """What a connection does to frames, and what they cost. See `simulations.conditions.Conditions`; 0: no such thing.

    Attributes:
        bandwidth, uplink: bytes/s of a connection's direction, and of all that one peer sends.
        queue: bytes that wait for them at most.
        cpu_frame_us, cpu_byte_ns, cpu_topic_us: what the receiver takes for a frame, a byte, a transfer of the topic.
    """

    latency: Latency = msgspec.field(default_factory=Uniform)
    jitter_ms: Millis = 10.0
    loss: Chance = 0.0
    retransmit_ms: Millis = 0.0
    duplicate: Chance = 0.0
    reorder: Chance = 0.0
    reorder_by_ms: Millis = 100.0
    bandwidth: Count = 0
    uplink: Count = 0
    queue: Count = 1_000_000
    cpu_frame_us: Count = 0
    cpu_byte_ns: Count = 0
    cpu_topic_us: Count = 0
    patience_ms: Millis = 10_000.0


class Shards(Part, frozen=True, kw_only=True):
    """Topics side by side, if `count` is more than one; each peer takes part in `of` of them, which are drawn.

    In each it has a core and machines of its own. `topology` and `workload` are those of each shard. See
    `simulations.shards`.
    """

    count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    of: Annotated[int, Meta(ge=1)] = 1


class StateSpec(Part, frozen=True, kw_only=True):
    """A state of a schema."""

    auto: bool = False
    multi: bool = False
    require: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Machines(Part, frozen=True, kw_only=True):
    """What each peer owns.

    Attributes:
        each: how many machines.
        states: of each; they have no relations.
        schema: states by name in place of these, with what `machine.State` knows: `add`, `remove`, `require`, `after`,
            `auto`, `multi`, `tags`.
        own_schemas: whether the machines of each peer have one more state, that no others have.
        turnover: the share of changes that expose, or take back, one more machine.
    """

    each: Annotated[int, Meta(ge=1, le=1000)] = 1
    states: Annotated[int, Meta(ge=1, le=1000)] = 8
    schema: dict[str, StateSpec] = msgspec.field(default_factory=dict)
    own_schemas: bool = False
    turnover: Chance = 0.0


class Planes(Part, frozen=True, kw_only=True):
    """Which planes of clk/1 are on: P1 (`eager`), P2 (`links`), P3 (`repair`), P4 (`liveness`)."""

    eager: bool = False
    links: bool = True
    repair: bool = True
    liveness: bool = True


class Tuning(Part, frozen=True, kw_only=True):
    """The parameters of clk/1. See `pubsub.parameters.Parameters`.

    Attributes:
        tau_ms: the longest time between two flushes of a link with news.
        pace_us: how much longer that is for each record a second.
        lazy: whether links on which records come third or later say only which ones there are.
        eager_rate: messages/s up to which the topic is used.
        repair: the longest time between two repair sessions of a peer.
        forget_after: how long an owner is remembered that is dead or left.
    """

    tau_ms: Period = 200.0
    pace_us: Count = 750
    lazy: bool = True
    eager_rate: Count = 10
    repair: Period = 10.0
    forget_after: Period = 7200.0


class Topic(Part, frozen=True, kw_only=True):
    """The gossipsub topic, for P1 and for the two protocols to compare with. `low`, `high`: by default a third away."""

    degree: Annotated[int, Meta(ge=1)] = 6
    low: Annotated[int, Meta(ge=1)] | None = None
    high: Annotated[int, Meta(ge=1)] | None = None
    drop: Chance = 0.0
    envelope: Count = 430
    remember: Period = 120.0


class GoRules(Part, frozen=True, kw_only=True):
    """The published rules of the Go system, for `protocol = "go"`. See `simulations.go_rules`.

    Attributes:
        heartbeat: what changed is published so often.
        batch: what was received is taken over at the end of a time of this length.
        digest: the chance that a heartbeat carries a digest of whom the peer knows.
    """

    heartbeat: Period = 5.0
    batch: Seconds = 1.0
    digest: Chance = 0.2


class Liar(Part, frozen=True, kw_only=True):
    """Peers that lie. `rate`: with which share of their messages."""

    kind: Literal["forge", "equivocate", "hide", "replay", "flood"]
    who: Who
    rate: Chance = 0.5


class Scenario(Part, frozen=True, kw_only=True):
    """One experiment.

    Attributes:
        name: the file's, unless it says another one.
        question: what it is to answer.
        seed: if none is given to whoever runs it.
        peers: how many.
        warm: whether all know all machines at the beginning, as if they had been together for long.
        settle: before the workload and the measuring begin.
        seconds: of workload.
        quiet: after it, in which what is missing may arrive.
        absent: peers that are not there at the beginning; a fault of kind "restart" starts them.
        protocol: "clk" is ours. `planes` and `parameters` are of it alone, `go` of "go" alone.
        check: "promises": all that the protocol promises; "safety": without that all agree at the end, for what cannot
            be expected to; "none": nothing, so that a run takes less time.
        measure: names of `simulations.instruments`; none: all.
    """

    name: str = ""
    question: str = ""
    seed: Annotated[int, Meta(ge=0)] = DEFAULT_SEED
    peers: Annotated[int, Meta(ge=2, le=1_000_000)] = 50
    warm: bool = True
    settle: Seconds = 3.0
    seconds: Seconds = 20.0
    quiet: Seconds = 20.0
    absent: Who | None = None
    shards: Shards = msgspec.field(default_factory=Shards)
    topology: Topology = msgspec.field(default_factory=RegularGraph)
    network: Weather = msgspec.field(default_factory=Weather)
    workload: Workload = msgspec.field(default_factory=Poisson)
    machines: Machines = msgspec.field(default_factory=Machines)
    protocol: Protocol = "clk"
    planes: Planes = msgspec.field(default_factory=Planes)
    parameters: Tuning = msgspec.field(default_factory=Tuning)
    topic: Topic = msgspec.field(default_factory=Topic)
    go: GoRules = msgspec.field(default_factory=GoRules)
    faults: tuple[Fault, ...] = ()
    liars: tuple[Liar, ...] = ()
    check: Checks = "promises"
    measure: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, with all defaults filled in."""
        told = msgspec.json.decode(msgspec.json.encode(self))  # with lists, as a file has them, for tuples
        assert isinstance(told, dict)
        return told


__all__ = [
    "DEFAULT_SEED",
    "GoRules",
    "Liar",
    "Machines",
    "Planes",
    "Scenario",
    "Shards",
    "StateSpec",
    "Topic",
    "Tuning",
    "Weather",
]
