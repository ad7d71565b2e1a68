"""Encoders: chunks give the same audio as the whole, and every sample is accounted for."""

from __future__ import annotations

import io
import random

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.audio.formats import (
    FORMATS,
    AudioFormat,
    EncodedAudio,
    Encoder,
    Pcm,
    create_encoder,
    parse_format,
)
from backend.errors import BadFormat
from backend.events import BitRate

SOURCE_HZ = 24000


def speechlike(seconds: float = 2.0, rate_hz: int = SOURCE_HZ) -> Pcm:
    """A buzz of harmonics under 3 kHz with syllables: smooth, so that a click would stand out."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    buzz = sum(np.sin(2 * np.pi * 130 * k * t + k * k) / k for k in range(1, 24))
    return (0.2 * buzz * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * t))).astype(np.float32)


def encode_in_chunks(encoder: Encoder, pcm: Pcm, seed: int = 1) -> list[EncodedAudio]:
    """Encode in chunks of 0 to 200 ms."""
    lengths = random.Random(seed)
    results, at = [], 0
    while at < pcm.size:
        step = lengths.choice([0, 1, 37, 240, 1111, 4800])
        results.append(encoder.encode(pcm[at : at + step]))
        at += step
    return [*results, encoder.finish()]


def join_bytes(results: list[EncodedAudio]) -> bytes:
    return b"".join(result.data for result in results)


def decode(data: bytes, container: str, target: AudioFormat) -> Pcm:
    """The decoded audio at the target's rate (Ogg Opus always decodes to 48 kHz)."""
    headless = container in ("mulaw", "alaw")
    options = {"sample_rate": str(target.sample_rate_hz)} if headless else {}
    with av.open(io.BytesIO(data), mode="r", format=container, options=options) as stream:
        parts = [frame.to_ndarray() for frame in stream.decode(audio=0)]
        rate = stream.streams.audio[0].rate
    heard = np.concatenate(parts, axis=1)[0]
    scale = {"int16": 32768, "int32": 1 << 31}.get(heard.dtype.name, 1)
    step = rate // target.sample_rate_hz  # the test signal has nothing above 3 kHz: no filter
    pcm: Pcm = (heard[::step] / scale).astype(np.float32)
    return pcm


def align(heard: Pcm, original: Pcm) -> tuple[Pcm, int]:
    """`heard` without the delay of its codec, and that delay in samples."""
    size = 1 << (heard.size + original.size).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original, size))
    delay = int(np.argmax(np.fft.irfft(product, size)[:4000]))
    return heard[delay : delay + original.size], delay


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("name", ["pcm_s16le", "pcm_f32le", "mulaw", "alaw", "wav", "flac"])
def test_chunks_give_the_same_bytes_as_the_whole(name: str, rate_hz: int) -> None:
    pcm = speechlike(1.0)
    target = parse_format(name, rate_hz)
    whole = create_encoder(SOURCE_HZ, target)
    at_once = join_bytes([whole.encode(pcm), whole.finish()])
    assert join_bytes(encode_in_chunks(create_encoder(SOURCE_HZ, target), pcm)) == at_once


@pytest.mark.parametrize("name", FORMATS)
def test_reported_samples_sum_up_to_all_of_the_audio(name: str) -> None:
    pcm = speechlike(1.5)
    target = parse_format(name, None)
    results = encode_in_chunks(create_encoder(SOURCE_HZ, target), pcm)
    samples = sum(result.samples for result in results)
    assert target.duration_ms(samples) == pytest.approx(1500, abs=0.1)


@pytest.mark.parametrize(("name", "width"), [("pcm_s16le", 2), ("pcm_f32le", 4), ("mulaw", 1)])
def test_reported_samples_match_the_bytes_of_uncompressed_formats(name: str, width: int) -> None:
    for result in encode_in_chunks(
        create_encoder(SOURCE_HZ, parse_format(name, 16000)), speechlike(0.5)
    ):
        assert len(result.data) == result.samples * width


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000])
def test_a_resampled_tone_is_the_same_tone_from_the_first_sample(rate_hz: int) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(SOURCE_HZ) / SOURCE_HZ)).astype(np.float32)
    data = join_bytes(
        encode_in_chunks(create_encoder(SOURCE_HZ, parse_format("pcm_f32le", rate_hz)), tone)
    )
    heard = np.frombuffer(data, "<f4")
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(heard.size) / rate_hz)
    edge = rate_hz // 100  # the tone starts and stops sharply: the filter rings there
    assert np.abs(heard - expected)[edge:-edge].max() < 1e-4


def test_a_tone_above_the_target_band_does_not_alias() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 7000 * np.arange(SOURCE_HZ) / SOURCE_HZ)).astype(np.float32)
    data = join_bytes(
        encode_in_chunks(create_encoder(SOURCE_HZ, parse_format("pcm_f32le", 8000)), tone)
    )
    assert np.abs(np.frombuffer(data, "<f4")[100:-100]).max() < 1e-4


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_resampling_delays_by_at_most_two_milliseconds(rate_hz: int) -> None:
    target = parse_format("pcm_s16le", rate_hz)
    encoder, given, returned = create_encoder(SOURCE_HZ, target), 0, 0
    for chunk in np.split(speechlike(1.0), 100):
        given += chunk.size
        returned += encoder.encode(chunk).samples
        assert given / SOURCE_HZ * 1000 - target.duration_ms(returned) <= 2.1


