"""Prepares a recording for learning a voice: the best part of it, its level, warnings. Plain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.audio.loudness import measure_lufs
from backend.audio.recordings import FloatArray, mix_to_mono
from backend.audio.reference_excerpt import choose_excerpt
from backend.audio.speech_frames import FRAME_S, SpeechFrames, measure_frames
from backend.errors import BadMessage

REFERENCE_LUFS = -27.0  # what upstream brings Turbo's references to
_QUIET_LUFS = -45.0
_LEAST_SPEECH_S, _SHORT_SPEECH_S = 2.5, 4.0
_LEAST_VOICED_S = 1.0
# Noise: how far the pauses are below the voice, and how far the noise within the voiced sounds is
# below their harmonics. White noise 15, 10, 0 dB below speech gives 21, 16, 7 and 12, 11, 7 dB;
# clean speech over 40 and 12.5.
_NOISY_DB = 20.0
_DROWNED_DB, _DROWNED_HARMONICS_DB = 10.0, 10.0
_VOICELESS_DB = 15.0
_CLIPPED, _RUINED = 0.002, 0.1  # share of the samples: driven 6 and 13 dB too far


@dataclass(frozen=True, slots=True)
class Reference:
    """Mono samples of 2.5 to 10 s at `REFERENCE_LUFS`, and what speaks against their quality."""

    pcm: FloatArray
    rate_hz: int
    warnings: tuple[str, ...]


def prepare_reference(samples: FloatArray, rate_hz: int) -> Reference:
    """The best part of a recording (frames, channels). Raises `BadMessage` if no voice can be
    learned from it: not speech, mostly silent, drowned in noise, clipped all over.
    """
    mono = mix_to_mono(samples, rate_hz)
    mono -= mono.mean()
    frames = measure_frames(mono, rate_hz)
    start, end = choose_excerpt(frames)
    warnings = check_quality(frames.cut(start, end))
    pcm = mono[round(start * FRAME_S * rate_hz) : round(end * FRAME_S * rate_hz)]
    lufs = measure_lufs(pcm, rate_hz)
    if lufs is None:
        raise BadMessage("audio: the recording is silent; check the microphone")
    if lufs < _QUIET_LUFS:
        warnings += (
            f"the recording is very quiet ({lufs:.0f} LUFS): its noise becomes part of the voice",
        )
    return Reference(_set_level(pcm, lufs), rate_hz, warnings)


def _set_level(pcm: FloatArray, lufs: float) -> FloatArray:
    """The samples at `REFERENCE_LUFS`, or as close as full scale allows."""
    gain = 10 ** ((REFERENCE_LUFS - lufs) / 20)
    return np.asarray(pcm * min(gain, 1 / float(np.abs(pcm).max())), np.float32)


def check_quality(frames: SpeechFrames) -> tuple[str, ...]:
    """What speaks against learning from these frames. Raises `BadMessage` if it is too much."""
    speech_s = float(frames.active.sum() * FRAME_S)
    if speech_s < _LEAST_SPEECH_S:
        raise BadMessage(
            f"audio: the recording is mostly silent: {speech_s:.1f} s of speech; 10 s are best"
        )
    warnings = _check_noise(frames)
    if speech_s < _SHORT_SPEECH_S and not warnings:  # in noise it is not plain what is speech
        warnings = (f"only {speech_s:.1f} s of speech: 10 s make a better voice",)
    return (*warnings, *_check_clipping(frames))


def _check_noise(frames: SpeechFrames) -> tuple[str, ...]:
    above_db = frames.speech_db - frames.floor_db
    if frames.voiced.sum() * FRAME_S < _LEAST_VOICED_S:
        if above_db < _VOICELESS_DB:
            raise BadMessage("audio: no voice is heard in the recording, only noise")
        return ("hardly any voiced sound is heard, as in a whisper",)
    share = min(float(np.median(frames.periodicity[frames.voiced])), 1 - 1e-9)
    harmonics_db = 10 * np.log10(share / (1 - share))
    if above_db < _DROWNED_DB and harmonics_db < _DROWNED_HARMONICS_DB:
        raise BadMessage(
            f"audio: the recording is too noisy: its noise is {above_db:.0f} dB below the voice; "
            "record closer to the microphone, in a quiet room"
        )
    if above_db < _NOISY_DB and frames.has_pauses:
        return (f"noise, {above_db:.0f} dB below the voice: it becomes part of the voice",)
    return ()


def _check_clipping(frames: SpeechFrames) -> tuple[str, ...]:
    clipped = float(frames.clipped[frames.active].mean())
    if clipped > _RUINED:
        raise BadMessage(
            f"audio: the recording is clipped ({clipped:.0%} of its samples are at the limit); "
            "record it again at a lower level"
        )
    if clipped > _CLIPPED:
        return (
            f"the recording is clipped ({clipped:.1%} of its samples): record at a lower level",
        )
    return ()
