"""Turns a context's PCM into `audio` messages: levels, encodes, counts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np

from backend.audio.formats import AudioFormat, EncodedAudio, Pcm, create_encoder
from backend.audio.leading_silence import SilenceTrimmer
from backend.audio.loudness import Limiter, first_audible
from backend.events import Audio, Done, Frames, Word
from backend.sessions.send_queue import SendQueue

_SHORTEST_REST_S = 0.04
_MAX_SPAN_BYTES = 150_000  # per message: base64 plus header stays under 256 KiB


@dataclass(frozen=True, slots=True)
class RenderedSpan:
    """PCM at the common loudness and the text it speaks, in the context's offsets and ms.
    `is_pause`: silence that the text asks for.
    """

    pcm: Pcm = field(repr=False)
    text: tuple[int, int]
    words: tuple[Word, ...] = ()
    is_pause: bool = False


def join_spans(spans: Sequence[RenderedSpan]) -> RenderedSpan:
    """Concatenate consecutive spans."""
    return RenderedSpan(
        np.concatenate([span.pcm for span in spans]),
        (spans[0].text[0], spans[-1].text[1]),
        tuple(word for span in spans for word in span.words),
    )


def split_span(
    span: RenderedSpan, start_ms: float, rate_hz: int, samples: int
) -> Iterator[RenderedSpan]:
    """Split a span into parts of at most `samples`; a word and the spaces after it belong to the
    part in which it begins.

    `start_ms` is where the span begins in the context's audio.
    """
    words, part_from = list(span.words), span.text[0]
    for start in range(0, max(1, len(span.pcm)), samples):
        pcm = span.pcm[start : start + samples]
        last = start + samples >= len(span.pcm)
        until_ms = math.inf if last else start_ms + (start + samples) * 1000 / rate_hz
        part_words = [word for word in words if word.start_ms < until_ms]
        words = words[len(part_words) :]
        part_to = words[0].start if words and not last else span.text[1]
        yield RenderedSpan(pcm, (part_from, part_to), tuple(part_words))
        part_from = part_to


def cut_span(
    span: RenderedSpan, start_ms: float, rate_hz: int, samples: int
) -> tuple[RenderedSpan, RenderedSpan | None]:
    """Cut off a part as `split_span` does; a rest too short for a message stays on it."""
    if len(span.pcm) <= samples + round(_SHORTEST_REST_S * rate_hz):
        return span, None
    part = next(split_span(span, start_ms, rate_hz, samples))
    words = span.words[len(part.words) :]
    return part, RenderedSpan(span.pcm[samples:], (part.text[1], span.text[1]), words)


@dataclass(frozen=True, slots=True)
class OutputParams:
    """How a context's audio is sent. `volume`: a factor on the common loudness."""

    format: AudioFormat
    frames: Frames = "binary"
    volume: float = 1.0


class SpanListener(Protocol):
    """The listener of a span: its buffer, and notification of what was sent."""

    @property
    def buffered_s(self) -> float:
        """Audio taken for writing and not heard yet."""

    def on_sent(self, audio_s: float, audible_from_s: float | None) -> None:
        """Audio was queued; the context's first audible sample is at `audible_from_s` in it."""


