"""The text-to-speech service for Pipecat."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from pipecat.frames.frames import (
    BotSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.utils.errors import ErrorCategory

from duplex_tts.agents.kept_session import KeptSession
from duplex_tts.agents.turn_timeline import Turn, TurnTimeline
from duplex_tts.channel.address import DEFAULT_URL
from duplex_tts.errors import ClientError
from duplex_tts.events import Audio
from duplex_tts.options import Options
from duplex_tts.pipecat.settings import (
    DuplexTTSSettings,
    complete_settings,
    speech_parameters,
)

QUIET_S = 3600.0  # the server says when a turn is over: it is not guessed from silence
SPACELESS = ("ja", "km", "lo", "my", "th", "zh")  # languages that put no spaces between words
SILENT_MS = 20  # sent for a text without sound: Pipecat takes no audio for a failure

_CATEGORIES = {
    "invalid_api_key": ErrorCategory.AUTHENTICATION,
    "bad_lexicon": ErrorCategory.INVALID_REQUEST,
    "unknown_lexicon": ErrorCategory.INVALID_REQUEST,
    "unknown_voice": ErrorCategory.INVALID_REQUEST,
    "unsupported": ErrorCategory.INVALID_REQUEST,
    "key_limit": ErrorCategory.RATE_LIMIT,
}
"""By the code of the error; Pipecat stops using a service after the first two kinds."""


class DuplexTTSService(TTSService):
    """Speaks an LLM's tokens as they come; one session is kept for the whole call.

    `url`: of the server. `key`: its API key, if it requires one. `options`: of the session.
    `settings`: such as `DuplexTTSService.Settings(voice="heart")`. Further arguments are those of
    `TTSService`.

    Event handlers, besides those of `TTSService`:
        on_interrupted(service, heard): after an interruption, with a `Heard` for each answer of
            which not all was heard.
    """

    Settings = DuplexTTSSettings
    _settings: DuplexTTSSettings

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        options: Options | None = None,
        settings: DuplexTTSSettings | None = None,
        **service_options: Any,
    ) -> None:
        super().__init__(
            **{
                "text_aggregation_mode": TextAggregationMode.TOKEN,
                "push_text_frames": False,
                "push_start_frame": True,
                "stop_frame_timeout_s": QUIET_S,
                "settings": complete_settings(settings),
                **service_options,
            }
        )
        self._kept = KeptSession(url, key, options)
        self._timeline = TurnTimeline()
        self._failed: set[str] = set()  # contexts; no more of them is said, nor of these
        self._retracted: set[str] = set()
        self._register_event_handler("on_interrupted")

    # --- for the application ----------------------------------------------------------------------

    async def retract(self, to: int = 0) -> str:
        """Take back the text of the latest answer from offset `to` on, unless it is being spoken.

        Later text of that answer is dropped; say something else by a `TTSSpeakFrame`. Returns the
        text that stays.
        """
        if not self._timeline.turns:
            return ""
        context_id, turn = list(self._timeline.turns.items())[-1]
        self._retracted.add(context_id)
        kept = await turn.speech.retract(to)
        # No more text will complete this sentence: its words count as they are played.
        frames = await self._aggregated_frame_sequencer.finalize(context_id)
        await self._push_sequencer_frames(frames, context_id)
        await turn.speech.end()
        return kept

    def can_generate_metrics(self) -> bool:
        """Whether times are measured; they are."""
        return True

    @property
    def supports_processing_metrics(self) -> bool:
        """Whether `run_tts` waits for the audio; it does not."""
        return False

    # --- life -------------------------------------------------------------------------------------

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Open the session, so that the first answer needs no handshake."""
        await super().setup(setup)
        try:
            await self._kept.open()
        except ClientError as error:
            await self._report_error(error)
        else:
            await self._call_event_handler("on_connected")

    async def stop(self, frame: EndFrame) -> None:
        """Close the session after everything was received."""
        await super().stop(frame)
        await self._close()

    async def cancel(self, frame: CancelFrame) -> None:
        """Close the session at once."""
        await super().cancel(frame)
        await self._close()

    async def cleanup(self) -> None:
        """Close the session."""
        await super().cleanup()
        await self._close()

    async def _close(self) -> None:
        turns = list(self._timeline.turns.values())
        self._timeline = TurnTimeline()
        for turn in turns:
            await self._stop_receiving(turn)
        if self._kept.is_open:
            await self._kept.close()
            await self._call_event_handler("on_disconnected")

    # --- text -------------------------------------------------------------------------------------

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Send text; its audio arrives in the audio context."""
        if not self._is_dropped(context_id):
            try:
                turn = self._timeline.turns.get(context_id) or await self._start_turn(context_id)
                await turn.speech.push(text)
                await self.start_tts_usage_metrics(text)
            except ClientError as error:
                await self._fail(context_id, error)
        yield None

    async def flush_audio(self, context_id: str | None = None) -> None:
        """End the text of an answer."""
        context_id = context_id or self.get_active_audio_context_id() or ""
        turn = self._timeline.turns.get(context_id)
        if turn is None or turn.is_received:
            await self._end_unspoken(context_id)
        elif not self._is_dropped(context_id):
            with suppress(ClientError):  # the receiving task reports it
                await turn.speech.end()

    async def on_turn_context_completed(self) -> None:
        """Note that all text of an answer has come."""
        context_id = self._turn_context_id or ""
        await super().on_turn_context_completed()
        self._forget_dropped(context_id)

    def _is_dropped(self, context_id: str) -> bool:
        return context_id in self._failed or context_id in self._retracted

    def _forget_dropped(self, context_id: str) -> None:
        """Forget it once all its text has come, and all its audio was sent on."""
        if context_id != self._turn_context_id and not self.audio_context_available(context_id):
            self._failed.discard(context_id)
            self._retracted.discard(context_id)

    async def _start_turn(self, context_id: str) -> Turn:
        speech = await self._kept.start_speech(
            {**speech_parameters(self._settings), "sample_rate": self.sample_rate}
        )
        context = self._tts_contexts.get(context_id)
        turn = Turn(speech, context is None or context.interruptible)
        self._timeline.turns[context_id] = turn
        turn.receiving = self.create_task(self._receive(context_id, turn), f"receive-{speech.id}")
        return turn

    # --- audio ------------------------------------------------------------------------------------

    async def _receive(self, context_id: str, turn: Turn) -> None:
        try:
            async for audio in turn.speech:
                await self._append_audio(context_id, turn, audio)
            if not turn.speech.audio_ms:
                await self._append_silence(context_id)
        except ClientError as error:
            self._failed.add(context_id)
            await self._report_error(error)
        self._timeline.end_audio(turn)
        await self._end_context(context_id)

    async def _append_audio(self, context_id: str, turn: Turn, audio: Audio) -> None:
        late_ms = self._timeline.add_audio(turn, audio)
        words = [
            (part.text, (part.start_ms + late_ms) / 1000)
            for part in turn.speech.timed_text(audio)
            if any(map(str.isalnum, part.text))
        ]
        if audio.data:
            await self._append_pcm(context_id, audio.data)
        if words:
            spaceless = str(self._settings.language)[:2] in SPACELESS
            await self.add_word_timestamps(words, context_id, includes_inter_frame_spaces=spaceless)

    async def _append_pcm(self, context_id: str, pcm: bytes) -> None:
        frame = TTSAudioRawFrame(pcm, self.sample_rate, 1, context_id=context_id)
        await self.append_to_audio_context(context_id, frame)

    async def _append_silence(self, context_id: str) -> None:
        await self._append_pcm(context_id, bytes(2 * self.sample_rate * SILENT_MS // 1000))

    async def _end_unspoken(self, context_id: str) -> None:
        """End an audio context that late text has opened and that is not spoken."""
        if context_id in self._retracted:
            await self._append_silence(context_id)
        await self._end_context(context_id)

    async def _end_context(self, context_id: str) -> None:
        if self.audio_context_available(context_id):
            await self.append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
            await self.remove_audio_context(context_id)

    async def start_word_timestamps(self) -> None:
        """Time the words of the context that begins, from when its audio is played on: after the
        audio that the transport still has.
        """
        turn = self._timeline.turns.get(self.get_active_audio_context_id() or "")
        if turn is not None:
            begins_s = self._timeline.seconds_until(turn)
            tracker = self._word_timestamp_tracker
            begins_pts = self.get_clock().get_time() + int(begins_s * 1e9)
            tracker.last_pts = max(tracker.last_pts, begins_pts)
        await super().start_word_timestamps()

    async def _apply_force_complete(self, context_id: str) -> None:
        """Take no text for spoken that was taken back, or failed."""
        if self._is_dropped(context_id):
            others = set(self._tts_contexts) - {context_id}
            self._aggregated_frame_sequencer.clear(keep_contexts=others)
        await super()._apply_force_complete(context_id)

    # --- playback ---------------------------------------------------------------------------------

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Report what was heard at an interruption, and what is played while the bot speaks."""
        if isinstance(frame, InterruptionFrame):
            await self._interrupt()
        elif isinstance(frame, BotSpeakingFrame):
            self._timeline.report_played()
        await super().process_frame(frame, direction)

    async def on_audio_context_completed(self, context_id: str) -> None:
        """Note that all audio of an answer was sent on."""
        self._forget_dropped(context_id)
        await super().on_audio_context_completed(context_id)

    async def _interrupt(self) -> None:
        self._failed.clear()
        self._retracted.clear()
        for turn, heard in self._timeline.interrupt():
            await self._stop_receiving(turn)
            if not heard.complete:
                await self._call_event_handler("on_interrupted", heard)

    async def _stop_receiving(self, turn: Turn) -> None:
        turn.speech.cancel()
        if turn.receiving is not None:
            await self.cancel_task(turn.receiving)

    # --- errors -----------------------------------------------------------------------------------

    async def _fail(self, context_id: str, error: ClientError) -> None:
        self._failed.add(context_id)
        await self._report_error(error)
        await self._end_context(context_id)

    async def _report_error(self, error: ClientError) -> None:
        category = _CATEGORIES.get(error.code, ErrorCategory.SERVER)
        await self._call_event_handler("on_connection_error", str(error))
        await self.push_error(str(error), exception=error, category=category)
