"""The part of a recording that a voice is learned from, its level, and what is said against it."""

from __future__ import annotations

import numpy as np
import pytest

from backend.audio.loudness import levels_dbfs, measure_lufs
from backend.audio.reference import REFERENCE_LUFS, Reference, prepare_reference
from backend.audio.reference_excerpt import choose_excerpt
from backend.audio.speech_frames import FRAME_S, find_clipped, measure_frames
from backend.errors import BadMessage
from tests.support.engines.hibari_model import join, render
from tests.support.speech import RATE_HZ, Samples, noise, silence, speech


def prepare(*parts: Samples, rate_hz: int = RATE_HZ) -> Reference:
    return prepare_reference(np.concatenate(parts)[:, None], rate_hz)


def seconds(reference: Reference) -> float:
    return len(reference.pcm) / reference.rate_hz


def refusal(*parts: Samples) -> str:
    with pytest.raises(BadMessage) as caught:
        prepare(*parts)
    return caught.value.message


# --- which part -----------------------------------------------------------------------------------


def test_a_good_recording_is_used_whole_without_warnings() -> None:
    reference = prepare(speech(9))
    assert seconds(reference) == pytest.approx(9, abs=0.3)
    assert reference.warnings == ()


@pytest.mark.parametrize("edge", [silence(4), noise(4, 1e-4)], ids=["silence", "room"])
def test_silent_ends_are_trimmed(edge: Samples) -> None:
    reference = prepare(edge, speech(6), edge)
    assert seconds(reference) == pytest.approx(6.2, abs=0.3)
    loud = np.flatnonzero(levels_dbfs(reference.pcm, RATE_HZ) > -45)
    assert loud[0] * 0.005 < 0.2
    assert len(reference.pcm) / RATE_HZ - loud[-1] * 0.005 < 0.5


