"""The counters of a peer, all in one place: what it did, refused and dropped, by part."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

from pubsub.core import Core

P = TypeVar("P", bound=Hashable)
Counters = dict[str, int]


def counters_of(counts: Any) -> Counters:
    """Return the numbers in a dataclass, or a mapping, by name. What is no number is left out."""
    if isinstance(counts, Mapping):
        items = [(key.value if isinstance(key, Enum) else str(key), value) for key, value in counts.items()]
    else:
        assert is_dataclass(counts)
        items = [(field.name, getattr(counts, field.name)) for field in fields(counts)]
    out: Counters = {}
    for name, value in items:
        if isinstance(value, Mapping):
            out.update({f"{name}: {key}": number for key, number in counters_of(value).items()})
        elif isinstance(value, int) and not isinstance(value, bool):
            out[str(name)] = value
    return out


def add_up(parts: list[Counters]) -> Counters:
    """Return the sum of counters of the same kind."""
    out: Counters = {}
    for part in parts:
        for name, value in part.items():
            out[name] = out.get(name, 0) + value
    return out


def counters_of_core(core: Core[P]) -> dict[str, Counters]:
    """Return the counters of a core."""
    links = [core.links.ended, *[link.counts for link in core.links.values()]]
    membership, detectors = core.membership, core.liveness.detectors
    return {
        "core": counters_of(core.counts),
        "records": counters_of(core.acceptor.counts),
        "links": {"links": len(core.links)} | add_up([counters_of(counts) for counts in links]),
        "lazy links": counters_of(core.links.lazy.counts),
        "repair": counters_of(core.repair.counts),
        "catalog": counters_of(core.catalog.counts),
        "suspicions": counters_of(membership.counts)
        | {"evicted": membership.early.evicted, "withheld": membership.withheld}
        | {"pings": detectors.pings, "stalls": detectors.stalls, "denied": core.liveness.denied},
        "logs pulled": counters_of(core.pulls.counts),
        "logs served": counters_of(core.pulls.serving.counts),
        "ledger": {"owners": len(core.ledger), "evicted": core.ledger.evicted},
    }
