"""Keeps a session with the server open; starts the server if it may, and connects again."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import urllib.request
from contextlib import suppress
from typing import Any

from duplex_tts.channel.address import authorization, http_url
from duplex_tts.errors import ClientError, ConnectionLost
from duplex_tts.options import Options
from duplex_tts.session import Session
from duplex_tts.speechd import server_start
from duplex_tts.speechd.module_config import ModuleConfig
from duplex_tts.speechd.server_voice import OfferedVoice, ServerVoice, VoiceOffer

RETRY_S = 0.5
_CONNECT_TIMEOUT_S = 3.0
_RESTART_AFTER_S = 30.0
"""A server that was started is not started again sooner."""

_OPTIONS = Options(give_up_s=1.0, max_in_flight=8, fallback=False, capacity_wait_s=1.0)
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerLink:
    """`voice` speaks while the server is there; None otherwise. Run `run` as a task."""

    def __init__(self, config: ModuleConfig) -> None:
        self.voice: ServerVoice | None = None
        self.problem = f"no speech server answers at {http_url(config.url, '')}"
        self._config = config
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        self._server: subprocess.Popen[bytes] | None = None
        self._started_s = -_RESTART_AFTER_S

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for the server; returns whether it is there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.voice is None:
                    self._changed.clear()
                    await self._changed.wait()
        return self.voice is not None

    def report_lost(self, error: ClientError) -> None:
        """Note that the server does not speak: the session is closed and opened again."""
        self.problem = str(error)
        self.voice = None
        self._lost.set()

    async def run(self) -> None:
        """Connect, and again whenever the server is lost, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    session = await Session.connect(self._config.url, self._config.key, _OPTIONS)
                await self._use_session(session)
            except (ClientError, TimeoutError, OSError) as error:
                self.problem = str(error) or self.problem
                if isinstance(error, ConnectionLost):
                    self._start_server()
            await asyncio.sleep(RETRY_S)

    async def _use_session(self, session: Session) -> None:
        """Offer the session until it is lost."""
        try:
            offer = await asyncio.to_thread(fetch_voices, self._config)
            self._lost.clear()
            self.voice = ServerVoice(session, offer)
            self._changed.set()
            await self._lost.wait()
        finally:
            self.voice = None
            await session.close()

    def _start_server(self) -> None:
        config, now_s = self._config, asyncio.get_running_loop().time()
        if not (config.start_server and server_start.can_start(config.url)):
            return
        if self._server is not None and self._server.poll() is None:
            return
        if now_s - self._started_s < _RESTART_AFTER_S:
            self.problem = f"the server does not start: {server_start.last_log_line()}"
            return
        self._started_s = now_s
        try:
            self._server = server_start.start_server(config.url)
        except OSError as error:
            self.problem = f"the server cannot be started: {error}"
        print(f"started a server for {config.url}", file=sys.stderr, flush=True)


def fetch_voices(config: ModuleConfig) -> VoiceOffer:
    """Ask the server for its voices. Blocks for seconds at most. Raises `OSError`."""
    request = urllib.request.Request(
        http_url(config.url, "/v1/voices"), headers=authorization(config.key)
    )
    try:
        with _NO_PROXY.open(request, timeout=_CONNECT_TIMEOUT_S) as response:
            body = json.load(response)
        voices = [_read_voice(voice) for voice in body["voices"]]
        default = str(body["default"])
    except (http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise OSError(f"{request.full_url} does not list voices: {error!r}") from error
    if config.voice is None or config.voice in {voice.name for voice in voices}:
        return VoiceOffer(config.voice or default, voices)
    problem = f"the server has no voice {config.voice!r} (`duplex-tts voices` lists them)"
    print(f"{problem}: {default} speaks", file=sys.stderr, flush=True)
    return VoiceOffer(default, voices)


def _read_voice(voice: dict[str, Any]) -> OfferedVoice:
    languages = (voice["language"], *voice["other_languages"])
    return OfferedVoice(voice["name"], languages, bool(voice["ready"]))
