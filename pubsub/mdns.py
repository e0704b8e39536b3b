"""mDNS: peers on one local network find each other without an address to begin with, by `pubsub.announcement`s.

zeroconf runs on asyncio in a thread of its own, which knows nothing of the peer: what it hears comes to trio by a
channel, and it is told to stop by an event. It is imported in that thread, and this module by whoever wants mDNS. IPv4
multicast only.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio
import trio.lowlevel

from pubsub.announcement import (
    SERVICE,
    MdnsCounts,
    Properties,
    digest_of,
    ip_of,
    properties_of,
    read_announcement,
    worth_telling,
)
from pubsub.errors import WireError
from pubsub.identity import Domain
from pubsub.names import peer_id_of

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf

MAX_WAITING: Final = 64  # announcements that wait for trio, and names that are being looked up
LOOK_UP: Final = 3000  # ms
CLOSING: Final = 2.0  # s that the thread gets for its goodbye; it takes 0.25

logger = logging.getLogger("asyncmachine.pubsub")

Found = Callable[[bytes, Sequence[str]], object]


async def discover(owner: bytes, domain: Domain, addresses: Sequence[str], found: Found, counts: MdnsCounts) -> None:
    """Announce a peer, and tell whom of its topic it hears, until cancelled; that takes at most `CLOSING`.

    Where mDNS is not possible this is said in the log, and then it just waits.

    Args:
        owner: whose peer it is, by public key.
        domain: only peers of the same topic and key are told of.
        addresses: where the peer listens; if nowhere, it only listens to others.
        found: is called in the trio thread, with the owner and the addresses of a peer, as often as it is heard.
        counts: what is heard and refused.
    """
    peer_id, digest = peer_id_of(owner), digest_of(domain)
    into, out = trio.open_memory_channel[tuple[str, Properties] | None](MAX_WAITING)
    thread = _Thread(peer_id, properties_of(domain, told) if (told := worth_telling(addresses)) else {}, into, counts)
    thread.start()
    try:
        async for heard in out:
            if heard is None:
                logger.warning("%s is not found by mDNS, and finds nobody: %s", peer_id, thread.trouble)
                continue
            try:
                announced = read_announcement(*heard, digest)
            except WireError:
                counts.garbled += 1
                continue
            if announced is None:
                counts.other_topic += 1
            elif announced[0] != owner:
                counts.heard += 1
                found(*announced)
    finally:
        thread.stop()
        with trio.CancelScope(shield=True), trio.move_on_after(CLOSING):
            await thread.ended.wait()
        if thread.ended.is_set():
            thread.join()  # at once: that was the last it did
        else:
            logger.warning("%s: mDNS does not end within %.0f s; it is left to itself", peer_id, CLOSING)


class _Thread(threading.Thread):
    """zeroconf, and the asyncio that it needs.

    Attributes:
        ended: is set in trio when nothing is left but to join it.
        trouble: why it does not work; "" while it does.
    """

    def __init__(
        self,
        peer_id: str,
        properties: dict[str, str],
        into: trio.MemorySendChannel[tuple[str, Properties] | None],
        counts: MdnsCounts,
    ) -> None:
        super().__init__(name=f"mDNS of {peer_id}", daemon=True)
        self.ended = trio.Event()
        self.trouble = ""
        self._peer_id = peer_id
        self._properties = properties
        self._into = into
        self._counts = counts
        self._token = trio.lowlevel.current_trio_token()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._halt = asyncio.Event()
        self._stopping = False
        self._looking: dict[asyncio.Task[None], None] = {}

    # -- in trio's thread

    def stop(self) -> None:
        """Ask it to say goodbye and end."""
        self._stopping = True  # first: the thread looks at it after it has set the loop
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._halt.set)

    def _hand_on(self, heard: tuple[str, Properties] | None) -> None:
        # must not raise, as trio would end
        try:
            self._into.send_nowait(heard)
        except trio.WouldBlock:
            self._counts.crowded += 1
        except trio.BrokenResourceError:
            pass  # it ends

    def _note_crowded(self) -> None:
        self._counts.crowded += 1

    def _note_garbled(self) -> None:
        self._counts.garbled += 1

    # -- in its own

    def run(self) -> None:
        """Live until told to stop. It raises nothing."""
        try:
            asyncio.run(self._live())
        except Exception as error:  # the network is as it is, and a peer does without this
            self.trouble = str(error) or repr(error)
            self._tell(lambda: self._hand_on(None))
        finally:
            self._tell(self.ended.set)

    def _tell(self, what: Callable[[], object]) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(what)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stopping:
            return
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

        everything, browser = AsyncZeroconf(), None
        try:
            await everything.zeroconf.async_wait_for_start()
            if not everything.zeroconf.engine.senders:
                raise OSError("no interface takes part in multicast")
            browser = AsyncServiceBrowser(everything.zeroconf, SERVICE, handlers=[self._changed])
            if self._properties:
                hosts = [ip for key, address in self._properties.items() if key != "topic" and (ip := ip_of(address))]
                service = AsyncServiceInfo(
                    SERVICE,
                    f"{self._peer_id}.{SERVICE}",
                    port=int(self._properties["a0"].split("/")[4]),
                    properties=self._properties,
                    server=f"{self._peer_id}.local.",
                    parsed_addresses=hosts,
                )
                # No probing for the name, which the key makes this peer's own: its last life may just have crashed.
                await (await everything.async_register_service(service, cooperating_responders=True))
            await self._halt.wait()
        finally:
            for task in self._looking:
                task.cancel()
            await asyncio.gather(*self._looking, return_exceptions=True)
            if browser is not None:  # its task, if that has not begun yet, would complain on stderr
                await browser.async_cancel()
            await everything.async_close()

    def _changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change.name == "Removed" or name == f"{self._peer_id}.{SERVICE}":
            return
        if len(self._looking) >= MAX_WAITING:
            self._tell(self._note_crowded)
            return
        task = asyncio.ensure_future(self._look_up(zeroconf, name))
        self._looking[task] = None
        task.add_done_callback(self._looked_up)

    def _looked_up(self, task: asyncio.Task[None]) -> None:
        self._looking.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            self._tell(self._note_garbled)

    async def _look_up(self, zeroconf: Zeroconf, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        info = AsyncServiceInfo(SERVICE, name)
        if await info.async_request(zeroconf, LOOK_UP):
            heard = name, dict(info.properties)
            self._tell(lambda: self._hand_on(heard))
