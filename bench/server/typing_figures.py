"""Summaries and figures of typed speech. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from bench.harness.judge import Verdict, WordErrors
from bench.harness.report import Figure
from bench.harness.timeline import Timeline
from bench.harness.typists import KeyStroke
from bench.server.quality import Scores, bootstrap_interval

REFERENCE_SPEED = 5.5  # characters/s, of most figures
_TYPED = f"typed at {REFERENCE_SPEED:g} characters/s"
GOAL_WER_POINTS = {9.0: math.nan, 5.5: 0.5, 2.5: 1.0, 1.0: 1.0}
GOAL_PLCMOS = 0.08
GOAL_SHORTEST, GOAL_LONGEST = 0.97, 1.06
GOAL_FIRST_SOUND_S = 2.2
GOAL_LAG_S = 1.0


@dataclass(frozen=True, slots=True)
class Take:
    """One text, spoken once. `speed`: characters/s, None: as a whole.

    `dry`: the verdict on the speech without gaps; `transcript`, `words`: with them.
    """

    text_id: str
    speed: float | None
    seed: int
    dry: Verdict
    transcript: str
    words: WordErrors
    timeline: Timeline
    strokes: Sequence[KeyStroke] = field(default=(), repr=False)

    @property
    def events(self) -> int:
        """How many kinds of events it has: backspaces, predicted words."""
        return any(not stroke.text for stroke in self.strokes) + any(
            len(stroke.text) > 1 for stroke in self.strokes
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """All texts at one speed. Error rates in percent, durations in seconds."""

    texts: int
    words: int
    heard_wer: float
    dry_wer: float
    plcmos: float
    duration_s: float
    stops: float
    half_words: int
    first_sound_s: float
    lag_p50_s: float
    lag_p90_s: float

    def row(self) -> dict[str, float]:
        """The finite values, for the results."""
        values = {name: round(float(getattr(self, name)), 4) for name in self.__slots__}
        return {name: value for name, value in values.items() if math.isfinite(value)}


def group_by_speed(takes: Sequence[Take]) -> dict[float | None, list[Take]]:
    """Group takes by speed: whole texts first, then the fastest."""
    speeds = sorted({take.speed for take in takes}, key=lambda speed: -(speed or math.inf))
    return {speed: [take for take in takes if take.speed == speed] for speed in speeds}


def summarise(takes: Sequence[Take]) -> Summary:
    """Sums and means over the texts; whole texts have no lag (NaN)."""
    typed = [take for take in takes if take.speed is not None]
    lags_s = [lag for take in typed for lag in take.timeline.lags_s] or [math.nan]
    errors = reduce(add, (take.words for take in takes))
    first_s = [take.timeline.first_sound_s for take in takes]
    return Summary(
        texts=len(takes),
        words=errors.words,
        heard_wer=100 * errors.rate,
        dry_wer=100 * reduce(add, (take.dry.words for take in takes)).rate,
        plcmos=float(np.mean([take.dry.plcmos for take in takes])),
        duration_s=sum(take.dry.duration_s for take in takes),
        stops=float(np.mean([take.timeline.stops for take in takes])),
        half_words=sum(take.timeline.half_words for take in takes),
        first_sound_s=float(np.median([math.inf if at_s is None else at_s for at_s in first_s])),
        lag_p50_s=float(np.percentile(lags_s, 50)),
        lag_p90_s=float(np.percentile(lags_s, 90)),
    )


def _scores(takes: Sequence[Take]) -> Scores:
    """Scores per text, averaged over its takes."""
    texts = sorted({take.text_id for take in takes})
    rows = [
        np.mean(
            [
                (take.words.errors, take.words.words, take.dry.plcmos, take.dry.duration_s)
                for take in takes
                if take.text_id == text
            ],
            axis=0,
        )
        for text in texts
    ]
    return Scores(*np.array(rows).T)


def build_figures(takes: Sequence[Take]) -> list[Figure]:
    """All figures; needs takes of whole texts and of texts typed at `REFERENCE_SPEED`."""
    found = group_by_speed(takes)
    whole, usual = summarise(found[None]), summarise(found[REFERENCE_SPEED])
    typed = {speed: some for speed, some in found.items() if speed is not None}
    return [
        *(_word_error_figure(speed, some, found[None]) for speed, some in typed.items()),
        *_quality_figures(whole, usual),
        Figure(
            "half words spoken, at all speeds",
            sum(summarise(some).half_words for some in typed.values()),
            0,
            at_most=True,
            note=f"{sum(map(len, typed.values()))} texts",
        ),
        *_delay_figures(usual),
    ]


def _quality_figures(whole: Summary, usual: Summary) -> list[Figure]:
    ratio = usual.duration_s / whole.duration_s
    return [
        Figure(
            f"{_TYPED}: PLCMOS lost",
            whole.plcmos - usual.plcmos,
            GOAL_PLCMOS,
            at_most=True,
            note=f"{whole.plcmos:.3f} -> {usual.plcmos:.3f}",
        ),
        Figure(
            f"{_TYPED}: duration of speech",
            ratio,
            GOAL_LONGEST if ratio > 1 else GOAL_SHORTEST,
            at_most=ratio > 1,
            unit="x",
            note=f"{whole.duration_s:.1f} s -> {usual.duration_s:.1f} s; the goal is "
            f"{GOAL_SHORTEST:g} to {GOAL_LONGEST:g}; {usual.stops:.1f} audible stops per text",
        ),
    ]


def _delay_figures(usual: Summary) -> list[Figure]:
    return [
        Figure(
            f"{_TYPED}: first sound after the first key, p50",
            usual.first_sound_s,
            GOAL_FIRST_SOUND_S,
            at_most=True,
            unit=" s",
        ),
        Figure(
            f"{_TYPED}: from a phrase's last character to its sound, p50",
            usual.lag_p50_s,
            GOAL_LAG_S,
            at_most=True,
            unit=" s",
            note=f"p90 {usual.lag_p90_s:.2f} s",
        ),
    ]


def _word_error_figure(speed: float, takes: Sequence[Take], whole: Sequence[Take]) -> Figure:
    was, now = summarise(whole), summarise(takes)
    low, high = bootstrap_interval(_scores(whole), _scores(takes), seed=0)[:, 0]
    return Figure(
        f"typed at {speed:g} characters/s: word errors, against whole text",
        now.heard_wer - was.heard_wer,
        GOAL_WER_POINTS.get(speed, math.nan),
        at_most=True,
        unit=" points",
        note=f"{was.heard_wer:.2f} % -> {now.heard_wer:.2f} % of {now.words} words; 95 %: "
        f"{low:+.2f} to {high:+.2f}; without gaps {now.dry_wer:.2f} %",
    )


def text_row(take: Take) -> dict[str, Any]:
    """One take for the results."""
    timeline = take.timeline
    return {
        "id": take.text_id,
        "speed": take.speed,
        "errors_heard": take.words.errors,
        "errors_dry": take.dry.words.errors,
        "plcmos": round(take.dry.plcmos, 3),
        "duration_s": round(take.dry.duration_s, 3),
        "stops": timeline.stops,
        "half_words": timeline.half_words,
        "heard": take.transcript,
        "heard_dry": take.dry.transcript,
    }


def picture_row(take: Take) -> dict[str, Any]:
    """One take for the plot: keys (null: a backspace), and spoken text with start and end times."""
    text = take.timeline.typed.text
    return {
        "speed": take.speed,
        "keys": [[round(stroke.at_s, 3), stroke.text or None] for stroke in take.strokes],
        "heard": [
            [round(span.starts_s, 3), round(span.ends_s, 3), text[span.start : span.end].strip()]
            for span in take.timeline.spans
            if span.ends_s > span.starts_s
        ],
    }
