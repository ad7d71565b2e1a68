"""When each character was typed and when it was heard. Pure; times are seconds from the start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.events import Audio
from bench.harness.simulated_listener import (
    AudibleGap,
    Pcm,
    SimulatedListener,
    audible_from_s,
    decode_pcm,
)
from bench.harness.typists import TimedText

STOP_S = 0.1  # shorter gaps are not noticed
_WORD = re.compile(r"\w+(?:['’]\w+|(?<=\d)[.,:]\d+)*")


@dataclass(frozen=True, slots=True)
class SpokenSpan:
    """A message that speaks `text[start:end]` from `starts_s` to `ends_s`; `sound_s`: when it
    becomes audible, or None.
    """

    start: int
    end: int
    starts_s: float
    ends_s: float
    sound_s: float | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """A typed text and how it was heard."""

    typed: TimedText
    spans: Sequence[SpokenSpan]
    gaps: Sequence[AudibleGap]
    first_sound_s: float | None

    @property
    def stops(self) -> int:
        """Number of noticeable gaps."""
        return sum(gap.length_s > STOP_S for gap in self.gaps)

    @property
    def half_words(self) -> int:
        """Number of spans that end inside a word of the final text."""
        inside = [range(m.start() + 1, m.end()) for m in _WORD.finditer(self.typed.text)]
        ends = {span.end for span in self.spans if span.end > span.start}
        return sum(end in word for end in ends for word in inside)

    @property
    def lags_s(self) -> list[float]:
        """Per span, from its last character (spaces ignored) to its sound."""
        lags = []
        for span in self.spans:
            last = len(self.typed.text[: span.end].rstrip()) - 1
            if span.sound_s is not None and last >= span.start:
                lags.append(span.sound_s - self.typed.written_s[last])
        return lags


@dataclass(frozen=True, slots=True)
class ListenedRecording:
    """A recording with the listener's gaps (`heard`) and without them (`dry`)."""

    timeline: Timeline
    heard: Pcm
    dry: Pcm


def play_messages(
    typed: TimedText, audio: Sequence[tuple[float, Audio]], rate_hz: int
) -> ListenedRecording:
    """Play `pcm_s16le` messages at their arrival times."""
    hearing, spans = SimulatedListener(rate_hz), list[SpokenSpan]()
    heard, dry = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for at_s, message in audio:
        pcm = decode_pcm(message.data)
        gap = hearing.current_gap(at_s)
        if gap is not None and len(pcm):
            heard.append(np.zeros(round(gap.length_s * rate_hz), np.float32))
        starts_s = hearing.play_audio(pcm, at_s)
        heard.append(pcm)
        dry.append(pcm)
        silent_s = audible_from_s(pcm, rate_hz)
        sound_s = None if silent_s is None else starts_s + silent_s
        spans.append(SpokenSpan(*message.text, starts_s, starts_s + len(pcm) / rate_hz, sound_s))
    timeline = Timeline(typed, spans, hearing.gaps, hearing.first_sound_s)
    return ListenedRecording(timeline, np.concatenate(heard), np.concatenate(dry))