def test_a_click_does_not_count_as_sound() -> None:
    click = silence(3)
    click[RATE_HZ // 2 : RATE_HZ // 2 + 100] = 0.3
    assert seconds(prepare(click, speech(6))) == pytest.approx(6.1, abs=0.3)


@pytest.mark.parametrize("length_s", [14.0, 28.6])
def test_at_most_ten_seconds_are_used_and_cut_in_pauses(length_s: float) -> None:
    reference = prepare(speech(length_s))
    assert 7.5 <= seconds(reference) <= 10
    levels = levels_dbfs(reference.pcm, RATE_HZ)
    speech_db = np.percentile(levels, 95)
    assert levels[:10].max() < speech_db - 20  # 50 ms
    assert levels[-10:].max() < speech_db - 20


def test_speech_without_pauses_is_cut_at_its_quietest_places() -> None:
    t = np.arange(20 * RATE_HZ) / RATE_HZ
    murmur = np.asarray(speech(20) * 0 + 0.2 * np.sin(2 * np.pi * 150 * t), np.float32)
    murmur *= (1 + 0.3 * np.sin(2 * np.pi * t * 2)).astype(np.float32)
    reference = prepare(murmur)
    assert 8 <= seconds(reference) <= 10
    levels = levels_dbfs(reference.pcm, RATE_HZ)
    assert levels[:2].max() < np.median(levels) - 1
    assert levels[-2:].max() < np.median(levels) - 1


@pytest.mark.parametrize("bad_first", [True, False])
@pytest.mark.parametrize("fault", ["noisy", "clipped", "faint", "silent"])
def test_the_best_part_is_chosen(fault: str, bad_first: bool) -> None:
    good, poor = speech(10.5), speech(10.5, seed=1)
    faulty = {
        "noisy": poor + noise(10.5, 0.03),
        "clipped": np.clip(poor * 4, -0.3, 0.3),
        "faint": poor / 8,
        "silent": np.where(np.arange(len(poor)) % (3 * RATE_HZ) < RATE_HZ, poor, 0),
    }[fault].astype(np.float32)
    parts = (faulty, good) if bad_first else (good, faulty)
    mixed = np.concatenate(parts)
    start, end = choose_excerpt(measure_frames(mixed, RATE_HZ))
    good_from = len(parts[0]) / RATE_HZ if bad_first else 0.0
    overlap_s = min(end * FRAME_S, good_from + 10.5) - max(start * FRAME_S, good_from)
    assert overlap_s > 0.85 * (end - start) * FRAME_S
    assert overlap_s > 6
    assert not [warning for warning in prepare(mixed).warnings if "quiet" not in warning]


# --- level ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("peak", [0.01, 0.1, 1.0])
def test_every_recording_gets_the_same_level(peak: float) -> None:
    reference = prepare(speech(8, peak=peak))
    assert measure_lufs(reference.pcm, RATE_HZ) == pytest.approx(REFERENCE_LUFS, abs=0.2)
    assert reference.pcm.dtype == np.float32


def test_a_constant_offset_is_removed() -> None:
    shifted = prepare(speech(8) + np.float32(0.4))
    assert abs(shifted.pcm.mean()) < 0.01
    assert shifted.warnings == ()


def test_peaks_stay_within_full_scale() -> None:
    spiky = speech(8) * np.float32(0.02)
    spiky[:: RATE_HZ // 2] = 0.9
    assert np.abs(prepare(spiky).pcm).max() <= 1.0


# --- quality --------------------------------------------------------------------------------------


def test_a_quiet_recording_is_warned_of() -> None:
    (warning,) = prepare(speech(8, peak=0.01)).warnings
    assert "quiet" in warning


@pytest.mark.parametrize("rms", [0.008, 0.012])
def test_noise_is_warned_of(rms: float) -> None:
    (warning,) = prepare(speech(8) + noise(8, rms)).warnings
    assert "noise" in warning
    assert "dB below the voice" in warning


def test_a_recording_drowned_in_noise_is_refused() -> None:
    message = refusal(speech(8) + noise(8, 0.06))
    assert "too noisy" in message
    assert "closer to the microphone" in message


def test_noise_alone_is_refused() -> None:
    assert "only noise" in refusal(noise(8, 0.1))


def test_a_whisper_is_accepted_with_a_warning() -> None:
    envelope = np.abs(speech(8)) > 0
    bursts = noise(8, 0.1) * np.repeat(np.arange(16) % 2, RATE_HZ // 2).astype(np.float32)
    (warning,) = prepare(bursts * envelope).warnings
    assert "whisper" in warning


def test_clipping_is_warned_of_and_refused_beyond_use() -> None:
    (warning,) = prepare(np.clip(speech(8) * 4, -0.3, 0.3)).warnings
    assert "clipped" in warning
    assert "lower level" in refusal(np.clip(speech(8) * 20, -0.3, 0.3))


def test_clipping_is_recognised_after_a_change_of_level() -> None:
    quiet = np.round(np.clip(speech(8) * 4, -0.3, 0.3) * 0.5 * 32768) / 32768
    assert "clipped" in str(prepare(quiet.astype(np.float32)).warnings)


@pytest.mark.parametrize("rate_hz", [8000, 44_100, 96_000, 191_999])
def test_a_clean_tone_is_not_clipped_at_any_rate(rate_hz: int) -> None:
    t = np.arange(6 * rate_hz) / rate_hz
    assert find_clipped(np.sin(2 * np.pi * 220 * t).astype(np.float32), rate_hz).mean() < 0.002


def test_mostly_silent_recordings_are_refused() -> None:
    assert "mostly silent" in refusal(silence(4), speech(2), silence(4))


@pytest.mark.parametrize("seconds", [0.02, 0.04, 0.06, 0.1])
@pytest.mark.parametrize("long_ones", [0, 1, 2])
def test_clicks_and_beeps_are_no_speech(seconds: float, long_ones: int) -> None:
    """Whatever is trimmed of them."""
    beeps = speech(20)
    t = np.arange(len(beeps)) / RATE_HZ
    beeps[(t % 0.7 > seconds) & (t < 20 - 0.3 * long_ones)] = 0
    assert "silent" in refusal(beeps) or "speech" in refusal(beeps)


def test_little_speech_is_warned_of() -> None:
    (warning,) = prepare(silence(1), speech(4), silence(1)).warnings
    assert "10 s make a better voice" in warning


def test_real_speech_is_judged_like_the_synthetic_one() -> None:
    text = (
        "She walked slowly along the river, thinking about the summer. "
        "Nobody had told her that the bridge was closed."
    )
    sound, rate_hz = join(render(text)).astype(np.float32), 24_000
    rms = float(np.sqrt(np.square(sound).mean()))
    hiss = np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32) * rms
    assert prepare(sound, rate_hz=rate_hz).warnings == ()
    assert "noise" in str(prepare(sound + hiss * np.float32(0.3), rate_hz=rate_hz).warnings)
    with pytest.raises(BadMessage, match="too noisy"):
        prepare(sound + hiss, rate_hz=rate_hz)
