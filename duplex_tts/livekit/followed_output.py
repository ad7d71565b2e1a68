"""An audio output of LiveKit Agents that follows which words are played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities

from duplex_tts.agents.playback_clock import PlaybackClock
from duplex_tts.agents.speech import Speech
from duplex_tts.heard import Heard
from duplex_tts.livekit.stream import SPEECH_KEY

if TYPE_CHECKING:
    from livekit import rtc

REPORT_S = 0.25  # interval of the `played` reports to the server


class FollowedOutput(AudioOutput):
    """Wraps a session's audio output.

    Reports to the server what is played. When an answer was interrupted, or its speech failed, the
    session is told the text that was heard, word by word, in the place of its own estimate.
    """

    def __init__(self, output: AudioOutput, on_heard: Callable[[Heard], None]) -> None:
        super().__init__(
            label="DuplexTTS",
            next_in_chain=output,
            sample_rate=output.sample_rate,
            capabilities=AudioOutputCapabilities(pause=True),
        )
        self._on_heard = on_heard
        self._speech: Speech | None = None
        self._clock = PlaybackClock()
        self._is_playing = False
        self._confirmed_ms = 0.0  # where the output says that it stopped
        self._reporting: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Play a frame."""
        self._speech = frame.userdata.get(SPEECH_KEY) or self._speech
        self._clock.add(frame.duration * 1000)
        await self.next_in_chain.capture_frame(frame)
        await super().capture_frame(frame)

    def flush(self) -> None:
        """Mark the end of an answer's audio."""
        super().flush()
        self.next_in_chain.flush()

    def clear_buffer(self) -> None:
        """Stop playing at once."""
        self._clock.pause()
        self.next_in_chain.clear_buffer()

    def pause(self) -> None:
        """Pause the playback."""
        self._clock.pause()
        super().pause()

    def resume(self) -> None:
        """Continue the playback."""
        if self._is_playing:
            self._clock.run()
        super().resume()

    def on_playback_started(self, *, created_at: float) -> None:
        """Note that the output plays the first frame."""
        super().on_playback_started(created_at=created_at)
        self._is_playing = True
        self._clock.run()
        self._report_played()

    def on_playback_progressed(self, *, started_at: float, offset: float, duration: float) -> None:
        """Note up to where the output played; its own count leaves out what a pause has lost."""
        super().on_playback_progressed(started_at=started_at, offset=offset, duration=duration)
        self._confirmed_ms = (offset + duration) * 1000

    def on_playback_finished(
        self,
        *,
        playback_position: float,
        interrupted: bool,
        synchronized_transcript: str | None = None,
    ) -> None:
        """Tell the session what was heard of an answer."""
        stopped_ms = max(playback_position * 1000, self._confirmed_ms) if interrupted else inf
        heard = self._speech.heard(stopped_ms) if self._speech else None
        if heard and not heard.complete:
            synchronized_transcript = heard.text
        self._forget_speech()
        super().on_playback_finished(
            playback_position=playback_position,
            interrupted=interrupted,
            synchronized_transcript=synchronized_transcript,
        )
        if heard:
            self._on_heard(heard)

    def _report_played(self) -> None:
        if self._speech is not None:
            self._speech.played(self._clock.played_ms)
            loop = asyncio.get_running_loop()
            self._reporting = loop.call_later(REPORT_S, self._report_played)

    def _forget_speech(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
        self._speech, self._confirmed_ms, self._is_playing = None, 0.0, False
        self._clock = PlaybackClock()
