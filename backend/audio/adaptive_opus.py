"""Opus in Ogg, with a bit rate that can change in mid-stream.

One encoder makes all packets: its state is carried over a change, so no join can be heard. Each
`encode` ends a page: a message of 400 ms spends 47 bytes on Ogg, one of FFmpeg's pages per packet
560.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np

from backend.audio.codecs import Pcm
from backend.audio.libopus import OpusEncoder
from backend.audio.ogg import PAGE_PACKETS, OggOpusWriter

_OPUS_HZ = 48_000  # in which Ogg counts
_FRAME_S = 0.02


class AdaptiveOpusCodec:
    """See `codecs.Codec`. Buffers less than a packet of 20 ms."""

    def __init__(self, sample_rate_hz: int, bits_per_s: int) -> None:
        self._encoder = OpusEncoder(sample_rate_hz, bits_per_s)
        self._frame = round(_FRAME_S * sample_rate_hz)
        self._scale = _OPUS_HZ // sample_rate_hz
        self._pre_skip = self._encoder.lookahead * self._scale
        serial = secrets.randbits(32)
        self._writer = OggOpusWriter(serial, sample_rate_hz, self._pre_skip)
        self._rest = np.zeros(0, np.float32)
        self._samples = 0  # received
        self._encoded = 0  # of them and of the padding at the end, in packets

    def set_bits_per_s(self, bits_per_s: int, *, is_constant: bool = False) -> None:
        """The bit rate of the packets encoded from now on; see `OpusEncoder`."""
        self._encoder.set_bits_per_s(bits_per_s, is_constant=is_constant)

    def encode(self, pcm: Pcm) -> bytes:
        """See `codecs.Codec`."""
        self._samples += pcm.size
        self._rest = np.concatenate([self._rest, pcm])
        packets = self._encode_frames()
        return self._take_headers() + b"".join(self._write_pages(packets))

    def finish(self) -> bytes:
        """See `codecs.Codec`. Pads the last packet; Ogg's last position removes that again."""
        missing = self._samples + self._pre_skip // self._scale - self._encoded
        padding = -(-max(missing, 1) // self._frame) * self._frame - self._rest.size
        self._rest = np.concatenate([self._rest, np.zeros(padding, np.float32)])
        packets = self._encode_frames()
        return self._take_headers() + b"".join(self._write_pages(packets, last=True))

    def _encode_frames(self) -> list[bytes]:
        whole = self._rest.size - self._rest.size % self._frame
        frames, self._rest = self._rest[:whole].reshape(-1, self._frame), self._rest[whole:]
        self._encoded += whole
        return [self._encoder.encode(frame) for frame in frames]

    def _write_pages(self, packets: list[bytes], *, last: bool = False) -> Iterator[bytes]:
        begin = self._encoded - len(packets) * self._frame
        for at in range(0, len(packets), PAGE_PACKETS):
            group = packets[at : at + PAGE_PACKETS]
            is_last = last and at + PAGE_PACKETS >= len(packets)
            samples = begin + (at + len(group)) * self._frame
            position = samples * self._scale
            if is_last:
                position = self._samples * self._scale + self._pre_skip
            yield self._writer.write_page(group, position, last=is_last)

    def _take_headers(self) -> bytes:
        headers, self._writer.headers = self._writer.headers, b""
        return headers
