"""The text-to-speech plugin for LiveKit Agents."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Unpack

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, AgentSession, APIConnectOptions, tts

from duplex_tts.agents.kept_session import KeptSession, check_speech_parameters
from duplex_tts.channel.address import DEFAULT_URL
from duplex_tts.channel.context import Parameters
from duplex_tts.errors import ClientError
from duplex_tts.livekit.followed_output import FollowedOutput
from duplex_tts.livekit.stream import SpeechStream
from duplex_tts.options import Options

SAMPLE_RATE_HZ = 24_000

log = logging.getLogger(__name__)


class TTS(tts.TTS):
    """Speaks an agent's answers; one session is kept for the whole call.

    `url`: of the server. `key`: its API key, if it requires one. `options`: of the session.
    `parameters`: of `Session.speak`, such as `voice`, `speed` or `lexicon`.

    Emits `heard` with a `Heard` after each answer of a followed session (see `follow`).
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        options: Options | None = None,
        **parameters: Unpack[Parameters],
    ) -> None:
        check_speech_parameters(parameters)
        self._sample_rate_hz = parameters.get("sample_rate") or SAMPLE_RATE_HZ
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True, aligned_transcript=True),
            sample_rate=self._sample_rate_hz,
            num_channels=1,
        )
        self._parameters = parameters
        self._kept = KeptSession(url, key, options)
        self._streams: weakref.WeakSet[SpeechStream] = weakref.WeakSet()
        self._latest: weakref.ref[SpeechStream] | None = None
        self._prewarming: asyncio.Task[None] | None = None

    @property
    def sample_rate(self) -> int:
        """The rate of the frames in Hz: that of the followed output, if there is one."""
        return self._sample_rate_hz

    @property
    def model(self) -> str:
        """The voice, if one was chosen."""
        return self._parameters.get("voice") or "default"

    @property
    def provider(self) -> str:
        """For metrics and traces."""
        return "duplex-tts"

    def follow(self, session: AgentSession) -> None:
        """Follow what is played in `session`; call it once, after `await session.start(...)`.

        After an interruption the message in the chat context then ends with the last word that was
        heard, and the server is told what was played. The plugin adopts the sample rate of the
        session's audio output. Raises `RuntimeError` if the session has none yet.
        """
        output = session.output.audio
        if output is None:
            raise RuntimeError(
                "the session has no audio output yet: call follow after `await session.start(...)`"
            )
        if not isinstance(output, FollowedOutput):
            session.output.audio = FollowedOutput(output, lambda heard: self.emit("heard", heard))
        self._sample_rate_hz = output.sample_rate or self._sample_rate_hz

    def update_options(self, **parameters: Unpack[Parameters]) -> None:
        """Change parameters from the next answer on. Raises what the constructor raises."""
        check_speech_parameters(parameters)
        self._parameters = {**self._parameters, **parameters}
        self._sample_rate_hz = parameters.get("sample_rate") or self._sample_rate_hz

    def prewarm(self) -> None:
        """Open the session, so that the first answer needs no handshake. Does not wait."""
        if self._prewarming is None and not self._kept.is_open:
            self._prewarming = asyncio.create_task(self._open_session(), name="duplex-tts-prewarm")

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak a whole text."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> SpeechStream:
        """Speak a text while it is written."""
        parameters: Parameters = {**self._parameters, "sample_rate": self.sample_rate}
        stream = SpeechStream(self, self._kept, parameters, conn_options)
        self._streams.add(stream)
        self._latest = weakref.ref(stream)
        return stream

    async def retract(self, to: int = 0) -> str:
        """Take back the text of the latest answer from offset `to` on, unless it is being spoken.

        For text that must not be said after all, say by a check of the model's output. Returns the
        text that stays.
        """
        stream = self._latest() if self._latest else None
        return await stream.retract(to) if stream else ""

    async def aclose(self) -> None:
        """Cancel all speech and close the session."""
        for stream in list(self._streams):
            await stream.aclose()
        if self._prewarming is not None:
            self._prewarming.cancel()
            await asyncio.wait([self._prewarming])
            self._prewarming = None
        await self._kept.close()

    async def _open_session(self) -> None:
        try:
            await self._kept.open()
        except ClientError as error:
            log.warning("the first answer will be late: %s", error)
        finally:
            self._prewarming = None
