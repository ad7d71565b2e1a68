"""One context: an ordered stream of text to speech, from the script to the delivery.

The session calls the methods named after commands; they never wait. The context's own task, `run`,
asks the pacer what to release, lets the engine speak it, and delivers the audio.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from backend.audio.formats import parse_format
from backend.audio.loudness import parse_volume
from backend.config import Settings
from backend.engines.base import Chunk, Release
from backend.errors import DuplexError, EngineDead, TextLimit
from backend.events import Audio, Cancelled, Failed, Flushed, Start
from backend.monitoring.metrics import Metrics
from backend.sessions.audio_sender import AudioSender, Output, RenderedSpan, joined
from backend.sessions.client_slots import ClientSlots
from backend.sessions.context_record import ContextParameters, ContextRecord, SessionRecord
from backend.sessions.listener import Listener
from backend.sessions.send_queue import SendQueue
from backend.synthesis.live_listeners import LiveListener
from backend.synthesis.utterance_handle import UtteranceHandle
from backend.text.pacer import Pacer, Pacing, PendingSentence, Speak, Wait
from backend.text.text_buffer import TextBuffer
from backend.tts_manager import TTSManager

_MAX_FLUSHES = 1000  # of one context that wait for their answer


@dataclass(frozen=True, slots=True)
class Services:
    """What every context needs; built once, in `main`."""

    settings: Settings
    tts: TTSManager
    metrics: Metrics
    clock: Callable[[], float]  # seconds; the event loop's
    # One context reads in a turn of the event loop, however many have text to be read.
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    client_slots: ClientSlots = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_slots", ClientSlots(self.settings.server.max_connections))


def create_release(sentence: PendingSentence, choice: Speak) -> Release:
    """What the engine is given for the pacer's choice."""
    known = sentence.text[: choice.known]
    return Release(known, choice.to, choice.final, choice.must_reach, choice.pause)


def pacing_for(settings: Settings, start: Start, tts: TTSManager) -> Pacing:
    """The pacer's parameters from the settings, what the client asks for, and the engine.

    A `stream` is as soon as `live`, but what is finished does not wait until it can be heard: its
    client keeps the audio, or has no other way to learn that all was said.
    """
    latency = settings.latency_optimization
    return Pacing(
        min_text_length=latency.min_text_length,
        lookahead_start=latency.lookahead_start,
        lookahead=latency.lookahead,
        idle_s=latency.streaming_threshold,
        phrase_pause_s=latency.phrase_pause,
        word_timeout_s=latency.word_timeout,
        low_water_s=latency.low_water,
        high_water_s=math.inf if start.mode == "stream" else latency.high_water,
        ttfa_goal_s=latency.ttfa_goal,
        typing=start.typing or latency.typing,
        live=start.mode != "batch",
        duplex=settings.bidirectional_streaming.enabled,
        preemptive=latency.preemptive_generation,
        incremental=tts.info.incremental,
        is_whole_word=tts.is_whole_word,
    )