@pytest.mark.parametrize(
    ("name", "container", "delay_ms", "correlation"),
    [
        ("opus", "ogg", 0.5, 0.99),
        ("mp3", "mp3", 46.1, 0.999),  # 1105 samples of filter delay, which mp3 cannot declare
        ("aac", "aac", 42.7, 0.998),  # 1024
        ("flac", "flac", 0, 0.999999),
        ("wav", "wav", 0, 0.999999),
        ("wav_f32le", "wav", 0, 0.999999),
        ("wav_mulaw", "wav", 0, 0.9995),
        ("wav_alaw", "wav", 0, 0.9995),
        ("mulaw", "mulaw", 0, 0.9995),
    ],
)
def test_decoded_audio_has_no_click_at_chunk_edges(
    name: str, container: str, delay_ms: float, correlation: float
) -> None:
    pcm = speechlike()
    target = parse_format(name, SOURCE_HZ)
    heard, delay = align(
        decode(
            join_bytes(encode_in_chunks(create_encoder(SOURCE_HZ, target), pcm)), container, target
        ),
        pcm,
    )
    assert target.duration_ms(delay) <= delay_ms
    assert pcm.size - heard.size < SOURCE_HZ // 100
    original = pcm[: heard.size]
    assert np.corrcoef(heard, original)[0, 1] > correlation
    assert np.abs(np.diff(heard)).max() < 1.3 * np.abs(np.diff(original)).max()


@pytest.mark.parametrize("name", ["opus", "mp3", "aac", "flac"])
def test_compressed_audio_is_returned_while_encoding(name: str) -> None:
    encoder = create_encoder(SOURCE_HZ, parse_format(name, None))
    results = [encoder.encode(chunk) for chunk in np.split(speechlike(2.0), 20)]  # 100 ms each
    assert all(result.data for result in results)
    assert len(results[0].data) < 0.1 * len(join_bytes(results))
    held = encoder.finish().data
    assert len(held) < 0.15 * len(join_bytes(results))


def test_an_mp3_stream_starts_with_an_audio_frame() -> None:
    encoder = create_encoder(SOURCE_HZ, parse_format("mp3", None))
    data = encoder.encode(speechlike(0.5)).data
    assert data[0] == 0xFF
    assert data[1] & 0xE0 == 0xE0
    assert b"Xing" not in data
    assert b"Info" not in data


def test_an_mp3_stream_can_be_decoded_from_any_frame() -> None:
    target = parse_format("mp3", None)
    data = join_bytes(encode_in_chunks(create_encoder(SOURCE_HZ, target), speechlike()))
    frame_bytes, skipped = 192, 30  # of 24 ms, at 64 kbit/s
    whole, late = decode(data, "mp3", target), decode(data[frame_bytes * skipped :], "mp3", target)
    same = late.size - 2 * 576  # the first frame overlaps with a missing one
    assert same > SOURCE_HZ
    np.testing.assert_allclose(late[-same:], whole[-same:], atol=1e-4)


def test_an_ogg_page_holds_one_opus_frame() -> None:
    encoder = create_encoder(SOURCE_HZ, parse_format("opus", None))
    pages = encoder.encode(speechlike(1.0)).data.count(b"OggS")
    assert pages >= 2 + 49  # two of headers, then one for each 20 ms


def mulaw_values() -> NDArray[np.int64]:
    """The 16-bit value of each mu-law code, by G.711."""
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 15) * 2 + 33) * 4 << (code >> 4 & 7)) - 132
    return np.where(code & 0x80, -magnitude, magnitude)


