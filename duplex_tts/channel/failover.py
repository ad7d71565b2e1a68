"""Chooses the channel of a session: a WebSocket, its replacement, or HTTP as the fallback."""

from __future__ import annotations

import asyncio
import logging

from duplex_tts.channel.channel_config import ChannelConfig
from duplex_tts.channel.direct import AvoidedAddresses, DirectAccess
from duplex_tts.channel.http_channel import HttpAccess, HttpChannel
from duplex_tts.channel.resuming import ResumingConnection
from duplex_tts.channel.session_state import Health
from duplex_tts.channel.websocket import Traffic, WebSocketConnection
from duplex_tts.errors import ClientError, ConnectionLost, NoWebSocket
from duplex_tts.events import FellBack, Replaced, Returned, SessionEvent
from duplex_tts.options import Options

CHECK_S = 1.0  # interval of the maintenance
RETRY_S = 15.0  # interval of the attempts to replace a channel

log = logging.getLogger("duplex_tts")


class Failover:
    """Holds the current channel; former ones stay open until their contexts have ended."""

    def __init__(
        self, url: str, key: str | None, options: Options, avoided: AvoidedAddresses
    ) -> None:
        self.traffic = Traffic()
        self.health = Health()
        self.replaced = 0
        self.channel: ResumingConnection | HttpChannel | None = None
        self._url = url
        self._key = key
        self._options = options
        self._config = ChannelConfig(
            self._open_websocket,
            options.ping_timeout_s,
            options.give_up_s,
            self.health,
            self._notify,
            self._fall_back,
            DirectAccess(url, key, self.traffic, avoided),
            options.capacity_wait_s,
        )
        self._http_access: HttpAccess | None = None
        self._retired: list[ResumingConnection | HttpChannel] = []
        self._opening = asyncio.Lock()
        self._closed = False

    async def current_channel(self) -> ResumingConnection | HttpChannel:
        """Return the channel for new contexts; opens one if there is none or it is lost.

        Raises what `WebSocketConnection.open` raises, and `ConnectionLost` after `close_channels`.
        """
        async with self._opening:
            if self._closed:
                raise ConnectionLost("the session is closed")
            if self.channel is None or self.channel.lost is not None:
                if self.channel is not None:
                    self._retired.append(self.channel)
                self.channel = await self._open_channel()
            return self.channel

    async def run_maintenance(self) -> None:
        """Fail stuck contexts, close unused channels, replace an old or an HTTP channel; until
        cancelled.
        """
        clock = asyncio.get_running_loop().time
        due_s = 0.0
        while True:
            await asyncio.sleep(CHECK_S)
            self._fail_stuck_contexts(clock())
            await self._close_retired()
            if clock() >= due_s and self._needs_replacing(clock()):
                due_s = clock() + RETRY_S
                await self._replace_channel()

    async def close_channels(self) -> None:
        """Close all channels. Safe to call twice."""
        self._closed = True
        for channel in [*self._retired, *([self.channel] if self.channel else [])]:
            await channel.close()
        if self._http_access is not None:
            await self._http_access.client.aclose()

    def _fail_stuck_contexts(self, now_s: float) -> None:
        """Fail contexts without progress: a server that answers pings may still be stuck."""
        timeout_s = self._options.progress_timeout_s
        queued = now_s - self.health.progress_s < timeout_s
        for channel in [*self._retired, *([self.channel] if self.channel else [])]:
            for context in channel.contexts if channel.connected else ():
                if context.overdue_s(queued=queued) > timeout_s:
                    channel.fail_without_progress(context)

    async def _open_channel(self) -> ResumingConnection | HttpChannel:
        give_up_s = self._options.give_up_s
        try:
            async with asyncio.timeout(give_up_s):
                return await self._open_websocket_or_http()
        except TimeoutError:
            raise ConnectionLost(
                f"no speech server answers at {self._url} within {give_up_s:g} s"
            ) from None

    async def _open_websocket_or_http(self) -> ResumingConnection | HttpChannel:
        try:
            return await ResumingConnection.open(self._config)
        except NoWebSocket as error:
            channel = await self._open_http(error)
            if channel is None:
                raise
            return channel

    async def _open_http(self, why: NoWebSocket) -> HttpChannel | None:
        if not self._options.fallback:
            return None
        self._http_access = self._http_access or HttpAccess.at(
            self._url, self._key, self.traffic, self._options.give_up_s
        )
        try:
            channel = await HttpChannel.open(self._http_access, self._config)
        except ConnectionLost:
            return None
        log.warning("%s; speech comes over HTTP, sentence by sentence", why)
        self._notify(FellBack(str(why)))
        return channel

    async def _fall_back(self, why: NoWebSocket) -> bool:
        """Move the open contexts to HTTP; returns False if it is not possible."""
        former = self.channel
        if not isinstance(former, ResumingConnection):
            return False
        http = await self._open_http(why)
        if http is None:
            return False
        self._retired.append(former)
        self.channel = http
        for context in former.detach_contexts():
            http.adopt_context(context)
        return True

    def _needs_replacing(self, now_s: float) -> bool:
        if isinstance(self.channel, ResumingConnection):
            old = now_s - self.channel.opened_at_s > self._options.max_age_s
            return old and self.channel.lost is None
        return isinstance(self.channel, HttpChannel)

    async def _replace_channel(self) -> None:
        """Open a WebSocket for new contexts. Open contexts stay on the former channel, so that
        they have no gap.
        """
        former = self.channel
        assert former is not None, "there is no channel to replace"
        age_s = asyncio.get_running_loop().time() - former.opened_at_s
        try:
            connection = await ResumingConnection.open(self._config)
        except ClientError:
            return
        if self.channel is not former or self._closed:  # replaced or closed meanwhile
            await connection.close()
            return
        self._retired.append(former)
        self.channel = connection
        if isinstance(former, ResumingConnection):
            self.replaced += 1
            self._notify(Replaced(age_s))
        else:
            log.warning("speech comes over a WebSocket again")
            self._notify(Returned())

    async def _close_retired(self) -> None:
        for channel in [retired for retired in self._retired if not retired.contexts]:
            self._retired.remove(channel)
            await channel.close()

    async def _open_websocket(self, *, resumes: bool) -> WebSocketConnection:
        return await WebSocketConnection.open(self._url, self._key, self.traffic, resumes=resumes)

    def _notify(self, event: SessionEvent) -> None:
        log.debug("%s", event)
        if self._options.on_event is not None:
            # Called later: exceptions of the application must not end the session.
            asyncio.get_running_loop().call_soon(self._options.on_event, event)
