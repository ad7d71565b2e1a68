"""One context: an ordered stream of text to speech, from text buffer to audio sender.

The session calls the command methods, which never wait. The context's task, `run`, asks the pacer
what to release, has the engine speak it, and sends the audio.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from backend.audio.formats import parse_format
from backend.audio.loudness import parse_volume
from backend.errors import EngineFailed, SpeechTimeout, TextLimit
from backend.events import Audio, Cancelled, Failed, Flushed, Start, Typing
from backend.sessions.audio_sender import AudioSender, OutputParams, RenderedSpan, join_spans
from backend.sessions.chunk_converter import ChunkConverter
from backend.sessions.context_record import ContextParameters, ContextRecord, SessionRecord
from backend.sessions.listener import Listener
from backend.sessions.pacer_setup import create_pacing, create_release
from backend.sessions.reading_setup import ContextLanguage
from backend.sessions.send_queue import SendQueue
from backend.sessions.services import Services
from backend.synthesis.live_listeners import LiveListener
from backend.synthesis.utterance_handle import UtteranceHandle
from backend.text.markup.reader import MarkupOptions
from backend.text.pacer import Pacer, PendingSentence, Speak, Wait
from backend.text.text_buffer import TextBuffer
from backend.tts_manager import VoiceParams

_RANKS = {"interactive": 0, "normal": 1, "background": 2}
_MAX_FLUSHES = 10_000  # unanswered, per context
_LOOK_EVERY_S = 0.05  # at new text, while a release waits for its turn


class _PendingFlush(NamedTuple):
    """An unanswered flush: its offset, and whether the encoded audio ends there."""

    to: int
    ends_stream: bool


class Context:
    """Text in, audio out, in order. Raises what `resolve_params`, `lexicon_for`
    and `parse_format` raise.
    """

    def __init__(
        self, start: Start, services: Services, send_queue: SendQueue, session: SessionRecord
    ) -> None:
        self.id = start.context
        self._voice_params = services.tts.resolve_params(start)
        target = parse_format(start.format, start.sample_rate, start.bit_rate)
        output = OutputParams(target, start.frames, parse_volume(start.volume))
        self._services = services
        self._send_queue = send_queue
        self._streaming = services.settings.bidirectional_streaming
        voice = services.tts.listed_voice(self._voice_params.voice)
        engine = self._engine = voice.engine
        rate_hz = engine.info.sample_rate_hz
        self._pacer = Pacer(create_pacing(services.settings, start, engine.model))
        self._live: LiveListener | None = None
        if start.mode != "batch":
            self._live = LiveListener(_RANKS[start.priority or "normal"])
        parameters = ContextParameters(
            self._voice_params.voice, target.name, target.sample_rate_hz, start.mode
        )
        self._record = ContextRecord(session, start.context, parameters)
        self._listener = Listener(self._pacer, self._record, services.clock)
        self._language = ContextLanguage(start, voice, services.lexicons)
        choice = self._language if self._language.is_chosen_by_text else None
        markup = MarkupOptions(ssml=bool(start.ssml))
        limit = services.settings.server.max_text_length
        self._text = TextBuffer(limit, self._language, markup, engine.info.sounds, choice)
        self._audio_sender = AudioSender(self.id, output, rate_hz, send_queue)
        self._gain = 1.0  # the voice's, once loaded
        self._is_live = start.mode == "live"  # the listener hears the writer's pauses
        self.is_advisable = self._is_live and not target.is_adaptive
        if target.is_adaptive and send_queue.line is not None:
            send_queue.line.is_adaptive = True
        self._changed = asyncio.Event()
        self._next_look: asyncio.TimerHandle | None = None  # at text that is not awaited
        self._flushes: deque[_PendingFlush] = deque()
        self._handle: UtteranceHandle | None = None  # while its release is not caught up
        self._choice, self._flush_to = Speak(0, 0), 0  # the release, and what flush asked for then
        self._converter = ChunkConverter(self._text, rate_hz)
        self._undelivered: list[RenderedSpan] = []  # rendered; see `immediate_send`

    # --- commands ---------------------------------------------------------------------------------

    @property
    def waiting_characters(self) -> int:
        """Characters not spoken yet."""
        return self._text.length - self._text.spoken

    @property
    def typing(self) -> Typing:
        """In which pieces a text is spoken that is still being written."""
        return self._pacer.pacing.typing

    @property
    def buffered_s(self) -> float:
        """Audio sent but not heard yet; 0 in batch mode, which has no listener."""
        if not self._pacer.pacing.live:
            return 0.0
        return self._pacer.ahead_s(self._services.clock())

    def push_text(self, text: str) -> None:
        """Append text. Raises `ContextEnded`, `TextLimit`."""
        now_s = self._services.clock()
        calm_until_s = self._calm_until_s(now_s)
        self._text.push_text(text, now_s, is_awaited=calm_until_s <= now_s)
        self._record.add_text(len(text))
        if self._live is not None:
            self._live.active_s = now_s
        if calm_until_s <= now_s:
            self._on_text_changed()
        elif self._next_look is None:
            self._next_look = asyncio.get_running_loop().call_at(calm_until_s, self._look_at_text)

    def retract_text(self, to: int) -> int:
        """Take text back; returns the offset actually retracted to."""
        to = self._text.retract_to(to, self._services.clock())
        self._changed.set()
        return to

    def flush(self, *, ends_stream: bool = False) -> None:
        """Speak all known text; answered with `Flushed`. `ends_stream`: see `events.Flush`.

        Raises `ContextEnded`, `TextLimit`.
        """
        if len(self._flushes) >= _MAX_FLUSHES:
            raise TextLimit(f"{_MAX_FLUSHES} flushes are unanswered; wait for their audio")
        self._text.flush_text()
        self._flushes.append(_PendingFlush(self._text.length, ends_stream))
        self._on_text_changed()

    def end_text(self) -> None:
        """Mark the text complete. Raises `ContextEnded`."""
        self._text.end_text()
        self._on_text_changed()

    def update_position(self, heard_ms: float) -> None:
        """Set the listener's position, as the client reports it."""
        self._listener.on_played(heard_ms / 1000)
        if (line := self._send_queue.line) is not None:
            line.on_played(self.id, heard_ms, self._listener.unheard_s(heard_ms / 1000))
        self._update_live_listener()
        self._changed.set()

    def create_cancelled(self, dropped: Sequence[Audio]) -> Cancelled:
        """Build the answer to a cancel; `dropped`: audio queued but not sent."""
        text_to, audio_ms = self._audio_sender.position_without(dropped)
        return Cancelled(self.id, text_to, audio_ms)

    def open_record(self) -> None:
        """Start recording figures, until `close_record`."""
        self._send_queue.add_watcher(self.id, self._listener)
        self._record.log_opened()
        if self._live is not None:
            self._engine.add_listener(self._live, self._services.clock())

    def close_record(self, outcome: str) -> None:
        """Stop recording, if the context was not spoken to its end."""
        self._send_queue.remove_watcher(self.id, outcome)
        self._remove_live_listener()

    # --- the task ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Speak until the context has ended and all its text is spoken.

        Cancel-safe: aborts the current utterance. Raises an error that ends the context, such as
        `VoiceUnavailable`, `EngineDead`.
        """
        try:
            with self._services.tts.hold_voice(self._voice_params.voice):
                self._gain = await self._services.tts.load_voice(self._voice_params.voice)
                while (next_choice := await self._next_with_voice()) is not None:
                    await self._speak_utterance(*next_choice)
        finally:
            self._remove_live_listener()
            if self._next_look is not None:
                self._next_look.cancel()
        await self._answer_flushes()
        self._listener.on_finishing()
        self._send_queue.put_nowait(await self._audio_sender.send_rest())

    async def _next_with_voice(self) -> tuple[PendingSentence, Speak] | None:
        """As `_next_choice`; loads the voice again if it has left memory since the last sentence,
        which would block the engine's thread.
        """
        choice, tts, voice = await self._next_choice(), self._services.tts, self._voice_params.voice
        if choice is None or tts.is_voice_ready(voice):
            return choice
        await tts.load_voice(voice)
        return await self._next_choice()  # the text may have changed meanwhile

    async def _next_choice(self) -> tuple[PendingSentence, Speak] | None:
        """Wait for text and the pacer; returns what to speak next, None when finished."""
        self._listener.on_text_awaited()
        while True:
            self._changed.clear()
            await self._read_pending_text()
            if self._text.is_finished:
                return None
            await self._answer_flushes()
            sentence = self._text.pending_sentence()
            choice = self._decide(sentence)
            if isinstance(choice, Speak):
                return sentence, choice
            await self._wait_changed(choice.until_s)

    async def _wait_changed(self, until_s: float | None) -> None:
        """Wait for a change, until `until_s` at most (None: without a bound)."""
        if until_s is None:
            await self._changed.wait()
            return
        # With each token: `asyncio.timeout_at` costs three times as much.
        timer = asyncio.get_running_loop().call_at(until_s, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()

    def _decide(self, sentence: PendingSentence) -> Speak | Wait:
        line = self._send_queue.line
        self._pacer.lead_s = 0.0 if line is None or self.is_advisable else line.lead_s
        return self._pacer.decide(sentence, self._services.clock())

    async def _read_pending_text(self) -> None:
        """Read text up to the current sentence, a slice per turn of the event loop."""
        while self._text.is_behind:
            async with self._services.reading_lock:
                self._text.read_slice()
                await asyncio.sleep(0)

    async def _answer_flushes(self) -> None:
        """Answer reached flushes; between releases everything rendered is sent."""
        while self._flushes and self._text.spoken >= min(self._flushes[0].to, self._text.length):
            if self._flushes[0].ends_stream:
                await self._audio_sender.end_stream()
            await self._send_queue.put_answer(Flushed(self.id, self._flushes[0].to))
            self._flushes.popleft()

    async def _speak_utterance(self, sentence: PendingSentence, choice: Speak) -> None:
        """Speak a sentence, all its releases; if it cannot be rendered the next one is spoken."""
        chunk_size = self._services.settings.latency_optimization.chunk_size
        self._text.settle_language(sentence)
        params, volume = self._apply_change()
        # Everything is delivered between sentences.
        self._converter.begin_utterance(self._audio_sender.rendered_ms, self._gain * volume)
        try:
            async with self._services.tts.open_utterance(params, chunk_size, self._live) as handle:
                final = await self._speak_release(handle, sentence, choice)
                while not final:
                    next_choice = await self._next_choice()
                    assert next_choice is not None, "an open sentence is not finished"
                    final = await self._speak_release(handle, *next_choice)
            self._text.close_utterance()
        except (EngineFailed, SpeechTimeout) as error:  # any other: no sentence can be spoken
            self._listener.on_failed(error)
            self._send_queue.put_nowait(Failed.from_error(error, self.id))
            self._undelivered.append(self._converter.pass_failed_text())
            await self._deliver_held()

    def _apply_change(self) -> tuple[VoiceParams, float]:
        """The voice's parameters and the volume that marks in the text ask for here."""
        change = self._text.change
        params = replace(self._voice_params, language=self._language.chosen)
        if change is None:
            return params, 1.0
        known = self._engine.info.parameters.get("speed")
        speed = (
            min(max(params.speed * change.rate, known.low), known.high) if known else params.speed
        )
        return replace(params, speed=speed), change.volume

    async def _speak_release(
        self, handle: UtteranceHandle, sentence: PendingSentence, choice: Speak
    ) -> bool:
        """Returns whether it was the sentence's last. It grows until an engine thread takes it."""
        self._listener.on_released(sentence.last_input_s)
        spoken = self._converter.spoken = self._text.mark_released(sentence, choice)
        self._choice, self._flush_to = choice, sentence.flush_to
        if not choice.final and spoken.is_silent(sentence.spoken, choice.to):
            self._hold_span(self._converter.pass_text(choice.to), choice.silence_ms)
            await self._deliver_held()
            return False
        self._handle = handle
        handle.extend(create_release(spoken, choice), self._deadline_s())
        try:
            caught_up = False
            while not caught_up:
                chunk = await handle.next_chunk()
                self._listener.on_rendered(len(chunk.pcm), handle.take_busy_s())
                caught_up, choice = chunk.caught_up, self._choice
                span = self._converter.convert_chunk(chunk, choice.to)
                self._hold_span(span, choice.silence_ms if caught_up else 0)
                awaited = caught_up and (choice.final or self._flush_to >= choice.to)
                immediate = self._streaming.immediate_send and not self._audio_sender.is_line_busy
                if immediate or awaited:  # on a thin line the rest goes in fewer messages
                    await self._deliver_held()
                handle.deadline_s = self._deadline_s()
        finally:
            self._handle = None
        return choice.final

    def _calm_until_s(self, now_s: float) -> float:
        """Until when more text can wait to be looked at; not later than `now_s`: look at once."""
        calm_until_s = self._pacer.calm_until_s(now_s)
        if self._handle is None:
            return calm_until_s
        return max(calm_until_s, now_s + _LOOK_EVERY_S)  # behind a render, all of it is

    def _look_at_text(self) -> None:
        self._next_look = None
        self._text.read_slice()
        self._on_text_changed()

    def _on_text_changed(self) -> None:
        self._changed.set()
        if self._handle is not None and not self._handle.is_taken and not self._choice.final:
            self._extend_queued_release(self._handle)

    def _extend_queued_release(self, handle: UtteranceHandle) -> None:
        """Replace a release that no engine thread has taken by the pacer's new choice."""
        sentence = self._text.pending_sentence()
        undone = replace(sentence, released=sentence.spoken)
        choice = self._decide(undone)
        if not isinstance(choice, Speak) or choice.to < self._choice.to or choice == self._choice:
            return
        if not self._text.is_read_to(choice.to):
            return
        spoken = self._text.say(sentence, choice)
        if handle.replace(create_release(spoken, choice)):
            self._text.mark_released(sentence, choice)
            self._choice, self._flush_to = choice, sentence.flush_to
            self._converter.spoken = spoken

    def _deadline_s(self) -> float:
        return self._pacer.deadline_s(self._services.clock())

    def _hold_span(self, span: RenderedSpan, silence_ms: int) -> None:
        """Queue a span for delivery, and silence behind it."""
        if len(span.pcm) or span.text[0] < span.text[1]:
            self._undelivered.append(span)
        if silence_ms:
            self._undelivered.append(self._converter.create_silence(silence_ms))

    async def _deliver_held(self) -> None:
        held, self._undelivered = self._undelivered, []
        for is_pause, spans in groupby(held, key=attrgetter("is_pause")):
            silence_s = 0.0 if is_pause else self._silence_s()
            await self._audio_sender.send_span(join_spans(list(spans)), silence_s, self._listener)
            self._update_live_listener()

    def _update_live_listener(self) -> None:
        if self._live is not None:
            self._live.dry_at_s = self._pacer.dry_at_s

    def _remove_live_listener(self) -> None:
        if self._live is not None:
            self._engine.listeners.remove(self._live)

    def _silence_s(self) -> float:
        """How long the listener has heard nothing: silence that need not be sent again. A client
        that stores the audio gets all of its pauses.
        """
        dry_s = self._pacer.dry_s(self._services.clock())
        return dry_s if self._is_live or math.isinf(dry_s) else 0.0
