"""A stream of LiveKit Agents: the tokens of one answer in, frames with timed words out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from livekit.agents import APIConnectOptions, tts, utils
from livekit.agents.voice.io import TimedString

from duplex_tts.agents.kept_session import KeptSession
from duplex_tts.agents.speech import Speech
from duplex_tts.channel.context import Parameters
from duplex_tts.livekit.api_errors import translated_errors

if TYPE_CHECKING:
    from duplex_tts.livekit.voice import TTS

SPEECH_KEY = "duplex_tts.speech"
"""Key of a frame's `userdata`: the `Speech` that it is of."""

SILENT_MS = 20  # sent for a text without sound: LiveKit takes no audio for a failure


class SpeechStream(tts.SynthesizeStream):
    """Speaks tokens as they are pushed; create it by `TTS.stream`.

    `speech`: from the first token on.
    """

    def __init__(
        self,
        voice: TTS,
        session: KeptSession,
        parameters: Parameters,
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(tts=voice, conn_options=conn_options)
        self._session = session
        self._parameters = parameters
        self._sample_rate_hz = voice.sample_rate
        self._deadline = asyncio.timeout(None)  # of the first audio
        self.speech: Speech | None = None

    async def retract(self, to: int = 0) -> str:
        """Take back the text from offset `to` on, as far as it is not being spoken.

        More may be pushed after it. Returns the text that stays.
        """
        return await self.speech.retract(to) if self.speech else ""

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=self._sample_rate_hz,
            num_channels=1,
            mime_type="audio/pcm",
            stream=True,
        )
        async with aclosing(self._read_input()) as tokens:
            first = await anext(tokens, None)
            if first is None:
                return
            with translated_errors():
                async with asyncio.timeout(self._conn_options.timeout):
                    speech = await self._session.start_speech(self._parameters)
                self.speech = speech
                try:
                    await self._speak(speech, first, tokens, output_emitter)
                finally:
                    speech.cancel()

    async def _read_input(self) -> AsyncGenerator[str | None, None]:
        """Yield the tokens from the first with text on; None: a flush."""
        started = False
        async for item in self._input_ch:
            started = started or isinstance(item, str)
            if started:
                yield item if isinstance(item, str) else None

    async def _speak(
        self,
        speech: Speech,
        first: str,
        tokens: AsyncIterator[str | None],
        emitter: tts.AudioEmitter,
    ) -> None:
        emitter.start_segment(segment_id=speech.id)
        self._mark_started()
        self._deadline = asyncio.timeout(None)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(speech, first, tokens))
                await self._receive(speech, emitter)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _send(self, speech: Speech, first: str, tokens: AsyncIterator[str | None]) -> None:
        await speech.push(first)
        async for token in tokens:
            if token is None:
                await speech.flush()
            else:
                await speech.push(token)
        await speech.end()
        if not speech.audio_ms:
            loop = asyncio.get_running_loop()
            self._deadline.reschedule(loop.time() + self._conn_options.timeout)

    async def _receive(self, speech: Speech, emitter: tts.AudioEmitter) -> None:
        async with self._deadline:
            async for audio in speech:
                self._deadline.reschedule(None)
                emitter.push_timed_transcript(
                    [
                        TimedString(part.text, part.start_ms / 1000, part.end_ms / 1000)
                        for part in speech.timed_text(audio)
                    ]
                )
                if audio.data:
                    emitter.push(audio.data)
        if not speech.audio_ms:
            emitter.push(bytes(2 * self._sample_rate_hz * SILENT_MS // 1000))

    async def __anext__(self) -> tts.SynthesizedAudio:
        """Wait for the next frame; it names its speech, for `FollowedOutput`."""
        event = await super().__anext__()
        if self.speech is not None:
            event.frame.userdata[SPEECH_KEY] = self.speech
        return event
