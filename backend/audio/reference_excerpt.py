"""Chooses the part of a recording from which a voice is learned. Plain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d

from backend.audio.speech_frames import FRAME_S, SpeechFrames

_LONGEST = round(10.0 / FRAME_S)  # frames; models use no more for the sound of a voice
_SHORTEST = round(5.0 / FRAME_S)
_MARGIN = round(0.1 / FRAME_S)  # of the pause, kept at either end
_PAUSE = round(0.12 / FRAME_S)  # shorter ones are within a word: before a plosive
_SOUND = round(0.06 / FRAME_S)  # shorter ones are clicks
_CLIPPED_WEIGHT = 10.0
_LEVEL_RANGE_DB = 20.0  # frames so much quieter than the loudest count for nothing
_NOISE_WINDOW = round(2.0 / FRAME_S)  # has a gap between sounds, whose level is the noise's
_NOISE_RANGE_DB = 25.0  # above the recording's least noise
_NO_NOISE_DB = 40.0  # so far below the voice
_NOISE_WEIGHT = 0.5


def choose_excerpt(frames: SpeechFrames) -> tuple[int, int]:
    """The frames `[start, end)` to learn from: without the silent ends, at most 10 s, and of those
    the part with the most, loudest, least noisy and least clipped voice. It begins and ends in
    pauses, or where there is none at the quietest frame.
    """
    start, end = _trim(frames.active)
    if end - start <= _LONGEST:
        return start, end
    worth = np.concatenate([[0.0], np.cumsum(_worth(frames))])
    starts, ends = _cuts(frames.active, start, end)
    best = max(
        (
            (float(worth[to] - worth[at]), at, to)
            for at in starts
            for to in ends
            if _SHORTEST <= to - at <= _LONGEST
        ),
        default=None,
    )
    return best[1:] if best else _choose_without_pauses(frames, worth, start, end)


def _worth(frames: SpeechFrames) -> NDArray[np.float64]:
    """What each frame tells about the voice; negative if noisy or clipped."""
    level = np.clip(1 + (frames.level_db - frames.speech_db) / _LEVEL_RANGE_DB, 0.0, 1.0)
    floor_db = minimum_filter1d(frames.level_db, _NOISE_WINDOW)
    least_db = max(float(floor_db.min()), frames.speech_db - _NO_NOISE_DB)
    noise = np.clip((floor_db - least_db) / _NOISE_RANGE_DB, 0.0, 1.0)
    voice = frames.voiced * frames.periodicity * level
    return np.asarray(voice - _NOISE_WEIGHT * noise - _CLIPPED_WEIGHT * frames.clipped)


def _trim(active: NDArray[np.bool_]) -> tuple[int, int]:
    """From before the first sound to behind the last one. A sound has no pause within, and is no
    click.
    """
    pauses = [(at, to) for at, to in _runs(~active) if to - at >= _PAUSE]
    quiet = np.zeros(len(active), np.bool_)
    for at, to in pauses:
        quiet[at:to] = True
    sounds = [(at, to) for at, to in _runs(~quiet) if active[at:to].sum() >= _SOUND]
    if not sounds:
        return 0, len(active)
    return max(0, sounds[0][0] - _MARGIN), min(len(active), sounds[-1][1] + _MARGIN)


def _cuts(active: NDArray[np.bool_], start: int, end: int) -> tuple[list[int], list[int]]:
    """Where an excerpt may begin, and where it may end: the ends and beginnings of pauses."""
    pauses = [
        (at, to) for at, to in _runs(~active) if to - at >= _PAUSE and at > start and to < end
    ]
    starts = [start, *(max(at, to - _MARGIN) for at, to in pauses)]
    ends = [*(min(to, at + _MARGIN) for at, to in pauses), end]
    return starts, ends


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The ranges `[start, end)` in which `flags` are set."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(at), int(to)) for at, to in zip(edges[::2], edges[1::2], strict=True)]


def _choose_without_pauses(
    frames: SpeechFrames, worth: NDArray[np.float64], start: int, end: int
) -> tuple[int, int]:
    """The best 10 s, its ends moved inwards by up to a second to the quietest frame."""
    gains = worth[start + _LONGEST : end + 1] - worth[start : end + 1 - _LONGEST]
    at = start + int(gains.argmax())
    to, reach = at + _LONGEST, round(1.0 / FRAME_S)
    head, tail = frames.level_db[at : at + reach], frames.level_db[to - reach : to]
    return at + int(head.argmin()), to - reach + int(tail.argmin()) + 1
