"""The codecs of telephone audio: their size, their silence, and the way back to PCM.

Speech is never encoded here: the server is asked for the call's codec. Mono everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from duplex_tts.telephony.errors import UnsupportedCodec

FRAME_MS = 20
_ALL_CODES = np.arange(256, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Codec:
    """How samples are written on the wire.

    `name` as carriers write it, `format` as the speech server names the same encoding, `silence`:
    one sample of it.
    """

    name: str
    format: str
    sample_rate_hz: int
    silence: bytes

    @property
    def frame_bytes(self) -> int:
        """Bytes of 20 ms."""
        return self.sample_rate_hz * FRAME_MS // 1000 * len(self.silence)

    def duration_ms(self, size_bytes: int) -> float:
        """How long so many bytes last."""
        return size_bytes * 1000 / (self.sample_rate_hz * len(self.silence))

    def decode(self, data: bytes) -> bytes:
        """The same samples as 16-bit little-endian PCM."""
        table = _TABLES.get(self.format)
        return data if table is None else table[np.frombuffer(data, np.uint8)].tobytes()


def codec_named(name: str, sample_rate_hz: int, channels: int = 1) -> Codec:
    """The codec that a carrier announces. Raises `UnsupportedCodec`, with what to ask it for."""
    build = _CODECS.get(name.upper())
    if build is None or channels != 1 or sample_rate_hz not in _RATES_HZ[name.upper()]:
        raise UnsupportedCodec(
            f"{name} at {sample_rate_hz} Hz, {channels} channel(s), is not spoken here; set up the "
            "stream with PCMU or PCMA at 8000 Hz, or L16 at 8000, 16000 or 24000 Hz, mono"
        )
    return build(sample_rate_hz)


def _mulaw_table() -> NDArray[np.int16]:
    """ITU-T G.711 mu-law: sign, 3 bits of exponent, 4 of mantissa, all inverted, bias 33 (<< 2)."""
    code = ~_ALL_CODES & 0xFF
    magnitude = (((code & 0x0F) * 2 + 33) << (code >> 4 & 7)) - 33 << 2
    return np.where(code & 0x80, -magnitude, magnitude).astype("<i2")


def _alaw_table() -> NDArray[np.int16]:
    """ITU-T G.711 A-law: sign, 3 bits of exponent, 4 of mantissa, every other bit inverted."""
    code = _ALL_CODES ^ 0x55
    exponent, mantissa = code >> 4 & 7, (code & 0x0F) * 2 + 1
    magnitude = np.where(exponent, mantissa + 32 << np.maximum(exponent - 1, 0), mantissa) << 3
    return np.where(code & 0x80, magnitude, -magnitude).astype("<i2")


_TABLES: Mapping[str, NDArray[np.int16]] = {"mulaw": _mulaw_table(), "alaw": _alaw_table()}

_CODECS: Mapping[str, Callable[[int], Codec]] = {
    "PCMU": lambda rate: Codec("PCMU", "mulaw", rate, b"\xff"),
    "PCMA": lambda rate: Codec("PCMA", "alaw", rate, b"\xd5"),
    # RFC 3551 says big-endian; Telnyx sends and takes little-endian over WebSockets.
    "L16": lambda rate: Codec("L16", "pcm_s16le", rate, b"\x00\x00"),
}
_RATES_HZ = {"PCMU": (8000,), "PCMA": (8000,), "L16": (8000, 16000, 24000)}
