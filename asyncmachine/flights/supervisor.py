"""The whole demo: keys, the observer's peer and history, the fleet, and its end; then the report."""

from __future__ import annotations

import resource
import secrets
import signal
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import trio

import asyncmachine as am
from asyncmachine.flights.belief import Kept
from asyncmachine.flights.data import HOUR, MINUTE, Leg
from asyncmachine.flights.fleet import Fleet
from asyncmachine.flights.observe import Tower
from asyncmachine.flights.process import Job, peak_memory
from asyncmachine.flights.replay import Plan
from asyncmachine.flights.report import Cost, Report, Spent, ask
from asyncmachine.flights.view import Scene, Screen
from asyncmachine.mirror_log import Pace
from asyncmachine.observer import Observer, open_observer
from graph.graph import increasing
from graph.recorder import open_graph
from history.log import LogRow
from pubsub.keys import read_identity
from pubsub.names import peer_id_of

STEP = 30 * MINUTE  # at full speed
SECONDS = 0.15  # s that a step takes at least at a speed: a peer publishes ten times a second at most
AHEAD_OF_OBSERVER = 8  # steps at full speed
SLACK = 5.0  # s that airports may be ahead of the observer at a speed
PACE = Pace(floor=0.05)  # of the observer: airports wait for it
GRAPH = 0.5  # s that a change of the graph may wait: one commit for many of them
KEEP = 20_000  # changes of it that are remembered beside the database; what is old goes in large steps
PATIENCE = 10.0  # s that the last rows may take to come, after an interruption


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is to be replayed, and how.

    Attributes:
        legs: the flights.
        speed: replayed seconds a second; None: as fast as can be, in steps.
        url: of the observer's history.
        listen: where all peers listen.
        began: the reading of the monotonic clock when the program began.
        kept: of which machines of others each airport keeps what it believes.
        page: serves the page of the observer for as long as its block lasts, and yields the URL; None: there is none.
    """

    legs: tuple[Leg, ...]
    speed: float | None
    url: str
    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    began: float = 0.0
    kept: Kept = "airports"
    page: Callable[[am.History, am.Peer, Tower], AbstractAsyncContextManager[str]] | None = None

    @property
    def step(self) -> int:
        """The length of a step, ns: whole minutes."""
        if self.speed is None:
            return STEP
        return max(-(-int(self.speed * SECONDS * 10**9) // MINUTE), 1) * MINUTE


async def run(settings: Settings, screen: Screen) -> Report:
    """Replay it all, and return what the observer has learned; sooner if interrupted (SIGINT, SIGTERM, SIGHUP).

    Raises:
        FleetError: an airport cannot go on.
        HistoryError, PubsubError: the observer cannot begin.
    """
    plan = Plan(settings.legs, settings.step)
    with tempfile.TemporaryDirectory(prefix="am-demo-") as name:
        span = plan.end - plan.start
        async with am.open_history(settings.url, now=lambda: plan.end, max_skew=span + HOUR) as store:
            show, seconds, complete = await _play(settings, screen, store, plan, Path(name))
            replayed, cost = show.tower.replayed, _cost(settings, show, seconds, complete)
            with trio.CancelScope(shield=True):
                return await ask(store, show.tower.owners, start=plan.start, end=plan.end, replayed=replayed, cost=cost)
    raise AssertionError("no context manager here keeps an error to itself")


async def _play(
    settings: Settings, screen: Screen, store: am.History, plan: Plan, folder: Path
) -> tuple[_Show, float, bool]:
    codes = sorted({leg.origin for leg in settings.legs})
    airports = {code: _make_key(folder / f"{code}.key") for code in codes}
    key_file = folder / "observer.key"
    observer, topic, topic_key = _make_key(key_file), f"flights-{secrets.token_hex(4)}", secrets.token_bytes(32)
    async with am.open_peer(
        topic, key_file=key_file, listen=settings.listen, allow=list(airports.values()), topic_key=topic_key
    ) as peer:
        jobs = [
            Job(
                code=code,
                legs=tuple(leg for leg in settings.legs if leg.origin == code),
                plan=plan,
                speed=settings.speed,
                folder=folder,
                topic=topic,
                topic_key=topic_key,
                connect=tuple(peer.addresses),
                listen=settings.listen,
                others=tuple(other for other in airports.values() if other != airports[code]),
                observer=observer,
                ahead=1 if settings.speed is None else None,
                ahead_of_observer=_ahead(settings),
                kept=settings.kept,
            )
            for code in codes
        ]
        show = _Show(store, peer, plan, airports, jobs)
        async with AsyncExitStack() as stack:
            if settings.page is not None:
                url = await stack.enter_async_context(settings.page(store, peer, show.tower))
                screen.say(f"The page, with all of it as it is and was: {url}")
            seconds, complete = await show.play(screen)
        await peer.leave()
    return show, seconds, complete


def _make_key(path: Path) -> str:
    return peer_id_of(read_identity(path).owner)


def _ahead(settings: Settings) -> int:
    if settings.speed is None:
        return AHEAD_OF_OBSERVER
    return max(int(SLACK * settings.speed * 10**9 / settings.step), 1)


class _Show:
    """One run of it."""

    def __init__(self, store: am.History, peer: am.Peer, plan: Plan, airports: dict[str, str], jobs: list[Job]) -> None:
        self.store = store
        self.peer = peer
        self.plan = plan
        self.tower = Tower(store, peer, airports, plan)
        self.fleet = Fleet(jobs, lambda code: self.tower.airports[code].steps, self._believe)
        self.believed = 0  # rows of what airports believed
        self._interrupted = trio.Event()
        self._hurried = trio.Event()

    async def play(self, screen: Screen) -> tuple[float, bool]:
        """Run it; return how many seconds it took, and whether nothing is missing."""
        peer, fleet, tower = self.peer, self.fleet, self.tower
        peer.expose(tower.clock)
        complete = True
        began = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear_signals)
                observer = await nursery.start(self._observe)
                await nursery.start(self._keep_graph)
                nursery.start_soon(tower.run)
                nursery.start_soon(fleet.run)
                nursery.start_soon(screen.run, Scene(self.plan, fleet, tower, peer))
                if await self._unless_interrupted(fleet.ready):
                    screen.say(_processes(fleet))
                    began = trio.current_time()
                    await fleet.go()
                    await self._unless_interrupted(tower.finished.wait)
                seconds = trio.current_time() - began
                if self._interrupted.is_set():
                    complete = await self._collect(observer)
                await fleet.leave()
                nursery.cancel_scope.cancel()
        finally:
            await fleet.leave(0)
        return seconds, complete

    async def _believe(self, owner: str, rows: Sequence[LogRow]) -> None:
        stored = await self.store.journals.take(owner, rows)
        self.believed += stored.rows  # in a line of its own: several airports tell at the same time

    async def _observe(self, *, task_status: trio.TaskStatus[Observer] = trio.TASK_STATUS_IGNORED) -> None:
        async with open_observer(self.store, self.peer, pace=PACE) as observer:
            task_status.started(observer)
            await trio.sleep_forever()

    async def _keep_graph(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Record who is connected, who has whose machines, and what leads where, by the replayed time."""
        stamp = increasing(self.tower.heard)
        async with open_graph(self.store, peer=self.peer, states=False, stamp=stamp, interval=GRAPH, keep=KEEP):
            task_status.started()
            await trio.sleep_forever()

    async def _collect(self, observer: Observer) -> bool:
        """Let the airports stop, and have what happened until then; tell whether that is all of it."""
        with trio.move_on_after(PATIENCE) as deadline:
            if not await self.fleet.stop():
                return False
            await self._until_hurried(observer.complete)
        return not deadline.cancelled_caught and not self._hurried.is_set()

    # -- interruptions

    async def _hear_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                (self._hurried if self._interrupted.is_set() else self._interrupted).set()

    async def _unless_interrupted(self, wait: Callable[[], Awaitable[object]]) -> bool:
        """Wait for something or an interruption; tell whether it was not the latter."""
        await _first(wait, self._interrupted.wait)
        return not self._interrupted.is_set()

    async def _until_hurried(self, wait: Callable[[], Awaitable[object]]) -> None:
        await _first(wait, self._hurried.wait)


