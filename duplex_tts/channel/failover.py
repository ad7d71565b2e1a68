"""Keeps a session's way to the server open: a link, its successor, or HTTP."""

from __future__ import annotations

import asyncio
import logging

from duplex_tts.channel.http_channel import HttpAccess, HttpChannel
from duplex_tts.channel.resuming import ResumingConnection, Service
from duplex_tts.channel.session_state import Health
from duplex_tts.channel.websocket import Connection, Traffic
from duplex_tts.errors import ClientError, ConnectionLost, NoWebSocket
from duplex_tts.events import FellBack, Replaced, Returned, SessionEvent
from duplex_tts.options import Options

CHECK_S = 1.0  # how often it looks after its channels
RETRY_S = 15.0  # after a try to replace one that failed

log = logging.getLogger("duplex_tts")


class Failover:
    """Has a channel for what is spoken now; those before it end with what is in flight on them."""

    def __init__(self, url: str, key: str | None, options: Options) -> None:
        self.traffic = Traffic()
        self.health = Health()
        self.replaced = 0
        self.channel: ResumingConnection | HttpChannel | None = None
        self._url = url
        self._key = key
        self._options = options
        self._service = Service(
            self._dial,
            options.ping_timeout_s,
            options.give_up_s,
            self.health,
            self._tell,
            self._detour,
        )
        self._web: HttpAccess | None = None
        self._retired: list[ResumingConnection | HttpChannel] = []
        self._opening = asyncio.Lock()
        self._closed = False

    async def current(self) -> ResumingConnection | HttpChannel:
        """The channel for what is spoken now; a new one when the last one is lost.

        Raises what `Connection.open` raises, and `ConnectionLost` after `close`.
        """
        async with self._opening:
            if self._closed:
                raise ConnectionLost("the session is closed")
            if self.channel is None or self.channel.lost is not None:
                if self.channel is not None:
                    self._retired.append(self.channel)
                self.channel = await self._open()
            return self.channel

    async def look_after(self) -> None:
        """Replace what is old, return to a WebSocket, close what is over; until cancelled."""
        clock = asyncio.get_running_loop().time
        due_s = 0.0
        while True:
            await asyncio.sleep(CHECK_S)
            self._give_up_stuck(clock())
            await self._close_retired()
            if clock() >= due_s and self._outlived(clock()):
                due_s = clock() + RETRY_S
                await self._replace()

    async def close(self) -> None:
        """Close all channels. Safe to call twice."""
        self._closed = True
        for channel in [*self._retired, *([self.channel] if self.channel else [])]:
            await channel.close()
        if self._web is not None:
            await self._web.client.aclose()

    def _give_up_stuck(self, now_s: float) -> None:
        """A server may answer pings and be stuck all the same: nobody waits for it without end."""
        timeout_s = self._options.progress_timeout_s
        queued = now_s - self.health.progress_s < timeout_s
        for channel in [*self._retired, *([self.channel] if self.channel else [])]:
            for context in channel.contexts if channel.connected else ():
                if context.stuck_s(queued=queued) > timeout_s:
                    channel.give_up(context)

    async def _open(self) -> ResumingConnection | HttpChannel:
        give_up_s = self._options.give_up_s
        try:
            async with asyncio.timeout(give_up_s):
                return await self._open_either()
        except TimeoutError:
            raise ConnectionLost(
                f"no speech server answers at {self._url} within {give_up_s:g} s"
            ) from None

    async def _open_either(self) -> ResumingConnection | HttpChannel:
        try:
            return await ResumingConnection.open(self._service)
        except NoWebSocket as error:
            channel = await self._open_http(error)
            if channel is None:
                raise
            return channel

    async def _open_http(self, why: NoWebSocket) -> HttpChannel | None:
        if not self._options.fallback:
            return None
        self._web = self._web or HttpAccess.at(
            self._url, self._key, self.traffic, self._options.give_up_s
        )
        try:
            channel = await HttpChannel.open(self._web, self._service)
        except ConnectionLost:
            return None
        log.warning("%s; speech comes over HTTP, sentence by sentence", why)
        self._tell(FellBack(str(why)))
        return channel

    async def _detour(self, why: NoWebSocket) -> bool:
        """Whether what was in flight on the link, which cannot be opened again, goes over HTTP."""
        link = self.channel
        if not isinstance(link, ResumingConnection) or (http := await self._open_http(why)) is None:
            return False
        self._retired.append(link)
        self.channel = http
        for context in link.release():
            http.adopt(context)
        return True

    def _outlived(self, now_s: float) -> bool:
        if isinstance(self.channel, ResumingConnection):
            old = now_s - self.channel.opened_at_s > self._options.max_age_s
            return old and self.channel.lost is None
        return isinstance(self.channel, HttpChannel)

    async def _replace(self) -> None:
        """Open another link for what is spoken from now on. What is in flight stays where it is:
        nobody hears a gap.
        """
        before = self.channel
        assert before is not None, "there is something to replace"
        age_s = asyncio.get_running_loop().time() - before.opened_at_s
        try:
            link = await ResumingConnection.open(self._service)
        except ClientError:
            return
        if self.channel is not before or self._closed:  # others were quicker
            await link.close()
            return
        self._retired.append(before)
        self.channel = link
        if isinstance(before, ResumingConnection):
            self.replaced += 1
            self._tell(Replaced(age_s))
        else:
            log.warning("speech comes over a WebSocket again")
            self._tell(Returned())

    async def _close_retired(self) -> None:
        for channel in [each for each in self._retired if not each.contexts]:
            self._retired.remove(channel)
            await channel.close()

    async def _dial(self) -> Connection:
        return await Connection.open(self._url, self._key, self.traffic)

    def _tell(self, event: SessionEvent) -> None:
        log.debug("%s", event)
        if self._options.on_event is not None:
            # Not from here: what the application raises is not the session's.
            asyncio.get_running_loop().call_soon(self._options.on_event, event)
