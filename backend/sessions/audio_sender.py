"""From a context's PCM to its `audio` messages: encoding and counting."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from backend.audio.formats import AudioFormat, EncodedAudio, Pcm, create_encoder
from backend.audio.leading_silence import SilenceTrimmer
from backend.audio.loudness import Limiter, first_audible
from backend.events import Audio, Done, Frames, Word
from backend.sessions.send_queue import SendQueue

_PIECE_BYTES = 150_000  # of samples in one message: in base64, with its header, under 256 KiB


@dataclass(frozen=True, slots=True)
class RenderedSpan:
    """PCM at the common loudness with the text that it speaks, all in the context's own offsets and
    milliseconds.
    """

    pcm: Pcm = field(repr=False)
    text: tuple[int, int]
    words: tuple[Word, ...] = ()


def joined(pieces: Sequence[RenderedSpan]) -> RenderedSpan:
    """Consecutive pieces as one."""
    return RenderedSpan(
        np.concatenate([piece.pcm for piece in pieces]),
        (pieces[0].text[0], pieces[-1].text[1]),
        tuple(word for piece in pieces for word in piece.words),
    )


def split(
    piece: RenderedSpan, start_ms: float, rate_hz: int, samples: int
) -> Iterator[RenderedSpan]:
    """Cut a piece into pieces of at most `samples`; a word, with the spaces behind it, goes with
    the one in which it begins.

    `start_ms` is where the piece begins in the context's audio.
    """
    words, at = list(piece.words), piece.text[0]
    for start in range(0, max(1, len(piece.pcm)), samples):
        pcm = piece.pcm[start : start + samples]
        last = start + samples >= len(piece.pcm)
        until_ms = math.inf if last else start_ms + (start + samples) * 1000 / rate_hz
        mine = [word for word in words if word.start_ms < until_ms]
        words = words[len(mine) :]
        end = words[0].start if words and not last else piece.text[1]
        yield RenderedSpan(pcm, (at, end), tuple(mine))
        at = end


@dataclass(frozen=True, slots=True)
class Output:
    """How a context's audio leaves. `volume`: a factor on the common loudness."""

    format: AudioFormat
    frames: Frames = "binary"
    volume: float = 1.0


@dataclass(frozen=True, slots=True)
class Sent:
    """Audio that was queued: its seconds, and where in it the first audible sample is."""

    audio_s: float
    audible_from_s: float | None


class AudioSender:
    """One context's levels, encoder and outgoing audio."""

    def __init__(self, context: str, output: Output, source_hz: int, send_queue: SendQueue) -> None:
        self._context = context
        self._output = output
        self._source_hz = source_hz
        self._send_queue = send_queue
        self._onset = SilenceTrimmer(source_hz)
        self._limiter = Limiter(source_hz)
        self._encoder = create_encoder(source_hz, output.format)
        self.rendered_ms = 0.0  # PCM taken in
        self._kept_ms = 0.0  # of that, what was not trimmed
        self.audio_ms = 0.0  # encoded audio put out; lags behind by what the encoder holds
        self._text_to = 0
        self._messages = 0

    async def send(self, piece: RenderedSpan, silent_s: float) -> Sent:
        """Encode and queue a piece; waits for room in the outbox.

        `silent_s`: for how long there has been nothing to hear (infinite: never yet); leading
        silence is shortened by as much. A piece without samples still accounts for its text.
        """
        longest = int(_PIECE_BYTES / self._output.format.bytes_per_s * self._source_hz)
        before_ms, start_ms = self.audio_ms, self._kept_ms
        piece = self._trim(piece, silent_s)
        audible_from = first_audible(piece.pcm, self._source_hz)
        for part in split(self._level(piece), start_ms, self._source_hz, longest):
            encoded = await self._run(partial(self._encoder.encode, part.pcm))
            await self._put(encoded, part.text, part.words)
        from_s = None if audible_from is None else audible_from / self._source_hz
        return Sent((self.audio_ms - before_ms) / 1000, from_s)

    def _trim(self, piece: RenderedSpan, silent_s: float) -> RenderedSpan:
        """The piece without its leading silence; its words move with it."""
        pcm = self._onset.trim(piece.pcm, silent_s)
        start_ms = self._kept_ms
        self.rendered_ms += len(piece.pcm) * 1000 / self._source_hz
        self._kept_ms += len(pcm) * 1000 / self._source_hz
        earlier_ms = self.rendered_ms - self._kept_ms
        words = tuple(
            replace(
                word,
                start_ms=max(start_ms, word.start_ms - earlier_ms),
                end_ms=max(start_ms, word.end_ms - earlier_ms),
            )
            for word in piece.words
        )
        return replace(piece, pcm=pcm, words=words)

    def _level(self, piece: RenderedSpan) -> RenderedSpan:
        """The piece as loud as the client wants it."""
        return replace(piece, pcm=self._limiter.limit(piece.pcm * np.float32(self._output.volume)))

    async def finish(self) -> Done:
        """Send what the encoder holds back. Returns the sums over all messages."""
        rest = await self._run(self._encoder.finish)
        if rest.data or rest.samples:
            await self._put(rest, (self._text_to, self._text_to), ())
        return Done(self._context, self.audio_ms, self._text_to, self._messages)

    def sent_without(self, dropped: Sequence[Audio]) -> tuple[int, float]:
        """Text offset and milliseconds that have left, when the queued `dropped` never will."""
        if dropped:
            return dropped[0].text[0], dropped[0].start_ms
        return self._text_to, self.audio_ms

    async def _run(self, encode: Callable[[], EncodedAudio]) -> EncodedAudio:
        return await asyncio.to_thread(encode) if self._encoder.blocking else encode()

    async def _put(
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
        await self._send_queue.put(message)
        self._messages += 1
        self._text_to = text[1]
        # Rounded sums: what a client adds up from the messages is what `done` says.
        self.audio_ms = round(self.audio_ms + duration_ms, 3)
