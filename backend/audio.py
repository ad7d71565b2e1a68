"""PCM to bytes: resampling and encoding, one encoder a context.

All state carries over from chunk to chunk, so that a join cannot be heard: audio that comes in
pieces gives the bytes (pcm, G.711) or the sound (opus, mp3) of audio that came at once. Plain and
synchronous; an encoder may be used from any thread, by one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

import av
import numpy as np
from numpy.typing import NDArray

from backend.errors import BadFormat

Pcm = NDArray[np.float32]
"""Mono samples, float32 in [-1, 1], shape (n,)."""

DEFAULT_FORMAT = "pcm_s16le"
MIN_RATE_HZ, MAX_RATE_HZ = 8000, 48000


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What a client gets: an encoding of `FORMATS` and its sample rate."""

    name: str
    sample_rate_hz: int

    @property
    def bytes_per_s(self) -> int:
        """The most bytes that a second becomes; container overhead is not counted."""
        return FORMATS[self.name].sample_bytes * self.sample_rate_hz

    def duration_ms(self, samples: int) -> float:
        """How long `samples` samples of this format last."""
        return samples * 1000 / self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Encoded:
    """Bytes, and the samples at the target's rate that they account for.

    The samples of an encoder's answers sum up to all of the audio, exactly. A codec may keep the
    bytes of the last samples (one frame: 20 ms opus, 24 to 72 ms mp3) until the next answer.
    """

    data: bytes
    samples: int


class Encoder(Protocol):
    """One context's way from PCM to bytes.

    `blocking`: an `encode` takes milliseconds and should leave the event loop.
    """

    blocking: bool

    def encode(self, pcm: Pcm) -> Encoded:
        """What is ready once `pcm` is added; may be empty."""

    def finish(self) -> Encoded:
        """The rest. The encoder is used up: a further call raises `RuntimeError`."""


def parse_format(name: str | None, sample_rate_hz: int | None) -> AudioFormat:
    """The format asked for; None means the default. Raises `BadFormat`, with what there is."""
    name = DEFAULT_FORMAT if name is None else name
    if name not in FORMATS:
        hint = ": a file needs its length in advance" if name == "wav" else ""
        raise BadFormat(f"format {name!r} is not streamed here{hint}; choose {', '.join(FORMATS)}")
    spec = FORMATS[name]
    rate = spec.default_hz if sample_rate_hz is None else sample_rate_hz
    if spec.rates_hz and rate not in spec.rates_hz:
        raise BadFormat(f"{name} takes sample_rate {_listed(spec.rates_hz)}, not {rate}")
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise BadFormat(f"{name} takes sample_rate {MIN_RATE_HZ} to {MAX_RATE_HZ}, not {rate}")
    return AudioFormat(name, rate)


def create_encoder(source_hz: int, target: AudioFormat) -> Encoder:
    """A fresh encoder for PCM at `source_hz`; `target` comes from `parse_format`."""
    spec = FORMATS[target.name]
    resampler = None if source_hz == target.sample_rate_hz else Resampler(source_hz, target)
    return StreamEncoder(resampler, spec.open(target.sample_rate_hz), blocking=spec.blocking)


class Resampler:
    """Changes the sample rate of a stream; chunks give exactly the samples of the whole.

    FFmpeg's polyphase filter: linear phase, 32 taps at the lower of the two rates, so it holds back
    2 ms at 8000 Hz and less above (soxr's block convolution: 38 to 75 ms). Noise and images lie
    95 dB below a tone in the lower three quarters of the band.
    """

    def __init__(self, source_hz: int, target: AudioFormat) -> None:
        self._source_hz = source_hz
        self._swr = av.AudioResampler(format="flt", layout="mono", rate=target.sample_rate_hz)

    def push(self, pcm: Pcm) -> Pcm:
        """What is ready once `pcm` is added."""
        return _joined(self._swr.resample(_frame(pcm, self._source_hz)))

    def finish(self) -> Pcm:
        """The samples held back."""
        return _joined(self._swr.resample(None))


class Codec(Protocol):
    """Turns samples at the target's rate into bytes."""

    def encode(self, pcm: Pcm) -> bytes:
        """The bytes that are ready."""

    def finish(self) -> bytes:
        """The bytes kept back."""


class StreamEncoder:
    """A resampler (None: the rates are equal) in front of a codec."""

    def __init__(self, resampler: Resampler | None, codec: Codec, *, blocking: bool) -> None:
        self.blocking = blocking
        self._resampler = resampler
        self._codec = codec
        self._pushed = False
        self._finished = False

    def encode(self, pcm: Pcm) -> Encoded:
        """See `Encoder`."""
        if self._finished:
            raise RuntimeError("the encoder is used up")
        if not pcm.size:
            return Encoded(b"", 0)
        self._pushed = True
        return self._encoded(self._resampler.push(pcm) if self._resampler else pcm)

    def finish(self) -> Encoded:
        """See `Encoder`."""
        if self._finished:
            raise RuntimeError("the encoder is used up")
        self._finished = True
        if not self._pushed:  # silence has no headers: an empty context gives no bytes
            return Encoded(b"", 0)
        rest = self._encoded(self._resampler.finish()) if self._resampler else Encoded(b"", 0)
        return Encoded(rest.data + self._codec.finish(), rest.samples)

    def _encoded(self, pcm: Pcm) -> Encoded:
        return Encoded(self._codec.encode(pcm) if pcm.size else b"", pcm.size)


