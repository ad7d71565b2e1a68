"""Reassembles the audio of a context: each sample once, in order, across restarts.

When the server loses a context, its unheard text is spoken in a new context on the wire, whose
sequence numbers, offsets and times begin at 0; those that the application sees continue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from duplex_tts.errors import ProtocolError
from duplex_tts.events import Audio, Cancelled, Done, Restarted, Word

ROUNDING_MS = 1.0  # durations are rounded on the wire, one by one and in the sum
WIRE_STEP_MS = 0.001
CUT_WORD_MS = 5.0  # a resampler holds back up to half of that
SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}


@dataclass(frozen=True, slots=True)
class AudioForm:
    """An audio format: its name, and its sample rate in Hz."""

    name: str
    sample_rate_hz: int

    def duration_ms(self, size_bytes: int) -> float | None:
        """Duration of that many bytes; None for formats that must be decoded to know."""
        sample_bytes = SAMPLE_BYTES.get(self.name)
        return size_bytes * 1000 / (sample_bytes * self.sample_rate_hz) if sample_bytes else None


class AudioReassembly:
    """Checks, counts and renumbers the events of a context. Synchronous.

    `form`: of the audio. In a format that cannot be cut at a sample (see `SAMPLE_BYTES`), a word
    that is interrupted by a lost server counts as heard.
    """

    def __init__(self, context: str, form: AudioForm) -> None:
        self._context = context
        self._form = form
        self._sample_bytes = SAMPLE_BYTES.get(form.name)
        self._held: Audio | None = None
        self._base = Restarted(context, 0, 0.0)  # where the current wire context begins
        self._wire_chunks = 0
        self._chunks = 0
        self._arrived_to, self.arrived_ms = 0, 0.0
        self._arrived_bytes = 0
        self.text_to = 0
        self.audio_ms = 0.0

    @property
    def last_seq(self) -> int:
        """`seq` of the last audio message on the wire; -1 before the first."""
        return self._wire_chunks - 1

    def add_audio(self, audio: Audio) -> Audio | None:
        """Return the audio for the application; None for a repetition.

        A word cut by the end of the message is held back until its rest arrives, so that the
        application gets each word whole or not at all. Raises `ProtocolError`.
        """
        if audio.seq < self._wire_chunks:
            return None
        if audio.seq > self._wire_chunks:
            raise ProtocolError(f"audio {audio.seq} after {self.last_seq}: some is missing")
        self._check_times(audio)
        audio = shift_audio(audio, self._base.text_to, self._base.audio_ms)
        audio = replace(audio, context=self._context, seq=self._chunks)
        if audio.text[0] != self._arrived_to:
            raise ProtocolError(
                f"audio for text {audio.text} when {self._arrived_to} characters were spoken"
            )
        self._wire_chunks += 1
        self._chunks += 1
        self._arrived_to = audio.text[1]
        self.arrived_ms += audio.duration_ms
        self._arrived_bytes += len(audio.data)
        return self._hold_cut_word(_join_audio(self._held, audio) if self._held else audio)

    def _check_times(self, audio: Audio) -> None:
        """Raise `ProtocolError` if the times do not match the samples."""
        wire_ms = self.arrived_ms - self._base.audio_ms
        if abs(audio.start_ms - wire_ms) > ROUNDING_MS:
            raise ProtocolError(f"audio from {audio.start_ms} ms on, when {wire_ms} ms had arrived")
        samples_ms = self._form.duration_ms(self._arrived_bytes + len(audio.data))
        stated_ms = wire_ms + audio.duration_ms
        rounding_ms = ROUNDING_MS + WIRE_STEP_MS * self._wire_chunks
        if samples_ms is not None and abs(stated_ms - samples_ms) > rounding_ms:
            raise ProtocolError(f"audio of {stated_ms} ms, whose samples are {samples_ms} ms")

    def finish(self, done: Done) -> tuple[Audio | None, Done]:
        """Return the audio still held back, and the totals over all wire contexts.

        Raises `ProtocolError` when the totals do not match what arrived.
        """
        expected = (self._arrived_to - self._base.text_to, self._wire_chunks)
        wire_ms = self.arrived_ms - self._base.audio_ms
        totals_differ = (done.characters, done.chunks) != expected
        if totals_differ or abs(done.audio_ms - wire_ms) > ROUNDING_MS:
            raise ProtocolError(f"{done}, but {wire_ms} ms, {expected} arrived")
        held, self._held = self._held, None
        if held is not None:
            self._chunks += 1
            self._count_heard(held)
        audio_ms = round(self._base.audio_ms + done.audio_ms, 3)
        return held, Done(self._context, audio_ms, self._arrived_to, self._chunks)

    def translate_cancelled(self, cancelled: Cancelled) -> Cancelled:
        """Translate the id, offset and time of `cancelled` to those of the context."""
        audio_ms = round(self._base.audio_ms + cancelled.audio_ms, 3)
        return Cancelled(self._context, self.from_wire_offset(cancelled.text_to), audio_ms)

    @property
    def wire_start(self) -> int:
        """Offset in the context at which the current wire context begins."""
        return self._base.text_to

    def from_wire_offset(self, wire_offset: int) -> int:
        """Translate a wire offset to one of the context."""
        return wire_offset + self._base.text_to

    def to_wire_offset(self, offset: int) -> int:
        """Translate an offset of the context to one on the wire; 0 if it lies before."""
        return max(0, offset - self._base.text_to)

    def to_wire_ms(self, ms: float) -> float:
        """Translate a time of the context to one on the wire; 0 if it lies before."""
        return max(0.0, ms - self._base.audio_ms)

    def restart(self) -> Restarted:
        """Begin a new wire context, after the former was lost; returns where: at a word start."""
        self._held = None
        self._arrived_to, self.arrived_ms = self.text_to, self.audio_ms
        self._arrived_bytes = 0
        self._base = Restarted(self._context, self.text_to, round(self.audio_ms, 3))
        self._wire_chunks = 0
        return self._base

    def _hold_cut_word(self, audio: Audio) -> Audio:
        cut = audio.words[-1] if audio.words else None
        end_ms = audio.start_ms + audio.duration_ms
        if self._sample_bytes and cut and cut.end_ms > end_ms + CUT_WORD_MS:
            audio, self._held = _split_audio(audio, cut, self._sample_bytes)
        else:
            self._held = None
        self._count_heard(audio)
        return audio

    def _count_heard(self, audio: Audio) -> None:
        self.text_to = audio.text[1]
        self.audio_ms += audio.duration_ms


def shift_audio(audio: Audio, text: int, ms: float) -> Audio:
    """Return the audio moved by `text` characters and `ms` milliseconds."""
    if not text and not ms:
        return audio
    return replace(
        audio,
        start_ms=round(audio.start_ms + ms, 3),
        text=(audio.text[0] + text, audio.text[1] + text),
        words=tuple(
            Word(word.start + text, word.end + text, word.start_ms + ms, word.end_ms + ms)
            for word in audio.words
        ),
    )


def _join_audio(first: Audio, second: Audio) -> Audio:
    return replace(
        second,
        start_ms=first.start_ms,
        duration_ms=round(first.duration_ms + second.duration_ms, 3),
        text=(first.text[0], second.text[1]),
        words=first.words + second.words,
        data=first.data + second.data,
    )


def _split_audio(audio: Audio, word: Word, sample_bytes: int) -> tuple[Audio, Audio]:
    """Split the audio before the word."""
    samples = len(audio.data) // sample_bytes
    before_ms = min(max(word.start_ms - audio.start_ms, 0.0), audio.duration_ms)
    at = round(samples * before_ms / audio.duration_ms) if audio.duration_ms else 0
    before_ms = round(audio.duration_ms * at / samples, 3) if samples else 0.0
    border = max(word.start, audio.text[0])
    before = replace(
        audio,
        duration_ms=before_ms,
        text=(audio.text[0], border),
        words=audio.words[:-1],
        data=audio.data[: at * sample_bytes],
    )
    held = replace(
        audio,
        start_ms=round(audio.start_ms + before_ms, 3),
        duration_ms=round(audio.duration_ms - before_ms, 3),
        text=(border, audio.text[1]),
        words=audio.words[-1:],
        data=audio.data[at * sample_bytes :],
    )
    return before, held
