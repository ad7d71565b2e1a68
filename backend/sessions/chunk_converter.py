"""Turns what an engine says about its audio into what the client is told."""

from __future__ import annotations

import numpy as np

from backend.engines.base import Chunk
from backend.events import Word
from backend.sessions.audio_sender import RenderedSpan
from backend.text.reading.spoken_text import SpokenText
from backend.text.text_buffer import TextBuffer

_NOTHING = np.zeros(0, np.float32)


class ChunkConverter:
    """Converts a context's chunks: from spoken text and times of the utterance to the offsets and
    times of the context. Marks the text as spoken.
    """

    def __init__(self, text: TextBuffer, rate_hz: int) -> None:
        self._text = text
        self._rate_hz = rate_hz
        self._gain = np.float32(1.0)
        self._start_ms = 0.0
        self._timed_to = 0  # offset up to which words were given times
        self.spoken = SpokenText((), "")
        """What the current release says; it grows until an engine thread takes it."""

    def begin_utterance(self, start_ms: float, gain: float) -> None:
        """The audio of an utterance follows; its first sample is at `start_ms` of the context."""
        self._start_ms, self._gain = start_ms, np.float32(gain)

    def convert_chunk(self, chunk: Chunk, released_to: int) -> RenderedSpan:
        """The chunk as a span of the context; `released_to`: in the utterance's written text."""
        offset, start_ms = self._text.utterance_start, self._start_ms
        words = tuple(
            Word(start + offset, end + offset, heard[0] + start_ms, heard[1] + start_ms)
            for (start, end), heard in self.spoken.group_words(chunk.words)
            if start + offset >= self._timed_to  # an engine may say one in several chunks
        )
        self._timed_to = words[-1].end if words else self._timed_to
        reached = self.spoken.to_written(chunk.end, released_to)
        return RenderedSpan(chunk.pcm * self._gain, self._text.mark_spoken(reached), words)

    def create_silence(self, silence_ms: int) -> RenderedSpan:
        """Silence behind what is spoken; the utterance goes on after it."""
        self._start_ms += silence_ms
        at = self._text.spoken
        silence = np.zeros(silence_ms * self._rate_hz // 1000, np.float32)
        return RenderedSpan(silence, (at, at), is_pause=True)

    def pass_text(self, released_to: int) -> RenderedSpan:
        """Account for text that says nothing; the engine has no part in it."""
        return RenderedSpan(_NOTHING, self._text.mark_spoken(released_to))

    def pass_failed_text(self) -> RenderedSpan:
        """Account for the released text of an utterance that failed."""
        return RenderedSpan(_NOTHING, self._text.restart_utterance())