@dataclass(frozen=True, slots=True)
class PlainCodec:
    """Every sample on its own: nothing is kept back."""

    convert: Callable[[Pcm], bytes]

    def encode(self, pcm: Pcm) -> bytes:
        """See `Codec`."""
        return self.convert(pcm)

    def finish(self) -> bytes:
        """See `Codec`."""
        return b""


class LibavCodec:
    """A codec and container of FFmpeg that writes into memory; drained after every encode."""

    def __init__(self, recipe: Recipe, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._sink = _Sink()
        self._container = av.open(
            self._sink, "w", format=recipe.container, options=dict(recipe.container_options)
        )
        self._stream = cast(
            av.AudioStream,
            self._container.add_stream(
                recipe.codec, rate=sample_rate_hz, options=dict(recipe.codec_options)
            ),
        )
        codec = self._stream.codec_context
        codec.layout = "mono"
        codec.format = recipe.sample_format
        if recipe.bits_per_s:
            codec.bit_rate = recipe.bits_per_s

    def encode(self, pcm: Pcm) -> bytes:
        """See `Codec`."""
        self._container.mux(self._stream.encode(_frame(pcm, self._rate_hz)))
        return self._sink.take()

    def finish(self) -> bytes:
        """See `Codec`."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How FFmpeg is asked for an encoding."""

    codec: str
    container: str
    sample_format: str
    bits_per_s: int | None = None
    container_options: Mapping[str, str] = field(default_factory=dict)
    codec_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """An encoding: its usual rate, the rates it takes (none listed: all), how to open its codec,
    the most bytes that a sample becomes.
    """

    default_hz: int
    open: Callable[[int], Codec]
    rates_hz: tuple[int, ...] = ()
    sample_bytes: int = 1
    blocking: bool = False


def to_s16(pcm: Pcm) -> NDArray[np.int16]:
    """round(32767 x), x clipped to [-1, 1]: never wraps. No dither: speech brings its own noise."""
    samples: NDArray[np.int16] = np.rint(np.clip(pcm, -1, 1) * np.float32(32767)).astype("<i2")
    return samples


def _plain(convert: Callable[[Pcm], bytes]) -> Callable[[int], Codec]:
    return lambda _rate_hz: PlainCodec(convert)


def _libav(recipe: Recipe) -> Callable[[int], Codec]:
    return lambda rate_hz: LibavCodec(recipe, rate_hz)


# A page a frame, so that 20 ms never wait for a page to fill; no bit reservoir, so
# that an mp3 stream can be cut and played at any frame.
_OPUS = Recipe("libopus", "ogg", "flt", 48_000, {"page_duration": "20000"})
_MP3 = Recipe("libmp3lame", "mp3", "fltp", 64_000, {"id3v2_version": "0"}, {"reservoir": "0"})
_OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

FORMATS: dict[str, FormatSpec] = {
    "pcm_s16le": FormatSpec(24000, _plain(lambda pcm: to_s16(pcm).tobytes()), sample_bytes=2),
    "pcm_f32le": FormatSpec(24000, _plain(lambda pcm: pcm.astype("<f4").tobytes()), sample_bytes=4),
    "mulaw": FormatSpec(8000, _libav(Recipe("pcm_mulaw", "mulaw", "s16"))),
    "alaw": FormatSpec(8000, _libav(Recipe("pcm_alaw", "alaw", "s16"))),
    "opus": FormatSpec(24000, _libav(_OPUS), _OPUS_RATES_HZ, blocking=True),
    "mp3": FormatSpec(24000, _libav(_MP3), _MP3_RATES_HZ, blocking=True),
}


class _Sink:
    """The file that FFmpeg writes to. Without `seek`: a stream has no way back (to write an mp3's
    length into its first frame, for one).
    """

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._written)
        self._written.clear()
        return data


def _frame(pcm: Pcm, rate_hz: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="flt", layout="mono")
    frame.sample_rate = rate_hz
    return frame


def _joined(frames: list[av.AudioFrame]) -> Pcm:
    parts = [frame.to_ndarray()[0].astype(np.float32) for frame in frames]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _listed(rates_hz: tuple[int, ...]) -> str:
    return ", ".join(map(str, rates_hz[:-1])) + f" or {rates_hz[-1]}"
