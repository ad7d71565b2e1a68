"""Runs an agent of LiveKit Agents as in a call: a scripted model, a real-time loudspeaker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, llm
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT
from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities, TextOutput
from livekit.agents.voice.transcription import TranscriptSynchronizer

from duplex_tts.agents.playback_clock import PlaybackClock
from tests.interop.listening import AudioClip, decode


class ScriptedModel(llm.LLM):
    """Answers with these tokens, one every `period_s`. `pauses`: seconds before some of them."""

    def __init__(self, tokens: Sequence[str], period_s: float = 0.0) -> None:
        super().__init__()
        self.tokens = tokens
        self.period_s = period_s
        self.pauses: dict[int, float] = {}
        self.first_token_s = 0.0
        self.seen_contexts: list[llm.ChatContext] = []

    def chat(self, *, chat_ctx: llm.ChatContext, tools: Any = None, **options: Any) -> Any:
        self.seen_contexts.append(chat_ctx.copy())
        return _ScriptedStream(
            self, chat_ctx=chat_ctx, tools=tools or [], conn_options=options["conn_options"]
        )


class _ScriptedStream(llm.LLMStream):
    async def _run(self) -> None:
        model: Any = self._llm
        model.first_token_s = time.perf_counter()
        for number, token in enumerate(model.tokens):
            await asyncio.sleep(model.pauses.get(number, 0.0))
            delta = llm.ChoiceDelta(role="assistant", content=token)
            self._event_ch.send_nowait(llm.ChatChunk(id="scripted", delta=delta))
            await asyncio.sleep(model.period_s)


class Loudspeaker(AudioOutput):
    """Plays in real time, as the room's output does, and keeps what was played."""

    def __init__(self, sample_rate_hz: int = 24000, *, can_pause: bool = True) -> None:
        super().__init__(
            label="Loudspeaker",
            capabilities=AudioOutputCapabilities(pause=can_pause),
            sample_rate=sample_rate_hz,
        )
        self.rate_hz = sample_rate_hz
        self.words: list[tuple[str, float]] = []  # with start times in seconds
        self.first_audio_s: float | None = None
        self.silent_s: float | None = None
        self.played_ms = 0.0
        self.heard = asyncio.Event()
        """Set when the latest answer is over."""
        self._pcm = bytearray()
        self._clock = PlaybackClock()
        self._end: asyncio.TimerHandle | None = None

    @property
    def is_playing(self) -> bool:
        return bool(self._pcm) and not self.heard.is_set()

    @property
    def playing_ms(self) -> float:
        """How much of the current answer was played by now."""
        return self._clock.played_ms

    @property
    def clip(self) -> AudioClip:
        """What was played of the latest answer."""
        size = 2 * int(self.played_ms * self.rate_hz / 1000)
        return decode(bytes(self._pcm[:size]), "s16le", self.rate_hz)

    async def wait_playing(self, ms: float) -> None:
        """Wait until so much of an answer was played."""
        async with asyncio.timeout(30):
            while not (self.is_playing and self.playing_ms >= ms):  # noqa: ASYNC110 - a real-time clock
                await asyncio.sleep(0.005)

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        if not self.is_playing:
            self._start_answer()
        await super().capture_frame(frame)
        self._pcm += bytes(frame.data)
        self._clock.add(frame.duration * 1000)
        timed = frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
        self.words += [(str(word), word.start_time) for word in timed]

    def flush(self) -> None:
        super().flush()
        if self.is_playing:
            self._wait_played()

    def clear_buffer(self) -> None:
        if self.is_playing:
            self._finish(interrupted=True)

    def pause(self) -> None:
        super().pause()
        self._clock.pause()

    def resume(self) -> None:
        super().resume()
        self._clock.run()

    def _start_answer(self) -> None:
        self._pcm.clear()
        self.words.clear()
        self._clock = PlaybackClock()
        self._clock.run()
        self.heard.clear()
        self.first_audio_s = time.perf_counter()
        self.on_playback_started(created_at=time.time())

    def _wait_played(self) -> None:
        buffered_s = self._clock.buffered_ms / 1000
        if buffered_s <= 0.001:
            self._finish(interrupted=False)
        else:
            loop = asyncio.get_running_loop()
            self._end = loop.call_later(max(0.005, buffered_s), self._wait_played)

    def _finish(self, *, interrupted: bool) -> None:
        if self._end is not None:
            self._end.cancel()
        self.played_ms = self._clock.played_ms
        self.silent_s = time.perf_counter()
        self.heard.set()
        self.on_playback_finished(playback_position=self.played_ms / 1000, interrupted=interrupted)


class Transcript(TextOutput):
    """Keeps the transcript that a user would see."""

    def __init__(self) -> None:
        super().__init__(label="Transcript", next_in_chain=None)
        self.text = ""

    async def capture_text(self, text: str) -> None:
        self.text += text

    def flush(self) -> None: ...


class AgentCall:
    """A running `AgentSession`, its model, loudspeaker and transcript."""

    def __init__(self, session: AgentSession, model: ScriptedModel, speaker: Loudspeaker) -> None:
        self.session = session
        self.model = model
        self.speaker = speaker
        self.errors: list[Any] = []
        session.on("error", lambda event: self.errors.append(event.error))

    @property
    def answers(self) -> list[llm.ChatMessage]:
        """The agent's messages in the chat context: what the model will be told it has said."""
        return [
            item
            for item in self.session.history.items
            if item.type == "message" and item.role == "assistant"
        ]

    async def ask(self) -> None:
        """Let the agent answer, and wait until it was heard."""
        await self.session.generate_reply(user_input="Tell me.")

    async def interrupt_after(self, played_ms: float) -> float:
        """Ask, and interrupt when so much was played. Returns the seconds until silence."""
        handle = self.session.generate_reply(user_input="Tell me.")
        await self.speaker.wait_playing(played_ms)
        interrupted_s = time.perf_counter()
        await self.session.interrupt()
        await self.speaker.heard.wait()
        await handle
        assert self.speaker.silent_s is not None
        return self.speaker.silent_s - interrupted_s


@asynccontextmanager
async def agent_call(
    voice: Any, model: ScriptedModel, *, aligned: bool = True, speaker: Loudspeaker | None = None
) -> AsyncIterator[AgentCall]:
    """Run an agent with this voice; its outputs are synchronised as in a room."""
    speaker = speaker or Loudspeaker()
    sync = TranscriptSynchronizer(next_in_chain_audio=speaker, next_in_chain_text=Transcript())
    session: AgentSession = AgentSession(llm=model, tts=voice, use_tts_aligned_transcript=aligned)
    session.output.audio = sync.audio_output
    session.output.transcription = sync.text_output
    await session.start(Agent(instructions="Answer."))
    try:
        yield AgentCall(session, model, speaker)
    finally:
        await session.aclose()
        await sync.aclose()
        await voice.aclose()
