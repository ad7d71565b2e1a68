"""The animation of the README: how its frames are drawn, and the file that it is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.typing_frames import (
    COLOUR,
    FRAMES_PER_S,
    LENGTH_S,
    HeardWord,
    Performance,
    Shot,
    draw_frames,
)
from tests.support.repository import ROOT

RATE_HZ = 1000
BEGUN_S = 100.0


def blank_page(grey: int) -> bytes:
    png = io.BytesIO()
    Image.new("RGB", (200, 120), (grey, grey, grey)).save(png, "PNG")
    return png.getvalue()


@pytest.fixture(scope="module")
def frames() -> list[Image.Image]:
    """A word is heard from 2 s to 3 s; the page changes at 10 s."""
    word = HeardWord(np.full(1000, 0.5, np.float32), RATE_HZ, BEGUN_S + 2, (50, 150, 40))
    shots = [Shot(BEGUN_S - 1, blank_page(255)), Shot(BEGUN_S + 10, blank_page(200))]
    return list(draw_frames(Performance(shots, [word], BEGUN_S, (200, 100))))


def drawn_to(frame: Image.Image) -> int:
    """The right edge of the waveform; 0: there is none."""
    pixels = np.asarray(frame)
    colour = tuple(bytes.fromhex(COLOUR[1:]))
    columns = np.flatnonzero((pixels == colour).all(axis=2).any(axis=0))
    return int(columns[-1]) + 1 if len(columns) else 0


def frame_at(frames: list[Image.Image], at_s: float) -> Image.Image:
    return frames[round(at_s * FRAMES_PER_S)]


def test_the_frames_last_as_long_as_promised(frames: list[Image.Image]) -> None:
    assert len(frames) == LENGTH_S * FRAMES_PER_S
    assert frames[0].size == (200, 100)


def test_a_waveform_grows_under_its_word_while_it_is_heard(frames: list[Image.Image]) -> None:
    assert drawn_to(frame_at(frames, 1.9)) == 0
    assert drawn_to(frame_at(frames, 2.5)) == pytest.approx(100, abs=8)
    assert drawn_to(frame_at(frames, 3.1)) == pytest.approx(150, abs=5)
    assert drawn_to(frame_at(frames, 19)) == drawn_to(frame_at(frames, 3.1))


def test_the_page_is_shown_as_it_was_painted_then(frames: list[Image.Image]) -> None:
    assert frame_at(frames, 9.8).getpixel((0, 0)) == (255, 255, 255)
    assert frame_at(frames, 10.2).getpixel((0, 0)) == (200, 200, 200)


def test_the_file_repeats_20_seconds_and_is_small() -> None:
    path = ROOT / "docs" / "img" / "typing.webp"
    assert path.stat().st_size < 1_500_000
    with Image.open(path) as animation:
        assert animation.info["loop"] == 0
        length_ms = 0
        for number in range(animation.n_frames):  # type: ignore[attr-defined]
            animation.seek(number)
            animation.load()
            length_ms += animation.info["duration"]
    assert length_ms == pytest.approx(20_000, abs=200)