class Context:
    """Text in, audio out, in order. Raises what `TTSManager.manner` and `parse_format` raise."""

    def __init__(
        self, start: Start, services: Services, send_queue: SendQueue, session: SessionRecord
    ) -> None:
        self.id = start.context
        self._manner = services.tts.manner(start)
        target = parse_format(start.format, start.sample_rate, start.bit_rate)
        output = Output(target, start.frames, parse_volume(start.volume))
        self._services = services
        self._send_queue = send_queue
        self._streaming = services.settings.bidirectional_streaming
        info = services.tts.info
        self._pacer = Pacer(pacing_for(services.settings, start, services.tts))
        self._live = LiveListener() if start.mode != "batch" else None
        parameters = ContextParameters(
            self._manner.voice, target.name, target.sample_rate_hz, start.mode
        )
        self._record = ContextRecord(session, start.context, parameters)
        self._listener = Listener(self._pacer, self._record, services.clock)
        self._text = TextBuffer(services.settings.server.max_text_length)
        self._audio_sender = AudioSender(self.id, output, info.sample_rate_hz, send_queue)
        self._gain = 1.0  # of the voice, once it is loaded
        self._waits_aloud = start.mode == "live"  # its listener hears the pauses of the writer
        self._changed = asyncio.Event()
        self._flushes: deque[int] = deque()  # offsets, where a flush is not answered yet
        self._releasing: UtteranceHandle | None = None  # with a release that is not caught up
        self._choice = Speak(0, 0)  # the release
        self._held: list[RenderedSpan] = []  # rendered, not yet delivered: see `immediate_send`

    # --- commands ---------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Characters that are not spoken yet."""
        return self._text.length - self._text.spoken

    @property
    def buffered_s(self) -> float:
        """Audio that was sent and is not heard yet; 0 in batch mode, where nobody listens."""
        if not self._pacer.pacing.live:
            return 0.0
        return self._pacer.ahead_s(self._services.clock())

    def push(self, text: str) -> None:
        """More text. Raises `ContextEnded`, `TextLimit`."""
        self._text.push(text, self._services.clock())
        self._record.text(len(text))
        if self._live is not None:
            self._live.has_text = True
        self._note_change()

    def retract(self, to: int) -> int:
        """Take text back; returns the offset from which on it really was."""
        to = self._text.retract(to, self._services.clock())
        self._changed.set()
        return to

    def flush(self) -> None:
        """Speak all that is known; `Flushed` tells when that is done.

        Raises `ContextEnded`, `TextLimit`.
        """
        if len(self._flushes) >= _MAX_FLUSHES:
            raise TextLimit(f"{_MAX_FLUSHES} flushes are unanswered; wait for `flushed`")
        self._text.flush()
        self._flushes.append(self._text.length)
        self._note_change()

    def end(self) -> None:
        """No more text comes. Raises `ContextEnded`."""
        self._text.end()
        self._note_change()

    def played(self, heard_ms: float) -> None:
        """The listener's real position."""
        self._listener.played(heard_ms / 1000)
        self._note_heard()
        self._changed.set()

    def cancelled(self, dropped: Sequence[Audio]) -> Cancelled:
        """What was sent before the cancel, `dropped` being what was queued and is not."""
        text_to, audio_ms = self._audio_sender.sent_without(dropped)
        return Cancelled(self.id, text_to, audio_ms)

    def opened(self) -> None:
        """It has begun: from now on its figures are kept, until it is `closed`."""
        self._send_queue.watch(self.id, self._listener)
        self._record.opened()
        if self._live is not None:
            self._services.tts.listeners.add(self._live, self._services.clock())

    def closed(self, outcome: str) -> None:
        """It is over in another way than by being spoken to its end."""
        self._send_queue.unwatch(self.id, outcome)
        self._leave()

    # --- the task ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Speak until the context has ended and all of it is spoken.

        Cancel-safe: leaving aborts the utterance at hand. Raises `VoiceUnavailable`, `EngineDead`.
        """
        try:
            with self._services.tts.in_use(self._manner.voice):
                self._gain = await self._services.tts.load(self._manner.voice)
                while (following := await self._next_choice()) is not None:
                    await self._speak_utterance(*following)
        finally:
            self._leave()
        await self._answer_flushes()
        self._listener.finish()
        self._send_queue.post(await self._audio_sender.finish())

    async def _next_choice(self) -> tuple[PendingSentence, Speak] | None:
        """What to speak next; waits for text and for the pacer. None: the context is finished."""
        self._listener.awaits_text()
        while True:
            self._changed.clear()
            await self._catch_up()
            if self._text.finished:
                return None
            await self._answer_flushes()
            sentence = self._text.pending_sentence()
            choice = self._decide(sentence)
            if isinstance(choice, Speak):
                return sentence, choice
            try:
                async with asyncio.timeout_at(choice.until_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _catch_up(self) -> None:
        """Read the text as far as the sentence at hand, a little in each turn of the loop."""
        while self._text.behind:
            async with self._services.reading:
                self._text.read()
                await asyncio.sleep(0)

    async def _answer_flushes(self) -> None:
        """Between two releases everything that was rendered is sent."""
        while self._flushes and self._text.spoken >= min(self._flushes[0], self._text.length):
            await self._send_queue.offer(Flushed(self.id, self._flushes[0]))
            self._flushes.popleft()

    def _decide(self, sentence: PendingSentence) -> Speak | Wait:
        return self._pacer.decide(sentence, self._services.clock(), self._services.tts.backlog_s)

    def _note_change(self) -> None:
        """There is more to speak: a release that no engine thread has taken yet grows."""
        self._changed.set()
        if self._releasing is not None:
            self._extend_waiting_release(self._releasing)

    def _extend_waiting_release(self, speech: UtteranceHandle) -> None:
        if speech.is_taken or self._choice.final:
            return
        sentence = self._text.pending_sentence()
        choice = self._decide(replace(sentence, released=sentence.spoken))
        if not isinstance(choice, Speak) or choice.to < self._choice.to or choice == self._choice:
            return
        if speech.replace(create_release(sentence, choice)):
            self._text.release(sentence, choice)
            self._choice = choice

    async def _speak_utterance(self, sentence: PendingSentence, choice: Speak) -> None:
        """Speak a sentence from its first release to its last; an error concerns only it."""
        start_ms = self._audio_sender.rendered_ms  # nothing is held back between sentences
        chunk_size = self._services.settings.latency_optimization.chunk_size
        try:
            async with self._services.tts.speak(self._manner, chunk_size, self._live) as speech:
                final = await self._speak_release(speech, sentence, choice, start_ms)
                while not final:
                    following = await self._next_choice()
                    assert following is not None, "an open sentence is not finished"
                    final = await self._speak_release(speech, *following, start_ms)
            self._text.close()
        except EngineDead:  # no sentence of it is spoken any more
            raise
        except DuplexError as error:
            self._listener.failed(error)
            self._send_queue.post(Failed(self.id, error.code, error.message))
            self._held.append(RenderedSpan(np.zeros(0, np.float32), self._text.restart()))
            await self._deliver()

    async def _speak_release(
        self, speech: UtteranceHandle, sentence: PendingSentence, choice: Speak, start_ms: float
    ) -> bool:
        """Returns whether it was the sentence's last. It grows until an engine thread takes it."""
        self._listener.released(sentence.last_input_s)
        self._text.release(sentence, choice)
        self._choice, self._releasing = choice, speech
        speech.extend(create_release(sentence, choice), self._deadline_s())
        try:
            caught_up = False
            while not caught_up:
                chunk = await speech.next_chunk()
                self._listener.rendered(len(chunk.pcm), speech.take_busy_s())
                caught_up = chunk.caught_up
                self._hold(chunk, start_ms)
                choice = self._choice
                awaited = caught_up and (choice.final or sentence.flush_to >= choice.to)
                if self._streaming.immediate_send or awaited:
                    await self._deliver()
                speech.deadline_s = self._deadline_s()
        finally:
            self._releasing = None
        return choice.final

    def _deadline_s(self) -> float:
        return self._pacer.deadline_s(self._services.clock())

    def _hold(self, chunk: Chunk, start_ms: float) -> None:
        """Bring an engine's chunk into the context's terms."""
        offset = self._text.utterance_start
        words = tuple(
            replace(
                word,
                start=word.start + offset,
                end=word.end + offset,
                start_ms=word.start_ms + start_ms,
                end_ms=word.end_ms + start_ms,
            )
            for word in chunk.words
        )
        pcm = chunk.pcm * np.float32(self._gain)
        piece = RenderedSpan(pcm, self._text.speak_to(chunk.end), words)
        if len(piece.pcm) or piece.text[0] < piece.text[1]:
            self._held.append(piece)

    async def _deliver(self) -> None:
        if not self._held:
            return
        piece = joined(self._held)
        self._held.clear()
        sent = await self._audio_sender.send(piece, self._silent_s())
        self._listener.sent(sent.audio_s, sent.audible_from_s)
        self._note_heard()

    def _note_heard(self) -> None:
        if self._live is not None:
            self._live.dry_at_s = self._pacer.dry_at_s

    def _leave(self) -> None:
        if self._live is not None:
            self._services.tts.listeners.remove(self._live)

    def _silent_s(self) -> float:
        """How long the listener has had nothing to hear: silence that need not be sent again. A
        client that keeps the audio gets it with all of its pauses.
        """
        dry_s = self._pacer.dry_s(self._services.clock())
        return dry_s if self._waits_aloud or math.isinf(dry_s) else 0.0
