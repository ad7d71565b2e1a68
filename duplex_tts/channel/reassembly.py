"""What has arrived of one context: each sample once, in order, in the context's own terms.

The server may lose a context and speak what is missing in a new one; that one's numbers, offsets
and times begin anew (a *leg*), the application's go on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from duplex_tts.errors import ProtocolError
from duplex_tts.events import Audio, Cancelled, Done, Restarted, Word

ROUNDING_MS = 1.0  # durations are rounded on the wire, one by one and in the sum
WIRE_STEP_MS = 0.001
CUT_WORD_MS = 5.0  # a resampler keeps back up to half of that
SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}


@dataclass(frozen=True, slots=True)
class AudioForm:
    """What audio is encoded in: its format's name, and its sample rate in Hz."""

    name: str
    sample_rate_hz: int

    def duration_ms(self, size_bytes: int) -> float | None:
        """How long so much lasts; None where only a decoder knows."""
        sample_bytes = SAMPLE_BYTES.get(self.name)
        return size_bytes * 1000 / (sample_bytes * self.sample_rate_hz) if sample_bytes else None


class AudioReassembly:
    """Checks, counts and renumbers what the server says. Plain and synchronous.

    `form`: of the audio. Of a format without samples to cut at (`SAMPLE_BYTES`), a word that the
    server was lost in the middle of counts as heard.
    """

    def __init__(self, context: str, form: AudioForm) -> None:
        self._context = context
        self._form = form
        self._sample_bytes = SAMPLE_BYTES.get(form.name)
        self._held: Audio | None = None
        self._base = Restarted(context, 0, 0.0)
        self._leg_chunks = 0
        self._chunks = 0
        self._arrived_to, self.arrived_ms = 0, 0.0
        self._arrived_bytes = 0
        self.text_to = 0
        self.audio_ms = 0.0

    @property
    def last_seq(self) -> int:
        """Number of the leg's last audio message; -1 before the first."""
        return self._leg_chunks - 1

    def audio(self, audio: Audio) -> Audio | None:
        """What of it the application hears now; None when it is a repetition.

        A word whose sound is cut by the end of the message is held back until the rest has come:
        so the application has each word whole or not at all. Raises `ProtocolError`.
        """
        if audio.seq < self._leg_chunks:
            return None
        if audio.seq > self._leg_chunks:
            raise ProtocolError(f"audio {audio.seq} after {self.last_seq}: some is missing")
        self._check_times(audio)
        audio = moved(audio, self._base.text_to, self._base.audio_ms)
        audio = replace(audio, context=self._context, seq=self._chunks)
        if audio.text[0] != self._arrived_to:
            raise ProtocolError(
                f"audio for text {audio.text} when {self._arrived_to} characters were spoken"
            )
        self._leg_chunks += 1
        self._chunks += 1
        self._arrived_to = audio.text[1]
        self.arrived_ms += audio.duration_ms
        self._arrived_bytes += len(audio.data)
        return self._whole_words(_joined(self._held, audio) if self._held else audio)

    def _check_times(self, audio: Audio) -> None:
        """Raise `ProtocolError` for times that are not those of the samples."""
        leg_ms = self.arrived_ms - self._base.audio_ms
        if abs(audio.start_ms - leg_ms) > ROUNDING_MS:
            raise ProtocolError(f"audio from {audio.start_ms} ms on, when {leg_ms} ms had arrived")
        lasts_ms = self._form.duration_ms(self._arrived_bytes + len(audio.data))
        told_ms = leg_ms + audio.duration_ms
        rounding_ms = ROUNDING_MS + WIRE_STEP_MS * self._leg_chunks
        if lasts_ms is not None and abs(told_ms - lasts_ms) > rounding_ms:
            raise ProtocolError(f"audio of {told_ms} ms, whose samples are {lasts_ms} ms")

    def done(self, done: Done) -> tuple[Audio | None, Done]:
        """What was held back to the end, and the sums over all legs.

        Raises `ProtocolError` when what arrived adds up to something else.
        """
        expected = (self._arrived_to - self._base.text_to, self._leg_chunks)
        leg_ms = self.arrived_ms - self._base.audio_ms
        sums_differ = (done.characters, done.chunks) != expected
        if sums_differ or abs(done.audio_ms - leg_ms) > ROUNDING_MS:
            raise ProtocolError(f"{done}, but {leg_ms} ms, {expected} arrived")
        held, self._held = self._held, None
        if held is not None:
            self._chunks += 1
            self._count(held)
        audio_ms = round(self._base.audio_ms + done.audio_ms, 3)
        return held, Done(self._context, audio_ms, self._arrived_to, self._chunks)

    def cancelled(self, cancelled: Cancelled) -> Cancelled:
        """In the context's own terms."""
        audio_ms = round(self._base.audio_ms + cancelled.audio_ms, 3)
        return Cancelled(self._context, self.offset(cancelled.text_to), audio_ms)

    @property
    def leg_start(self) -> int:
        """Where in the context its leg begins."""
        return self._base.text_to

    def offset(self, leg_offset: int) -> int:
        """In the context, for an offset in its leg."""
        return leg_offset + self._base.text_to

    def leg_offset(self, offset: int) -> int:
        """In the leg, for an offset in the context; 0 for what lies before it."""
        return max(0, offset - self._base.text_to)

    def leg_ms(self, ms: float) -> float:
        """The same for a time."""
        return max(0.0, ms - self._base.audio_ms)

    def restart(self) -> Restarted:
        """The leg is lost: the next one speaks from here on, a word's beginning."""
        self._held = None
        self._arrived_to, self.arrived_ms = self.text_to, self.audio_ms
        self._arrived_bytes = 0
        self._base = Restarted(self._context, self.text_to, round(self.audio_ms, 3))
        self._leg_chunks = 0
        return self._base

    def _whole_words(self, audio: Audio) -> Audio:
        cut = audio.words[-1] if audio.words else None
        end_ms = audio.start_ms + audio.duration_ms
        if self._sample_bytes and cut and cut.end_ms > end_ms + CUT_WORD_MS:
            audio, self._held = _parted(audio, cut, self._sample_bytes)
        else:
            self._held = None
        self._count(audio)
        return audio

    def _count(self, audio: Audio) -> None:
        self.text_to = audio.text[1]
        self.audio_ms += audio.duration_ms


def moved(audio: Audio, text: int, ms: float) -> Audio:
    """The same audio, so much further on in the text and in time."""
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


def _joined(first: Audio, second: Audio) -> Audio:
    return replace(
        second,
        start_ms=first.start_ms,
        duration_ms=round(first.duration_ms + second.duration_ms, 3),
        text=(first.text[0], second.text[1]),
        words=first.words + second.words,
        data=first.data + second.data,
    )


def _parted(audio: Audio, cut: Word, sample_bytes: int) -> tuple[Audio, Audio]:
    """The audio before the word, and from the word on."""
    samples = len(audio.data) // sample_bytes
    before_ms = min(max(cut.start_ms - audio.start_ms, 0.0), audio.duration_ms)
    at = round(samples * before_ms / audio.duration_ms) if audio.duration_ms else 0
    before_ms = round(audio.duration_ms * at / samples, 3) if samples else 0.0
    border = max(cut.start, audio.text[0])
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
