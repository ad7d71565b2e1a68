"""Codecs: PCM samples to bytes, as raw PCM, WAV or through FFmpeg.

A codec encodes one stream in chunks and keeps its state between them. Synchronous, no I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

import av
import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.float32]
"""Mono samples, float32 in [-1, 1], shape (n,)."""

UNKNOWN_LENGTH = 0xFFFFFFFF
"""Size field of a WAV header whose length is not known yet: read to the end."""


class Codec(Protocol):
    """Encodes samples at the target's rate."""

    def encode(self, pcm: Pcm) -> bytes:
        """Return the bytes that are ready."""

    def finish(self) -> bytes:
        """Return the bytes still buffered."""


@dataclass(frozen=True, slots=True)
class PcmCodec:
    """Encodes each sample by itself; buffers nothing."""

    convert: Callable[[Pcm], bytes]

    def encode(self, pcm: Pcm) -> bytes:
        """See `Codec`."""
        return self.convert(pcm)

    def finish(self) -> bytes:
        """See `Codec`."""
        return b""


class WavCodec:
    """Puts a WAV header of unknown length in front of another codec's samples."""

    def __init__(self, codec: Codec, header: bytes) -> None:
        self._codec = codec
        self._header = header

    def encode(self, pcm: Pcm) -> bytes:
        """See `Codec`."""
        header, self._header = self._header, b""
        return header + self._codec.encode(pcm)

    def finish(self) -> bytes:
        """See `Codec`."""
        return self._codec.finish()


class LibavCodec:
    """An FFmpeg codec and container writing to memory, drained after every encode."""

    def __init__(
        self, encoding: LibavEncoding, sample_rate_hz: int, bits_per_s: int | None = None
    ) -> None:
        self._rate_hz = sample_rate_hz
        self._file = _MemoryFile()
        self._container = av.open(
            self._file, "w", format=encoding.container, options=dict(encoding.container_options)
        )
        self._stream = cast(
            av.AudioStream,
            self._container.add_stream(
                encoding.codec, rate=sample_rate_hz, options=dict(encoding.codec_options)
            ),
        )
        codec = self._stream.codec_context
        codec.layout = "mono"
        codec.format = encoding.sample_format
        if bits_per_s:
            codec.bit_rate = bits_per_s

    def encode(self, pcm: Pcm) -> bytes:
        """See `Codec`."""
        self._container.mux(self._stream.encode(to_av_frame(pcm, self._rate_hz)))
        return self._file.take_written()

    def finish(self) -> bytes:
        """See `Codec`."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._file.take_written()


@dataclass(frozen=True, slots=True)
class LibavEncoding:
    """FFmpeg's codec, container and options for one encoding."""

    codec: str
    container: str
    sample_format: str
    container_options: Mapping[str, str] = field(default_factory=dict)
    codec_options: Mapping[str, str] = field(default_factory=dict)


def to_s16(pcm: Pcm) -> NDArray[np.int16]:
    """round(32767 x), x clipped to [-1, 1]: never wraps. No dither: speech has noise of its own."""
    samples: NDArray[np.int16] = np.rint(np.clip(pcm, -1, 1) * np.float32(32767)).astype("<i2")
    return samples


def wav_header(tag: int, sample_bytes: int, sample_rate_hz: int) -> bytes:
    """The header of a mono WAV whose length is not known yet.

    `tag` is the WAVE format code: 1 PCM, 3 float, 6 A-law, 7 mu-law. All but PCM have an empty
    extension and a `fact` chunk, as the standard requires.
    """
    byte_rate = sample_rate_hz * sample_bytes
    extension = b"" if tag == 1 else struct.pack("<H", 0)
    fact = b"" if tag == 1 else b"fact" + struct.pack("<II", 4, 0)
    fields = struct.pack(
        "<HHIIHH", tag, 1, sample_rate_hz, byte_rate, sample_bytes, 8 * sample_bytes
    )
    chunks = b"fmt " + struct.pack("<I", len(fields + extension)) + fields + extension + fact
    riff = b"RIFF" + struct.pack("<I", UNKNOWN_LENGTH) + b"WAVE"
    return riff + chunks + b"data" + struct.pack("<I", UNKNOWN_LENGTH)


def to_av_frame(pcm: Pcm, rate_hz: int) -> av.AudioFrame:
    """The samples as a frame of FFmpeg."""
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="flt", layout="mono")
    frame.sample_rate = rate_hz
    return frame


class _MemoryFile:
    """The file object that FFmpeg writes to. It has no `seek`, so that FFmpeg treats it as a stream
    (and does not go back to write an mp3's length into its first frame).
    """

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take_written(self) -> bytes:
        data = bytes(self._written)
        self._written.clear()
        return data
