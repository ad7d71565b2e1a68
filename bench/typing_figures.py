"""What was measured of typed speech, summed up and held to its goals. Plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from bench.judge import WordErrors
from bench.report import Figure
from bench.timeline import Timeline
from bench.typists import Stroke

USUAL = 5.5  # characters a second, of most figures
GOAL_WER_POINTS = {9.0: float("nan"), 5.5: 0.5, 2.5: 1.0, 1.0: 1.0}
GOAL_PLCMOS = 0.08
GOAL_SHORTEST, GOAL_LONGEST = 0.97, 1.06
GOAL_FIRST_SOUND_S = 2.2
GOAL_LAG_S = 1.0


@dataclass(frozen=True, slots=True)
class Take:
    """One text, spoken once. `speed`: characters a second; None: the text was known as a whole.
    `heard`, `dry`: with the listener's pauses and without them.
    """

    text_id: str
    speed: float | None
    heard: WordErrors
    dry: WordErrors
    transcript: str
    plcmos: float
    duration_s: float
    timeline: Timeline
    strokes: Sequence[Stroke] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """All texts at one speed. Errors in percent of the words, durations of speech in seconds."""

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
        """For the results."""
        return {name: round(float(getattr(self, name)), 4) for name in self.__slots__}


def summarise(takes: Sequence[Take]) -> Summary:
    """Sums and means over the texts."""
    lags_s = [lag for take in takes for lag in take.timeline.lags_s]
    heard = reduce(add, (take.heard for take in takes))
    first_s = [take.timeline.first_sound_s for take in takes]
    return Summary(
        texts=len(takes),
        words=heard.words,
        heard_wer=100 * heard.rate,
        dry_wer=100 * reduce(add, (take.dry for take in takes)).rate,
        plcmos=float(np.mean([take.plcmos for take in takes])),
        duration_s=sum(take.duration_s for take in takes),
        stops=float(np.mean([take.timeline.stops for take in takes])),
        half_words=sum(take.timeline.half_words for take in takes),
        first_sound_s=float(np.median([np.inf if at_s is None else at_s for at_s in first_s])),
        lag_p50_s=float(np.percentile(lags_s, 50)),
        lag_p90_s=float(np.percentile(lags_s, 90)),
    )


def by_speed(takes: Sequence[Take]) -> dict[float | None, Summary]:
    """Whole texts first, then the fastest."""
    speeds = sorted({take.speed for take in takes}, key=lambda speed: -(speed or np.inf))
    return {speed: summarise([take for take in takes if take.speed == speed]) for speed in speeds}


def figures(found: dict[float | None, Summary]) -> list[Figure]:
    """Beside the goals; `found` has whole texts and those typed at `USUAL`."""
    whole, usual = found[None], found[USUAL]
    typed = {speed: summary for speed, summary in found.items() if speed is not None}
    at = f"typed at {USUAL:g} characters/s"
    ratio = usual.duration_s / whole.duration_s
    return [
        *(_word_errors(speed, summary, whole) for speed, summary in typed.items()),
        Figure(
            f"{at}: PLCMOS lost",
            whole.plcmos - usual.plcmos,
            GOAL_PLCMOS,
            at_most=True,
            note=f"{whole.plcmos:.3f} -> {usual.plcmos:.3f}",
        ),
        Figure(
            f"{at}: duration of speech",
            ratio,
            GOAL_LONGEST if ratio > 1 else GOAL_SHORTEST,
            at_most=ratio > 1,
            unit="x",
            note=f"{whole.duration_s:.1f} s -> {usual.duration_s:.1f} s; the goal is "
            f"{GOAL_SHORTEST:g} to {GOAL_LONGEST:g}; {usual.stops:.1f} stops heard a text",
        ),
        Figure(
            "half words spoken, at all speeds",
            sum(summary.half_words for summary in typed.values()),
            0,
            at_most=True,
            note=f"{sum(summary.texts for summary in typed.values())} texts",
        ),
        Figure(
            f"{at}: first sound after the first key, p50",
            usual.first_sound_s,
            GOAL_FIRST_SOUND_S,
            at_most=True,
            unit=" s",
        ),
        Figure(
            f"{at}: from a phrase's last character to its sound, p50",
            usual.lag_p50_s,
            GOAL_LAG_S,
            at_most=True,
            unit=" s",
            note=f"p90 {usual.lag_p90_s:.2f} s",
        ),
    ]


def _word_errors(speed: float, typed: Summary, whole: Summary) -> Figure:
    return Figure(
        f"typed at {speed:g} characters/s: word errors heard, against whole",
        typed.heard_wer - whole.heard_wer,
        GOAL_WER_POINTS.get(speed, float("nan")),
        at_most=True,
        unit=" points",
        note=f"{whole.heard_wer:.2f} % -> {typed.heard_wer:.2f} % of {whole.words} words, without "
        f"pauses {typed.dry_wer:.2f} %",
    )


def text_row(take: Take) -> dict[str, Any]:
    """One text for the results."""
    timeline = take.timeline
    return {
        "id": take.text_id,
        "speed": take.speed,
        "errors_heard": take.heard.errors,
        "errors_dry": take.dry.errors,
        "plcmos": round(take.plcmos, 3),
        "duration_s": round(take.duration_s, 3),
        "stops": timeline.stops,
        "half_words": timeline.half_words,
        "heard": take.transcript,
    }


def lanes(take: Take) -> dict[str, Any]:
    """One text for the picture: its keys (null: a backspace), and what was heard, from when on."""
    text = take.timeline.page.text
    return {
        "speed": take.speed,
        "keys": [[round(stroke.at_s, 3), stroke.text or None] for stroke in take.strokes],
        "heard": [
            [round(span.starts_s, 3), round(span.ends_s, 3), text[span.start : span.end].strip()]
            for span in take.timeline.spans
            if span.ends_s > span.starts_s
        ],
    }
