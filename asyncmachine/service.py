"""A peer as a service: what `am peer run` runs, from the start to the last goodbye.

    start    ports, history, peer, its graph, page, machines (brought back, recorded, shared), programs; it is *ready*
    stop     a signal: programs are cancelled, the peer leaves, recording ends, machines are closed, history is written
    failure  a program that raises: the same, and a status of 1

It is told to stop by a signal; the second one ends the process at once, see `asyncmachine.stop`. Machines are shared as
they were when the stop came, and are brought back like that: what they do while they are closed is not recorded.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from asyncmachine import HistoryLog
from asyncmachine.believing import record_beliefs
from asyncmachine.config import Settings
from asyncmachine.errors import TargetError
from asyncmachine.observer import Observer, open_observer
from asyncmachine.stop import heeding
from asyncmachine.target import Loaded, Program, machines_of
from history import History, Recorder, open_history
from machine import Machine, SnapshotError, open_machine
from pubsub.errors import ExposeError
from pubsub.events import Published
from pubsub.opening import OpenTransport, open_peer
from pubsub.peer import Peer

if TYPE_CHECKING:
    from graph.recorder import RecordedGraph

logger = logging.getLogger("asyncmachine.service")
KEEP: Final = 20_000  # changes of the graph that are remembered beside the database; what is old goes in large steps
LOOK: Final = 5.0  # s between looks for what a person should be told
PATIENCE: Final = 2.0  # s until what was shared is published; it takes 0.1
KEPT: Final = 1000  # rows per machine of which the page tells where there is no history
STRANGERS: Final = 3  # connections, all of strangers, before that is said


@dataclass(frozen=True, slots=True)
class Ready:
    """What a service says once, when it is ready. ``metrics``, ``web``: the URLs."""

    peer: str
    topic: str
    addresses: list[str]
    machines: list[str]
    restored: list[str]
    metrics: str | None
    web: str | None
    pid: int


class Service:
    """One peer with its machines.

    Args:
        settings: what to open.
        loaded: machines and programs.
        ready: is called once, when all is open and everything shared.
        transport: another one than libp2p; for tests.
    """

    def __init__(
        self,
        settings: Settings,
        loaded: Loaded,
        ready: Callable[[Ready], object],
        *,
        transport: OpenTransport | None = None,
    ) -> None:
        self._settings = settings
        self._loaded = loaded
        self._ready = ready
        self._transport = transport
        self._machines: dict[Machine, None] = {}
        self._restored: list[str] = []
        self._observer: Observer | None = None
        self._graph: RecordedGraph | None = None
        self._shown: History | None = None  # what the page is of: the history, or if there is none, one in memory
        self._public: dict[str, None] = {}  # ids that were published last
        self._rung = trio.Event()
        self._failed = False
        self._running = trio.CancelScope()
        self._closing = trio.Event()
        self._holders: trio.Nursery | None = None

    def stop(self) -> None:
        """Let it end; `run` returns when it has."""
        self._running.cancel()

    async def run(self) -> bool:
        """Run until a signal comes; tell whether nothing failed and nothing was lost."""
        with heeding(self._told_to_stop):
            lost = await self._live()
        if lost:
            logger.error("%d transitions could not be written to the history", lost)
        is_whole = self._graph is None or not self._graph.statistics().lost  # it says so itself
        return not self._failed and not lost and is_whole

    async def _live(self) -> int:
        """Open all, run, close all; return how many recorded transitions were lost."""
        settings, config = self._settings, self._settings.config
        address, history = settings.metrics_address, None
        async with AsyncExitStack() as stack:
            bound: socket.socket | None = None
            if address is not None:
                from asyncmachine.metrics_server import bind  # half a second to import

                bound = stack.enter_context(bind(*address))
            for_page: socket.socket | None = None
            if settings.web_address is not None:
                from asyncmachine.serving import bind as bind_page

                for_page = stack.enter_context(bind_page(*settings.web_address, "the page"))
            if settings.history_url is not None:
                history = await stack.enter_async_context(open_history(settings.history_url))
            self._shown = history
            if for_page is not None and history is None:
                self._shown = await stack.enter_async_context(open_history("memory:", max_rows=KEPT))
            log = None if history is None else HistoryLog(history)
            peer = await stack.enter_async_context(
                open_peer(
                    settings.topic,
                    key_file=config.key,
                    listen=config.listen,
                    connect=config.connect,
                    announce=config.announce,
                    allow=config.allow,
                    topic_key=settings.topic_key,
                    mdns=config.mdns,
                    log=log,
                    notify=self._hear,
                    transport=self._transport,
                )
            )
            if self._shown is not None:
                from graph.recorder import open_graph  # 0.1 s to import

                # Its name is that of the peer: several may record in one database, and are asked as one. Of its past,
                # only what is in the database is ever asked for.
                graph = open_graph(self._shown, peer.id, peer=peer, tell=True, keep=KEEP)
                self._graph = await stack.enter_async_context(graph)
            url: str | None = None
            if bound is not None:
                from asyncmachine.metrics import PeerCollector, make_registry
                from asyncmachine.metrics_server import serve_metrics

                served = None if log is None else log.counts
                collector = PeerCollector(peer, settings.topic, self._shared, history, served, lambda: self._observer)
                url = await stack.enter_async_context(serve_metrics(bound, make_registry(collector)))
            page_url: str | None = None
            if for_page is not None:
                page_url = await stack.enter_async_context(self._page(for_page, peer))
            self._holders = await stack.enter_async_context(trio.open_nursery())
            async with AsyncExitStack() as observing:  # it ends first: it asks others by this peer
                if config.observe and history is not None:
                    self._observer = await observing.enter_async_context(open_observer(history, peer))
                if config.beliefs and history is not None:
                    observing.enter_context(record_beliefs(history, peer))
                await self._work(peer, history, url, page_url)
            await peer.leave()
            for recorder in [one for machine in self._machines for one in machine.tracers if isinstance(one, Recorder)]:
                recorder.stop()
            self._closing.set()
        return 0 if history is None else history.statistics().lost

    def _page(self, bound: socket.socket, peer: Peer) -> AbstractAsyncContextManager[str]:
        """Serve the page for as long as the block lasts."""
        from asyncmachine.web.app import Page
        from asyncmachine.web.live import LivePeer
        from asyncmachine.web.server import serve_page
        from asyncmachine.web.source import Source

        assert self._shown is not None
        topic, clock = self._settings.topic, self._shown.clock
        source = Source(self._shown.store, mode="peer", title=topic, now=clock.latest)
        return serve_page(bound, Page(source, token=self._settings.web_token, live=LivePeer(peer, topic)))

    async def _work(self, peer: Peer, history: History | None, metrics: str | None, web: str | None) -> None:
        """Share the machines, and let the programs run, until told to stop."""
        with self._running:
            for machine in self._loaded.machines:
                await self._share(machine, peer, history)
            await self._published()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hint, peer, logger.warning)
                for name, program in self._loaded.programs:
                    nursery.start_soon(self._run_program, name, program, peer, history)
                ids = [machine.id for machine in self._machines]
                topic, restored = self._settings.topic, list(self._restored)
                told = Ready(peer.id, topic, peer.addresses, ids, restored, metrics, web, os.getpid())
                try:
                    self._ready(told)
                except OSError as error:
                    logger.warning("nobody reads that it is ready: %s", error.strerror)
                notify_supervisor(f"READY=1\nSTATUS={peer.id}, {len(ids)} machines")
        notify_supervisor("STOPPING=1")

    async def _share(self, machine: Machine, peer: Peer, history: History | None) -> None:
        """Open a machine, bring it back, record and expose it.

        Raises:
            TargetError: it cannot be brought back, or shared.
        """
        if machine in self._machines:
            return
        assert self._holders is not None
        if not machine.is_open:
            await self._holders.start(self._hold, machine)
        if history is not None:
            try:
                if await history.restore(machine):
                    self._restored.append(machine.id)
            except SnapshotError as error:
                raise TargetError(
                    f"{machine.id} cannot be brought back from {history.store.url}: {error};"
                    " or give the machine another id, or the peer another history"
                ) from error
        elif self._shown is not None:
            self._shown.record(machine)
        if self._graph is not None:
            self._graph.follow(machine)
        try:
            peer.expose(machine)
        except ExposeError as error:
            raise TargetError(f"{machine.id} cannot be shared: {error}") from error
        self._machines[machine] = None

    def _shared(self) -> list[Machine]:
        """Return the machines that others can have now."""
        return [machine for machine in self._machines if not machine.is_disposed]

    def _hear(self, event: object) -> None:
        if isinstance(event, Published):
            self._public = {machine.description.id: None for machine in event.state.values()}
            rung, self._rung = self._rung, trio.Event()
            rung.set()

    async def _published(self) -> None:
        """Wait until others can have the machines: a peer pauses between two records."""
        with trio.move_on_after(PATIENCE):
            while any(machine.id not in self._public for machine in self._machines):
                await self._rung.wait()

    async def _hold(self, machine: Machine, *, task_status: trio.TaskStatus[None]) -> None:
        """Keep a machine open, so that its handlers may start tasks."""
        async with open_machine(machine):
            task_status.started()
            await self._closing.wait()

    async def _run_program(self, name: str, program: Program, peer: Peer, history: History | None) -> None:
        try:
            value = await program(peer, history)
            if value is not None:
                for machine in machines_of(value, name):
                    await self._share(machine, peer, history)
        except TargetError as error:
            logger.error("%s", error)
            self._fail()
        except SystemExit as error:
            logger.info("%s has ended the peer: %s", name, error.code or 0)
            self._failed = self._failed or bool(error.code)
            self.stop()
        except Exception:  # somebody else's code; whoever wrote it needs all of it
            logger.exception("%s failed", name)
            self._fail()

    def _fail(self) -> None:
        self._failed = True
        self.stop()

    def _told_to_stop(self, number: int) -> None:
        logger.info("%s: leaving; once more, and it ends at once", signal.Signals(number).name)
        self.stop()


async def hint(peer: Peer, say: Callable[[str], object]) -> None:
    """Say, once each, what a person should look at: that strangers connect, or peers that are not allowed."""
    said: dict[str, None] = {}
    while True:
        await trio.sleep(LOOK)
        counters = peer.statistics()
        alone = not counters["links"]["links"]
        for name, what, doubt in (
            ("strangers", "of strangers", "does the topic, or its key, differ?"),
            ("refused", "of peers that are not allowed", "is the list of those that are (allow) complete?"),
        ):
            count = counters.get("transport", {}).get(name, 0)
            if count >= STRANGERS and name not in said:
                said[name] = None
                say(f"{count} connections {what}{', and no other' if alone else ''}: {doubt}")


def notify_supervisor(text: str) -> None:
    """Tell systemd, or whoever set $NOTIFY_SOCKET, how things are; see sd_notify(3)."""
    where = os.environ.get("NOTIFY_SOCKET")
    if not where:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.connect("\0" + where[1:] if where.startswith("@") else where)
            out.sendall(text.encode())
    except OSError as error:
        logger.warning("the supervisor at %s cannot be told: %s", where, error.strerror)
