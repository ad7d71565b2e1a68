"""What was written when, and what of it was heard when. Plain; times are seconds from the start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.events import Audio
from bench.harness.hearing import Gap, Hearing, Pcm, audible_from_s, decode_pcm
from bench.harness.typists import Page

STOP_S = 0.1  # a shorter gap is heard as none
_WORD = re.compile(r"\w+(?:['’]\w+|(?<=\d)[.,:]\d+)*")


@dataclass(frozen=True, slots=True)
class Span:
    """A message that speaks `text[start:end]` from `starts_s` to `ends_s`; `sound_s`: when it
    becomes audible, None when it never does.
    """

    start: int
    end: int
    starts_s: float
    ends_s: float
    sound_s: float | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """A text, when each character of it was written, and how it was heard."""

    page: Page
    spans: Sequence[Span]
    gaps: Sequence[Gap]
    first_sound_s: float | None

    @property
    def stops(self) -> int:
        """How often the listener waited in the middle."""
        return sum(gap.length_s > STOP_S for gap in self.gaps)

    @property
    def half_words(self) -> int:
        """How many spans end inside a word of the text as it stood in the end."""
        inside = [range(m.start() + 1, m.end()) for m in _WORD.finditer(self.page.text)]
        ends = {span.end for span in self.spans if span.end > span.start}
        return sum(end in word for end in ends for word in inside)

    @property
    def lags_s(self) -> list[float]:
        """Of each span, from its last character (spaces aside) to its sound."""
        lags = []
        for span in self.spans:
            last = len(self.page.text[: span.end].rstrip()) - 1
            if span.sound_s is not None and last >= span.start:
                lags.append(span.sound_s - self.page.written_s[last])
        return lags


@dataclass(frozen=True, slots=True)
class Listened:
    """A recording with the listener's pauses (`heard`) and without them (`dry`)."""

    timeline: Timeline
    heard: Pcm
    dry: Pcm


def listen(page: Page, audio: Sequence[tuple[float, Audio]], rate_hz: int) -> Listened:
    """Hear messages of the format `pcm_s16le` at the times when they came."""
    hearing, spans = Hearing(rate_hz), list[Span]()
    heard, dry = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for at_s, message in audio:
        pcm = decode_pcm(message.data)
        gap = hearing.gap(at_s)
        if gap is not None and len(pcm):
            heard.append(np.zeros(round(gap.length_s * rate_hz), np.float32))
        starts_s = hearing.hear(pcm, at_s)
        heard.append(pcm)
        dry.append(pcm)
        silent_s = audible_from_s(pcm, rate_hz)
        sound_s = None if silent_s is None else starts_s + silent_s
        spans.append(Span(*message.text, starts_s, starts_s + len(pcm) / rate_hz, sound_s))
    timeline = Timeline(page, spans, hearing.gaps, hearing.first_sound_s)
    return Listened(timeline, np.concatenate(heard), np.concatenate(dry))
