"""Draws the frames of the typing animation from what was recorded, and writes the file."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.browser.speaking_page import Samples

FRAMES_PER_S = 15
LENGTH_S = 20.0
BAR, GAP = 3, 2  # pixels of a waveform
HALF_HEIGHT = 23
BELOW_TEXT = 30  # from a line of text to the middle of its waveforms
COLOUR = "#0f5f5a"  # --accent


@dataclass(frozen=True)
class Shot:
    """A picture of the page (PNG), and when it was painted."""

    at_s: float
    png: bytes


@dataclass(frozen=True)
class HeardWord:
    """A word's samples, when the first was heard, and its place: left, right, bottom."""

    samples: Samples
    rate_hz: int
    at_s: float
    place: tuple[float, float, float]

    @cached_property
    def levels(self) -> NDArray[np.float64]:
        """The loudness (RMS) of each bar."""
        left, right, _ = self.place
        parts = np.array_split(self.samples, max(1, round((right - left) / (BAR + GAP))))
        return np.array([np.sqrt(np.mean(part**2)) if len(part) else 0.0 for part in parts])

    def bars_heard(self, now_s: float) -> int:
        """How many bars were heard by then."""
        share = (now_s - self.at_s) * self.rate_hz / max(1, len(self.samples))
        return max(0, min(len(self.levels), round(share * len(self.levels))))


@dataclass(frozen=True)
class Performance:
    """What was seen and heard from `begun_s` on, and the size of the part of the page to show."""

    shots: Sequence[Shot]
    words: Sequence[HeardWord]
    begun_s: float
    size: tuple[int, int]

    def picture_at(self, now_s: float) -> Image.Image:
        """The page as it was painted last."""
        count = bisect_right([shot.at_s for shot in self.shots], now_s)
        shot = self.shots[max(0, count - 1)]
        return Image.open(io.BytesIO(shot.png)).convert("RGB").crop((0, 0, *self.size))


def write_animation(performance: Performance, target: Path) -> None:
    """Write an endless animation."""
    first, *others = draw_frames(performance)
    first.save(
        target,
        save_all=True,
        append_images=others,
        duration=round(1000 / FRAMES_PER_S),
        loop=0,
        lossless=True,
        quality=100,
        method=6,
        minimize_size=True,
    )


def draw_frames(performance: Performance) -> Iterator[Image.Image]:
    """Each frame: the page as it was painted then, and what was heard by then."""
    loudest = max(word.levels.max() for word in performance.words)
    for number in range(round(LENGTH_S * FRAMES_PER_S)):
        now_s = performance.begun_s + number / FRAMES_PER_S
        frame = performance.picture_at(now_s)
        for word in performance.words:
            draw_waveform(ImageDraw.Draw(frame), word, now_s, loudest)
        yield frame


def draw_waveform(draw: ImageDraw.ImageDraw, word: HeardWord, now_s: float, loudest: float) -> None:
    """Draw the bars of a word that were heard by now, under its text."""
    left, _, bottom = word.place
    middle = round(bottom) + BELOW_TEXT
    for number, level in enumerate(word.levels[: word.bars_heard(now_s)]):
        half = max(1, round(HALF_HEIGHT * (level / loudest) ** 0.7))
        x = round(left) + number * (BAR + GAP)
        draw.rectangle((x, middle - half, x + BAR - 1, middle + half), fill=COLOUR)