def alaw_values() -> NDArray[np.int64]:
    """The 16-bit value of each A-law code, by G.711."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    steep = (mantissa * 2 + 33) << np.maximum(exponent - 1, 0)
    magnitude = np.where(exponent, steep, mantissa * 2 + 1) * 8
    return np.where(code & 0x80, magnitude, -magnitude)


@pytest.mark.parametrize(("name", "values"), [("mulaw", mulaw_values()), ("alaw", alaw_values())])
def test_g711_uses_the_nearest_code_for_each_sample(name: str, values: NDArray[np.int64]) -> None:
    samples = np.arange(-32124, 32125, 3)
    encoder = create_encoder(8000, AudioFormat(name, 8000))
    data = join_bytes([encoder.encode((samples / 32768).astype(np.float32)), encoder.finish()])
    heard = values[np.frombuffer(data, np.uint8)]
    nearest = np.abs(samples[:, None] - values[None, :]).min(axis=1)
    # Both laws are defined on fewer bits than 16 (14, 13): a tie there may go either way.
    assert (np.abs(heard - samples) <= nearest + 8).all()


def test_a_context_without_audio_gives_no_bytes() -> None:
    for name in FORMATS:
        encoder = create_encoder(SOURCE_HZ, parse_format(name, None))
        assert encoder.encode(np.zeros(0, np.float32)) == EncodedAudio(b"", 0)
        assert encoder.finish() == EncodedAudio(b"", 0)


@pytest.mark.parametrize("name", FORMATS)
def test_a_single_sample_is_encoded(name: str) -> None:
    encoder = create_encoder(SOURCE_HZ, parse_format(name, SOURCE_HZ))
    results = [encoder.encode(np.full(1, 0.5, np.float32)), encoder.finish()]
    assert sum(result.samples for result in results) == 1
    assert join_bytes(results)


def test_a_finished_encoder_raises() -> None:
    encoder = create_encoder(SOURCE_HZ, parse_format(None, None))
    encoder.finish()
    with pytest.raises(RuntimeError, match="used up"):
        encoder.encode(speechlike(0.1))
    with pytest.raises(RuntimeError, match="used up"):
        encoder.finish()


def test_only_compressed_formats_are_blocking() -> None:
    blocking = {n for n in FORMATS if create_encoder(SOURCE_HZ, parse_format(n, None)).blocking}
    assert blocking == {"opus", "mp3", "aac", "flac"}


def test_default_formats_and_sample_rates() -> None:
    assert parse_format(None, None) == AudioFormat("pcm_s16le", 24000)
    assert parse_format("mp3", None) == AudioFormat("mp3", 24000, 64_000)
    telephone = {name for name in FORMATS if parse_format(name, None).sample_rate_hz == 8000}
    assert telephone == {"mulaw", "alaw", "wav_mulaw", "wav_alaw"}


@pytest.mark.parametrize(
    ("name", "rate_hz", "bits_per_s"),
    [
        ("mp3", 22050, 32_000),
        ("mp3", 44100, 128_000),
        ("mp3", 44100, 192_000),
        ("opus", 48000, 32_000),
        ("opus", 48000, 128_000),
        ("aac", 44100, 48_000),
    ],
)
def test_a_stream_has_the_requested_bit_rate(name: str, rate_hz: int, bits_per_s: int) -> None:
    target = parse_format(name, rate_hz, bits_per_s)
    noise = np.random.default_rng(1).normal(0, 0.2, 3 * SOURCE_HZ).astype(np.float32)
    data = join_bytes(encode_in_chunks(create_encoder(SOURCE_HZ, target), noise))
    assert len(data) * 8 / 3 == pytest.approx(bits_per_s, rel=0.35)  # noise is hard on opus
    assert len(data) / 3 <= target.bytes_per_s


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_per_s_is_an_upper_bound(name: str) -> None:
    noise = np.random.default_rng(1).uniform(-1, 1, 4 * SOURCE_HZ).astype(np.float32)
    allowed = FORMATS[name].bit_rates
    target = parse_format(name, None, allowed.lowest if allowed else None)
    data = join_bytes(encode_in_chunks(create_encoder(SOURCE_HZ, target), noise))
    headers = 10_000  # once per stream
    assert len(data) <= 4 * target.bytes_per_s + headers


@pytest.mark.parametrize(
    ("name", "bits_per_s", "expected"),
    [
        ("mp3", 7_999, ["8000 to 320000", "7999"]),
        ("opus", 512_000, ["6000 to 256000", "512000"]),
        ("aac", 0, ["8000 to 320000"]),
        ("pcm_s16le", 64_000, ["no bit_rate"]),
        ("flac", 64_000, ["no bit_rate"]),
        ("mp3", "auto", ["auto", "opus does"]),
        ("pcm_s16le", "auto", ["auto", "opus does"]),
    ],
)
def test_a_refused_bit_rate_names_the_choices(
    name: str, bits_per_s: BitRate, expected: list[str]
) -> None:
    with pytest.raises(BadFormat) as refused:
        parse_format(name, None, bits_per_s)
    assert all(part in refused.value.message for part in expected)


@pytest.mark.parametrize(
    ("name", "rate_hz", "expected"),
    [
        ("midi", None, ["'midi'", "pcm_s16le", "opus"]),
        ("", None, ["pcm_s16le"]),
        ("pcm_s16le", 7999, ["8000 to 48000", "7999"]),
        ("pcm_f32le", 96000, ["8000 to 48000", "96000"]),
        ("mulaw", 0, ["8000 to 48000"]),
        ("opus", 44100, ["8000, 12000, 16000, 24000 or 48000", "44100"]),
        ("mp3", 20000, ["22050", "20000"]),
        ("aac", 20000, ["22050", "20000"]),
        ("flac", 96000, ["8000 to 48000", "96000"]),
    ],
)
def test_a_refused_format_names_the_choices(
    name: str, rate_hz: int | None, expected: list[str]
) -> None:
    with pytest.raises(BadFormat) as refused:
        parse_format(name, rate_hz)
    assert all(part in refused.value.message for part in expected)
