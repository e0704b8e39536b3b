"""Metrics for Prometheus: the counters of a peer, its machines, its history and its process, read when asked for.

    asyncmachine_peer_<part>_<counter>_total         what `peer.statistics()` says, see docs/peers.md
    asyncmachine_peer_members{status}                members by what they are held for
    asyncmachine_machine_…{machine}                  own machines: `machine.statistics()`, ticks and activity of states
    asyncmachine_history_…, asyncmachine_log_…       what `history.statistics()` says; and the log that others pull
    asyncmachine_observer_…                          the logs of others

Nothing is kept here and nothing counted twice: a collector reads the objects themselves, in their own thread.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from asyncmachine import __version__
from asyncmachine.observer import Observer
from history import History
from machine import Machine
from pubsub.members import Status
from pubsub.peer import Peer

#: Counters of a peer that go up and down.
GAUGES: Final = {("links", "links"), ("ledger", "owners"), ("addresses", "known")}
HISTORY_GAUGES: Final = {"recorders", "waiting"}
MACHINE_GAUGES: Final = {"queued", "waits", "tasks"}


class PeerCollector(Collector):
    """Reads a peer and what belongs to it.

    Args:
        peer: whose counters they are.
        topic: its name.
        machines: returns the machines that it shares now.
        history: that records them.
        served: the counters of what others have pulled of it, a dataclass.
        observer: returns what keeps the logs of others, if anything does.
    """

    def __init__(
        self,
        peer: Peer,
        topic: str,
        machines: Callable[[], Sequence[Machine]],
        history: History | None = None,
        served: Any = None,
        observer: Callable[[], Observer | None] = lambda: None,
    ) -> None:
        self._peer = peer
        self._topic = topic
        self._machines = machines
        self._history = history
        self._served = served
        self._observer = observer

    def collect(self) -> Iterator[Metric]:
        """Return everything as it is now."""
        about = {"version": __version__, "python": platform.python_version(), "peer": self._peer.id}
        yield InfoMetricFamily("asyncmachine", "What runs here", value=about | {"topic": self._topic})
        yield from self._of_peer()
        yield from self._of_machines()
        if self._history is not None:
            yield from self._of_history(self._history)
        observer = self._observer()
        if observer is not None:
            yield from self._of_observer(observer)
        if self._served is not None:
            for field in fields(self._served):
                name = f"asyncmachine_log_{field.name}"
                yield _metric(name, f"Logs of own machines: {field.name}", getattr(self._served, field.name))

    def _of_peer(self) -> Iterator[Metric]:
        for part, counters in self._peer.statistics().items():
            for counter, value in counters.items():
                name = "asyncmachine_peer_" + _word(f"{part} {counter}" if part != counter else part)
                yield _metric(name, f"{part}: {counter}", value, gauge=(part, counter) in GAUGES)
        members = GaugeMetricFamily("asyncmachine_peer_members", "Members of the network, by status", labels=["status"])
        held = [member.status for member in self._peer.members()]
        for status in Status:
            members.add_metric([status.value], held.count(status))
        yield members

    def _of_machines(self) -> Iterator[Metric]:
        machines = self._machines()
        yield _metric("asyncmachine_machines", "Machines that this peer shares", len(machines), gauge=True)
        if not machines:
            return
        statistics = [(machine.id, machine.statistics()) for machine in machines]
        for field in fields(statistics[0][1]):
            family = GaugeMetricFamily if field.name in MACHINE_GAUGES else CounterMetricFamily
            metric: Metric = family(f"asyncmachine_machine_{field.name}", f"Machines: {field.name}", labels=["machine"])
            for id, counts in statistics:
                metric.add_metric([id], getattr(counts, field.name))  # type: ignore[attr-defined]
            yield metric
        active = GaugeMetricFamily(
            "asyncmachine_machine_state_active", "1 while a state is active", labels=["machine", "state"]
        )
        ticks = CounterMetricFamily(
            "asyncmachine_machine_ticks", "Ticks: how often a state came or went", labels=["machine", "state"]
        )
        for machine in machines:
            for state, tick in machine.clock().items():
                active.add_metric([machine.id, state], tick & 1)
                ticks.add_metric([machine.id, state], tick)
        yield active
        yield ticks

    def _of_history(self, history: History) -> Iterator[Metric]:
        statistics = history.statistics()
        for field in fields(statistics):
            value = getattr(statistics, field.name)
            name = f"asyncmachine_history_{field.name}"
            if field.name == "failing":
                yield _metric(name, "1 while the database takes nothing", int(value is not None), gauge=True)
            elif field.name == "blocked":
                yield _metric(name + "_seconds", "Time for which producers were held up", value)
            else:
                yield _metric(name, f"History: {field.name}", value, gauge=field.name in HISTORY_GAUGES)

    def _of_observer(self, observer: Observer) -> Iterator[Metric]:
        statistics = observer.statistics()
        for field in fields(statistics):
            if field.name != "counts":
                name = f"asyncmachine_observer_{field.name}"
                yield _metric(name, f"Logs of others: {field.name}", getattr(statistics, field.name), gauge=True)
        for field in fields(statistics.counts):
            if field.name != "ended":
                name = f"asyncmachine_observer_{field.name}"
                yield _metric(name, f"Logs of others: {field.name}", getattr(statistics.counts, field.name))
        ended = CounterMetricFamily("asyncmachine_observer_ended", "How pulls of logs ended", labels=["how"])
        for how, count in statistics.counts.ended.items():
            ended.add_metric([how], count)
        yield ended


def make_registry(collector: PeerCollector) -> CollectorRegistry:
    """Return what `/metrics` shows: a peer's collector, and the CPU, memory and descriptors of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


def _metric(name: str, about: str, value: float, *, gauge: bool = False) -> Metric:
    family: Any = GaugeMetricFamily if gauge else CounterMetricFamily
    metric: Metric = family(name, about, value=value)
    return metric


def _word(text: str) -> str:
    """Return a name that Prometheus takes: ``logs pulled ended: complete`` is ``logs_pulled_ended_complete``."""
    return re.sub(r"\W+", "_", text)
