"""Codecs: other programs can decode the bytes."""

from __future__ import annotations

import io
import wave

import av
import numpy as np
import pytest
import soundfile

from backend.audio.codecs import (
    LibavCodec,
    LibavEncoding,
    Pcm,
    PcmCodec,
    WavCodec,
    to_s16,
    wav_header,
)
from backend.audio.formats import create_encoder, parse_format

TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(4800) / 24000)).astype(np.float32)


def test_samples_beyond_full_scale_do_not_wrap() -> None:
    assert to_s16(np.array([-9, -1, -0.5, 0, 1 / 32767, 1, 9], np.float32)).tolist() == [
        -32767,
        -32767,
        -16384,
        0,
        1,
        32767,
        32767,
    ]


def wav(codec_tag: int = 1) -> bytes:
    plain = PcmCodec(
        (lambda pcm: to_s16(pcm).tobytes()) if codec_tag == 1 else (lambda pcm: pcm.tobytes())
    )
    codec = WavCodec(plain, wav_header(codec_tag, 2 if codec_tag == 1 else 4, 24000))
    return b"".join(codec.encode(part) for part in np.split(TONE, 10)) + codec.finish()


def test_python_reads_a_wav_without_a_length() -> None:
    with wave.open(io.BytesIO(wav())) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (
            1,
            2,
            24000,
        )
        assert np.array_equal(np.frombuffer(reader.readframes(100_000), "<i2"), to_s16(TONE))


@pytest.mark.parametrize("tag", [1, 3])
def test_libsndfile_and_ffmpeg_read_a_wav_without_a_length(tag: int) -> None:
    pcm, rate = soundfile.read(io.BytesIO(wav(tag)), dtype="float32")
    assert rate == 24000
    np.testing.assert_allclose(pcm, TONE, atol=1e-4)
    with av.open(io.BytesIO(wav(tag)), "r") as reader:
        assert sum(frame.samples for frame in reader.decode(audio=0)) == TONE.size


def test_a_wav_stream_has_one_header() -> None:
    assert wav().count(b"RIFF") == 1
    assert len(wav()) == 44 + 2 * TONE.size


def test_a_flac_stream_is_lossless() -> None:
    codec = LibavCodec(LibavEncoding("flac", "flac", "s16"), 24000)
    data = b"".join(codec.encode(part) for part in np.split(TONE, 10)) + codec.finish()
    with av.open(io.BytesIO(data), "r") as reader:
        heard = np.concatenate([f.to_ndarray()[0] for f in reader.decode(audio=0)])
    np.testing.assert_allclose(heard / 32768, TONE, atol=1 / 32768)


@pytest.mark.parametrize(
    ("name", "rate_hz", "bits_per_s"),
    [
        ("mp3", 44100, 32_000),
        ("mp3", 44100, 128_000),
        ("mp3", 22050, 192_000),
        ("aac", 48000, 96_000),
        ("aac", 24000, None),
        ("opus", 48000, 64_000),
        ("opus", 24000, 12_000),
        ("flac", 44100, None),
    ],
)
def test_chunks_do_not_change_the_encoded_stream(
    name: str, rate_hz: int, bits_per_s: int | None
) -> None:
    def stream(chunks: list[Pcm]) -> bytes:
        encoder = create_encoder(24000, parse_format(name, rate_hz, bits_per_s))
        return b"".join(encoder.encode(chunk).data for chunk in chunks) + encoder.finish().data

    noise = np.random.default_rng(2).normal(0, 0.1, 36_000).astype(np.float32)
    uneven = np.split(noise, [1, 700, 701, 9000, 20_111])
    whole, pieces = stream([noise]), stream(uneven)
    if name == "opus":  # Ogg numbers its streams at random
        assert np.array_equal(decode(whole), decode(pieces))
    else:
        assert whole == pieces


def decode(data: bytes) -> Pcm:
    with av.open(io.BytesIO(data), "r") as reader:
        return np.concatenate([frame.to_ndarray()[0] for frame in reader.decode(audio=0)])
