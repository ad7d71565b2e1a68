"""The codecs of telephone audio: frame size, silence, and decoding to PCM. All mono.

Nothing is encoded here: the server renders in the call's codec.
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
class TelephoneCodec:
    """A sample encoding.

    `name`: the carriers' name. `format`: the speech server's name. `silence`: one silent sample.
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
        """The duration of this many bytes."""
        return size_bytes * 1000 / (self.sample_rate_hz * len(self.silence))

    def decode(self, data: bytes) -> bytes:
        """Convert to 16-bit little-endian PCM."""
        table = _TABLES.get(self.format)
        return data if table is None else table[np.frombuffer(data, np.uint8)].tobytes()


def find_codec(name: str, sample_rate_hz: int, channels: int = 1) -> TelephoneCodec:
    """The codec that a carrier announces. Raises `UnsupportedCodec` with the remedy."""
    build = _CODECS.get(name.upper())
    if build is None or channels != 1 or sample_rate_hz not in _RATES_HZ[name.upper()]:
        raise UnsupportedCodec(
            f"{name} at {sample_rate_hz} Hz, {channels} channel(s), is not supported; set up the "
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

_CODECS: Mapping[str, Callable[[int], TelephoneCodec]] = {
    "PCMU": lambda rate: TelephoneCodec("PCMU", "mulaw", rate, b"\xff"),
    "PCMA": lambda rate: TelephoneCodec("PCMA", "alaw", rate, b"\xd5"),
    # RFC 3551 is big-endian; Telnyx uses little-endian over WebSockets.
    "L16": lambda rate: TelephoneCodec("L16", "pcm_s16le", rate, b"\x00\x00"),
}
_RATES_HZ = {"PCMU": (8000,), "PCMA": (8000,), "L16": (8000, 16000, 24000)}
