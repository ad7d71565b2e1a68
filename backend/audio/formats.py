"""The audio formats that a client may request, and their encoders: resampling and encoding, one
encoder per context.

State carries over between chunks, so that joins are inaudible: audio encoded in chunks gives the
same bytes (pcm, G.711, wav, flac) or sound (opus, mp3, aac) as audio encoded at once.
Synchronous, no I/O; an encoder may be used from any thread, by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import av
import numpy as np

from backend.audio.adaptive_opus import AdaptiveOpusCodec
from backend.audio.codecs import (
    Codec,
    LibavCodec,
    LibavEncoding,
    PcmCodec,
    WavCodec,
    to_av_frame,
    to_s16,
    wav_header,
)
from backend.audio.codecs import Pcm as Pcm
from backend.audio.libopus import load_libopus
from backend.errors import BadFormat
from backend.events import BitRate

DEFAULT_FORMAT = "pcm_s16le"
MIN_RATE_HZ, MAX_RATE_HZ = 8000, 48000
LOWEST_ADAPTIVE_BITS, HIGHEST_ADAPTIVE_BITS = 16_000, 64_000


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """An encoding of `FORMATS`, its sample rate, and a lossy codec's target bit rate (None: the
    encoding has no bit rate to choose). `is_adaptive`: the bit rate follows the line; `bits_per_s`
    is then the first, `HIGHEST_ADAPTIVE_BITS` the most.
    """

    name: str
    sample_rate_hz: int
    bits_per_s: int | None = None
    is_adaptive: bool = False

    @property
    def bytes_per_s(self) -> int:
        """Upper bound of the bytes for one second."""
        if self.bits_per_s:  # a variable rate peaks above its target; Ogg's pages take 1400
            most = HIGHEST_ADAPTIVE_BITS if self.is_adaptive else self.bits_per_s
            return most // 8 * 2 + 1400
        return FORMATS[self.name].sample_bytes * self.sample_rate_hz

    @property
    def media_type(self) -> str:
        """The HTTP media type."""
        return FORMATS[self.name].media_type

    def duration_ms(self, samples: int) -> float:
        """Duration of `samples` samples at this sample rate."""
        return samples * 1000 / self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class EncodedAudio:
    """Encoded bytes, and the samples at the target's rate that they account for.

    The samples of an encoder's results sum up to all of the audio, exactly. A codec may delay the
    bytes of the last samples to the next result: 20 ms opus, 27 ms flac, 24 to 72 ms mp3, two
    frames of 1024 samples aac. The silence that an mp3 or aac decoder puts in front (1105, 1024
    samples, which these streams cannot declare) is not counted.
    """

    data: bytes
    samples: int


class Encoder(Protocol):
    """Encodes one context's PCM.

    `blocking`: an `encode` takes milliseconds and should run off the event loop.
    """

    blocking: bool

    def set_bits_per_s(self, bits_per_s: int, *, is_constant: bool = False) -> None:
        """The bit rate from now on, for an adaptive format; no effect on others. `is_constant`:
        at any time, not on average.
        """

    def encode(self, pcm: Pcm) -> EncodedAudio:
        """Add `pcm` and return what is ready; may be empty."""

    def finish(self) -> EncodedAudio:
        """Return the rest and end the stream: a further call raises `RuntimeError`."""


def parse_format(
    name: str | None, sample_rate_hz: int | None, bit_rate: BitRate | None = None
) -> AudioFormat:
    """The requested format; None means the default. Raises `BadFormat`, naming the choices."""
    name = DEFAULT_FORMAT if name is None else name
    if name not in FORMATS:
        raise BadFormat(f"no format {name[:40]!r} here; choose {', '.join(FORMATS)}")
    spec = FORMATS[name]
    rate = spec.default_hz if sample_rate_hz is None else sample_rate_hz
    if spec.rates_hz and rate not in spec.rates_hz:
        raise BadFormat(f"{name} takes sample_rate {_join_rates(spec.rates_hz)}, not {rate}")
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise BadFormat(f"{name} takes sample_rate {MIN_RATE_HZ} to {MAX_RATE_HZ}, not {rate}")
    if bit_rate == "auto":
        if not spec.can_adapt:
            choices = ", ".join(name for name, spec in FORMATS.items() if spec.can_adapt)
            raise BadFormat(f'{name} takes no bit_rate "auto"; {choices} does')
        return AudioFormat(name, rate, _bit_rate(name, None), is_adaptive=True)
    return AudioFormat(name, rate, _bit_rate(name, bit_rate))


def _bit_rate(name: str, bits_per_s: int | None) -> int | None:
    allowed = FORMATS[name].bit_rates
    if bits_per_s is None:
        return allowed.default if allowed else None
    if not allowed:
        raise BadFormat(f"{name} has no bit_rate to choose; leave it out")
    if not allowed.lowest <= bits_per_s <= allowed.highest:
        raise BadFormat(
            f"{name} takes bit_rate {allowed.lowest} to {allowed.highest} bit/s, not {bits_per_s}"
        )
    return bits_per_s


def create_encoder(source_hz: int, target: AudioFormat) -> Encoder:
    """A new encoder for PCM at `source_hz`; `target` comes from `parse_format`."""
    spec = FORMATS[target.name]
    resampler = None if source_hz == target.sample_rate_hz else Resampler(source_hz, target)
    return StreamEncoder(resampler, spec.open_codec(target), blocking=spec.blocking)


class Resampler:
    """Changes the sample rate of a stream; chunks give exactly the samples of the whole.

    FFmpeg's polyphase filter: linear phase, 32 taps at the lower of the two rates, so it delays by
    2 ms at 8000 Hz and less above (soxr's block convolution: 38 to 75 ms). Noise and images are
    95 dB below a tone in the lower three quarters of the band.
    """

    def __init__(self, source_hz: int, target: AudioFormat) -> None:
        self._source_hz = source_hz
        self._swr = av.AudioResampler(format="flt", layout="mono", rate=target.sample_rate_hz)

    def resample(self, pcm: Pcm) -> Pcm:
        """Add `pcm` and return the samples that are ready."""
        return _concatenate_frames(self._swr.resample(to_av_frame(pcm, self._source_hz)))

    def finish(self) -> Pcm:
        """Return the samples still buffered."""
        return _concatenate_frames(self._swr.resample(None))


class StreamEncoder:
    """A resampler (None: the rates are equal) and a codec."""

    def __init__(self, resampler: Resampler | None, codec: Codec, *, blocking: bool) -> None:
        self.blocking = blocking
        self._resampler = resampler
        self._codec = codec
        self._has_audio = False
        self._finished = False

    def set_bits_per_s(self, bits_per_s: int, *, is_constant: bool = False) -> None:
        """See `Encoder`."""
        if isinstance(self._codec, AdaptiveOpusCodec):
            self._codec.set_bits_per_s(bits_per_s, is_constant=is_constant)

    def encode(self, pcm: Pcm) -> EncodedAudio:
        """See `Encoder`."""
        if self._finished:
            raise RuntimeError("the encoder is used up")
        if not pcm.size:
            return EncodedAudio(b"", 0)
        self._has_audio = True
        return self._encode_samples(self._resampler.resample(pcm) if self._resampler else pcm)

    def finish(self) -> EncodedAudio:
        """See `Encoder`."""
        if self._finished:
            raise RuntimeError("the encoder is used up")
        self._finished = True
        if not self._has_audio:  # no headers without audio: an empty context gives no bytes
            return EncodedAudio(b"", 0)
        rest = (
            self._encode_samples(self._resampler.finish())
            if self._resampler
            else EncodedAudio(b"", 0)
        )
        return EncodedAudio(rest.data + self._codec.finish(), rest.samples)

    def _encode_samples(self, pcm: Pcm) -> EncodedAudio:
        return EncodedAudio(self._codec.encode(pcm) if pcm.size else b"", pcm.size)


@dataclass(frozen=True, slots=True)
class BitRates:
    """Bit rates to choose from; a codec takes the nearest that its standard has."""

    default: int
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """An encoding: default sample rate, codec factory, HTTP media type, allowed sample rates
    (empty: all), and the most bytes per sample. `can_adapt`: to the line, in mid-stream.
    """

    default_hz: int
    open_codec: Callable[[AudioFormat], Codec]
    media_type: str
    rates_hz: tuple[int, ...] = ()
    bit_rates: BitRates | None = None
    sample_bytes: int = 1
    blocking: bool = False
    can_adapt: bool = False


def _s16(_: AudioFormat) -> Codec:
    return PcmCodec(lambda pcm: to_s16(pcm).tobytes())


def _f32(_: AudioFormat) -> Codec:
    return PcmCodec(lambda pcm: pcm.astype("<f4").tobytes())


def _libav(encoding: LibavEncoding) -> Callable[[AudioFormat], Codec]:
    return lambda target: LibavCodec(encoding, target.sample_rate_hz, target.bits_per_s)


def _open_opus(target: AudioFormat) -> Codec:
    """Without libopus at hand an adaptive stream keeps its first bit rate."""
    if target.is_adaptive and target.bits_per_s and load_libopus() is not None:
        return AdaptiveOpusCodec(target.sample_rate_hz, target.bits_per_s)
    return _libav_opus(target)


def _wav(
    samples: Callable[[AudioFormat], Codec], tag: int, sample_bytes: int
) -> Callable[[AudioFormat], Codec]:
    return lambda target: WavCodec(
        samples(target), wav_header(tag, sample_bytes, target.sample_rate_hz)
    )


def _join_rates(rates_hz: tuple[int, ...]) -> str:
    return ", ".join(map(str, rates_hz[:-1])) + f" or {rates_hz[-1]}"


def _concatenate_frames(frames: list[av.AudioFrame]) -> Pcm:
    parts = [frame.to_ndarray()[0].astype(np.float32) for frame in frames]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


_mulaw = _libav(LibavEncoding("pcm_mulaw", "mulaw", "s16"))
_alaw = _libav(LibavEncoding("pcm_alaw", "alaw", "s16"))
# One frame per Ogg page, so that 20 ms never wait for a page to fill; no bit reservoir, so that an
# mp3 stream can be cut and played at any frame; flac without 8 KiB of padding for comments, in
# blocks of 27 ms instead of 105.
_libav_opus = _libav(LibavEncoding("libopus", "ogg", "flt", {"page_duration": "20000"}))
_mp3 = _libav(
    LibavEncoding("libmp3lame", "mp3", "fltp", {"id3v2_version": "0"}, {"reservoir": "0"})
)
_aac = _libav(LibavEncoding("aac", "adts", "fltp"))
_flac = _libav(
    LibavEncoding(
        "flac", "flac", "s16", {"metadata_header_padding": "0"}, {"compression_level": "2"}
    )
)
_OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
_MPEG_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OPUS_BITS = BitRates(48_000, 6000, 256_000)
_MPEG_BITS = BitRates(64_000, 8000, 320_000)

FORMATS: dict[str, FormatSpec] = {
    "pcm_s16le": FormatSpec(24000, _s16, "audio/pcm", sample_bytes=2),
    "pcm_f32le": FormatSpec(24000, _f32, "audio/pcm", sample_bytes=4),
    "mulaw": FormatSpec(8000, _mulaw, "audio/basic"),
    "alaw": FormatSpec(8000, _alaw, "audio/x-alaw-basic"),
    "wav": FormatSpec(24000, _wav(_s16, 1, 2), "audio/wav", sample_bytes=2),
    "wav_f32le": FormatSpec(24000, _wav(_f32, 3, 4), "audio/wav", sample_bytes=4),
    "wav_mulaw": FormatSpec(8000, _wav(_mulaw, 7, 1), "audio/wav"),
    "wav_alaw": FormatSpec(8000, _wav(_alaw, 6, 1), "audio/wav"),
    "flac": FormatSpec(24000, _flac, "audio/flac", sample_bytes=2, blocking=True),
    "opus": FormatSpec(
        24000,
        _open_opus,
        "audio/ogg",
        _OPUS_RATES_HZ,
        _OPUS_BITS,
        blocking=True,
        can_adapt=True,
    ),
    "mp3": FormatSpec(24000, _mp3, "audio/mpeg", _MPEG_RATES_HZ, _MPEG_BITS, blocking=True),
    "aac": FormatSpec(24000, _aac, "audio/aac", _MPEG_RATES_HZ, _MPEG_BITS, blocking=True),
}
RAW_FORMATS = frozenset((None, "pcm_s16le", "pcm_f32le", "mulaw", "alaw"))
"""Formats without a container; None is the default format."""
