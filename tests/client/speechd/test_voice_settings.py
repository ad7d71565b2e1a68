import numpy as np
import pytest

from duplex_tts.speechd.voice_settings import VoiceSettings


@pytest.mark.parametrize(("rate", "speed"), [(-100, 0.5), (0, 1.0), (50, 2**0.5), (100, 2.0)])
def test_rate_is_the_speed(rate: int, speed: float) -> None:
    assert VoiceSettings(rate=rate).speed == pytest.approx(speed)


@pytest.mark.parametrize("pitch", [-100, -30, 50, 100])
def test_pitch_does_not_change_how_long_speech_lasts(pitch: int) -> None:
    settings = VoiceSettings(pitch=pitch)
    assert settings.speed * settings.pitch_factor == pytest.approx(1.0)
    assert (settings.pitch_factor > 1) == (pitch > 0)


def test_speed_stays_within_what_the_server_takes() -> None:
    assert VoiceSettings(rate=100, pitch=-100).speed == 2.0
    assert VoiceSettings(rate=-100, pitch=100).speed == 0.5


@pytest.mark.parametrize(("volume", "level"), [(100, 1000), (0, 500), (-100, 0)])
def test_volume_scales_the_samples(volume: int, level: int) -> None:
    pcm = np.array([1000, -1000], "<i2").tobytes()
    scaled = np.frombuffer(VoiceSettings(volume=volume).apply_volume(pcm), "<i2")
    assert scaled.tolist() == [level, -level]


@pytest.mark.parametrize(
    ("name", "value"), [("rate", "101"), ("pitch", "x"), ("punctuation_mode", "loud")]
)
def test_values_out_of_range_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        VoiceSettings().update({name: value})


def test_unset_names_are_the_defaults() -> None:
    settings = VoiceSettings(language="de", voice="x")
    assert settings.update({"language": "NULL", "synthesis_voice": "NULL"}) == VoiceSettings()
    assert settings.update({"language": "c"}).language is None
    assert settings.update({"language": "en-US", "pitch_range": "7"}).language == "en-US"