class AudioSender:
    """One context's levels, encoder and outgoing audio.

    An adaptive format is encoded in parts, each once the line can take it: a part's bit rate is
    that of the line at that time.
    """

    def __init__(
        self, context: str, output: OutputParams, source_hz: int, send_queue: SendQueue
    ) -> None:
        self._context = context
        self._output = output
        self._source_hz = source_hz
        self._send_queue = send_queue
        self._silence_trimmer = SilenceTrimmer(source_hz)
        self._limiter = Limiter(source_hz)
        self._encoder = create_encoder(source_hz, output.format)
        self._rank = send_queue.line.next_rank() if send_queue.line is not None else 0
        self.rendered_ms = 0.0  # PCM received
        self._kept_ms = 0.0  # of it, not trimmed
        self.audio_ms = 0.0  # encoded audio queued; lags by what the encoder holds
        self._text_to = 0
        self._messages = 0
        self._has_sounded = False

    @property
    def is_line_busy(self) -> bool:
        """Whether a span of an adaptive format would have to wait."""
        return self._output.format.is_adaptive and not self._send_queue.is_line_free()

    async def send_span(
        self, span: RenderedSpan, silent_s: float, listener: SpanListener | None = None
    ) -> None:
        """Encode and queue a span; waits for room in the send queue and, if the format is adaptive,
        on the line. `listener` is told each part.

        `silent_s`: how long the listener has heard nothing (infinite: never anything yet); leading
        silence is shortened by as much. A span without samples still accounts for its text.
        """
        start_ms = self._kept_ms
        span = self._apply_volume(self._trim_silence(span, silent_s))
        async for part in self._split_span(span, start_ms, listener):
            before_ms = self.audio_ms
            encoded = await self._encode(partial(self._encoder.encode, part.pcm))
            await self._queue_audio(encoded, part.text, part.words)
            if listener is not None:
                listener.on_sent((self.audio_ms - before_ms) / 1000, self._find_sound(part.pcm))

    async def _split_span(
        self, span: RenderedSpan, start_ms: float, listener: SpanListener | None
    ) -> AsyncIterator[RenderedSpan]:
        """Split a span into messages; those of an adaptive format when the line is free."""
        max_samples = int(_MAX_SPAN_BYTES / self._output.format.bytes_per_s * self._source_hz)
        line = self._send_queue.line
        if line is None or not self._output.format.is_adaptive:
            for part in split_span(span, start_ms, self._source_hz, max_samples):
                yield part
            return
        rest: RenderedSpan | None = span
        while rest is not None:
            await self._send_queue.wait_line_free(self._rank)
            ahead_s = listener.buffered_s if listener is not None else 0.0
            choice = line.choose_part(ahead_s)
            self._encoder.set_bits_per_s(choice.bits_per_s, is_constant=choice.is_constant)
            samples = round(choice.seconds * self._source_hz)
            part, rest = cut_span(rest, start_ms, self._source_hz, min(samples, max_samples))
            start_ms += len(part.pcm) * 1000 / self._source_hz
            yield part

    def _find_sound(self, pcm: Pcm) -> float | None:
        """Where the context's first audible sample is, in seconds, if it is in `pcm`."""
        if self._has_sounded or (at := first_audible(pcm, self._source_hz)) is None:
            return None
        self._has_sounded = True
        return at / self._source_hz

    def _trim_silence(self, span: RenderedSpan, silent_s: float) -> RenderedSpan:
        """Remove leading silence; shift the words with it."""
        pcm = self._silence_trimmer.trim(span.pcm, silent_s)
        start_ms = self._kept_ms
        self.rendered_ms += len(span.pcm) * 1000 / self._source_hz
        self._kept_ms += len(pcm) * 1000 / self._source_hz
        trimmed_ms = self.rendered_ms - self._kept_ms
        words = tuple(
            replace(
                word,
                start_ms=max(start_ms, word.start_ms - trimmed_ms),
                end_ms=max(start_ms, word.end_ms - trimmed_ms),
            )
            for word in span.words
        )
        return replace(span, pcm=pcm, words=words)

    def _apply_volume(self, span: RenderedSpan) -> RenderedSpan:
        return replace(span, pcm=self._limiter.limit(span.pcm * np.float32(self._output.volume)))

    async def send_rest(self) -> Done:
        """Send what the encoder still holds. Returns the sums over all messages."""
        await self._finish_stream()
        return Done(self._context, self.audio_ms, self._text_to, self._messages)

    async def end_stream(self) -> None:
        """Send what the encoder still holds; later audio begins a new stream."""
        await self._finish_stream()
        self._encoder = create_encoder(self._source_hz, self._output.format)

    async def _finish_stream(self) -> None:
        rest = await self._encode(self._encoder.finish)
        if rest.data or rest.samples:
            await self._queue_audio(rest, (self._text_to, self._text_to), ())

    def position_without(self, dropped: Sequence[Audio]) -> tuple[int, float]:
        """Text offset and milliseconds sent, not counting the queued audio `dropped`."""
        if dropped:
            return dropped[0].text[0], dropped[0].start_ms
        return self._text_to, self.audio_ms

    async def _encode(self, encode: Callable[[], EncodedAudio]) -> EncodedAudio:
        return await asyncio.to_thread(encode) if self._encoder.blocking else encode()

    async def _queue_audio(
        self, encoded: EncodedAudio, text: tuple[int, int], words: tuple[Word, ...]
    ) -> None:
        duration_ms = round(self._output.format.duration_ms(encoded.samples), 3)
        message = Audio(
            self._context,
            self._messages,
            self.audio_ms,
            duration_ms,
            text,
            words,
            encoded.data,
            self._output.frames,
        )
        await self._send_queue.put_audio(message)
        self._messages += 1
        self._text_to = text[1]
        # Sum of rounded durations, so that `done` equals what a client adds up.
        self.audio_ms = round(self.audio_ms + duration_ms, 3)
