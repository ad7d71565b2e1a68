"""Writes an Ogg stream of Opus packets (RFC 3533, RFC 7845). Synchronous, no I/O.

FFmpeg's writer begins a page for each packet or after a fixed time. This one ends a page where its
caller says: at the end of a message, so that none waits and each costs one page header.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

PAGE_PACKETS = 50
"""Packets that fit one page: of up to 1275 bytes, in 255 segments of 255 bytes."""

_FIRST, _LAST = 2, 4  # flags of a page
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_VENDOR = b"duplex-tts"


class OggOpusWriter:
    """One logical stream: two pages of headers, then audio."""

    def __init__(self, serial: int, sample_rate_hz: int, pre_skip: int) -> None:
        """`serial`: 32 bits, of this stream. `sample_rate_hz`: of the input, informative.
        `pre_skip`: samples at 48000 Hz that a decoder discards at the start.
        """
        self._serial = serial
        self._sequence = 0
        head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, pre_skip, sample_rate_hz, 0, 0)
        tags = struct.pack("<8sI", b"OpusTags", len(_VENDOR)) + _VENDOR + struct.pack("<I", 0)
        self.headers = self._page([head], 0, _FIRST) + self._page([tags], 0, 0)

    def write_page(self, packets: Sequence[bytes], position: int, *, last: bool = False) -> bytes:
        """A page with at most `PAGE_PACKETS` packets.

        `position`: samples at 48000 Hz, pre-skip included, that a decoder has at its end; less
        than the packets hold only on the `last` page: the rest is discarded.
        """
        return self._page(packets, position, _LAST if last else 0)

    def _page(self, packets: Sequence[bytes], position: int, flags: int) -> bytes:
        lacing = b"".join(
            b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets
        )
        head = struct.pack(
            "<4sBBqIIIB", b"OggS", 0, flags, position, self._serial, self._sequence, 0, len(lacing)
        )
        self._sequence += 1
        page = bytearray(head + lacing + b"".join(packets))
        struct.pack_into("<I", page, 22, _checksum(page))
        return bytes(page)


def _checksum(page: bytes | bytearray) -> int:
    """Ogg's CRC-32: zlib's polynomial with the bits of each byte the other way around, from 0."""
    mirrored = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