async def _first(*waits: Callable[[], Awaitable[object]]) -> None:
    """Wait until one of them is over."""
    async with trio.open_nursery() as nursery:

        async def end(wait: Callable[[], Awaitable[object]]) -> None:
            await wait()
            nursery.cancel_scope.cancel()

        for wait in waits:
            nursery.start_soon(end, wait)


def _processes(fleet: Fleet) -> str:
    each = ", ".join(f"{code} {airport.pid}" for code, airport in fleet.airports.items())
    return f"The airports' processes: {each}. One that is killed comes back."


def _cost(settings: Settings, show: _Show, seconds: float, complete: bool) -> Cost:
    tower = show.tower
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peers = {
        code: Spent(airport.spent["cpu"], int(airport.spent["memory"]))
        for code, airport in show.fleet.airports.items()
        if airport.spent
    }
    peers["observer"] = Spent(usage.ru_utime + usage.ru_stime, peak_memory())

    def since(at: float | None) -> float | None:
        return None if at is None else at - settings.began

    return Cost(
        seconds=seconds,
        first_replica=since(tower.first_replica),
        all_replicas=since(tower.all_replicas),
        latency=(tower.latency(0.5), tower.latency(0.99)),
        peers=peers,
        restarts=sum(airport.lives - 1 for airport in show.fleet.airports.values()),
        complete=complete,
        believed=show.believed,
    )
