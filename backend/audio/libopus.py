"""The Opus encoder of libopus, whose bit rate can change between two packets.

FFmpeg's wrapper sets the bit rate once, when it opens the codec. The library that PyAV brings is
called directly instead, or the system's. Synchronous; calls release the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

MAX_PACKET_BYTES = 1275

_VOIP = 2048  # of the applications: tuned for speech
_SET_BITRATE, _SET_VBR, _SET_VBR_CONSTRAINT, _GET_LOOKAHEAD = 4002, 4006, 4020, 4027
_FLOATS = ctypes.POINTER(ctypes.c_float)


class OpusEncoder:
    """Encodes mono frames of 2.5 to 60 ms. Raises `RuntimeError` if libopus refuses."""

    def __init__(self, sample_rate_hz: int, bits_per_s: int) -> None:
        library = load_libopus()
        if library is None:
            raise RuntimeError("libopus is not installed")
        self._library = library
        # A buffer of Python's instead of `opus_encoder_create`: freed with this object.
        self._state = ctypes.create_string_buffer(library.opus_encoder_get_size(1))
        _check(library.opus_encoder_init(self._state, sample_rate_hz, 1, _VOIP))
        self._set(_SET_VBR_CONSTRAINT, 1)  # no second above its bit rate
        self.set_bits_per_s(bits_per_s)
        self._packet = ctypes.create_string_buffer(MAX_PACKET_BYTES)

    @property
    def lookahead(self) -> int:
        """Delay in samples at the encoder's rate."""
        value = ctypes.c_int32()
        _check(self._library.opus_encoder_ctl(self._state, _GET_LOOKAHEAD, ctypes.byref(value)))
        return value.value

    def set_bits_per_s(self, bits_per_s: int, *, is_constant: bool = False) -> None:
        """The bit rate from the next packet on. `is_constant`: each packet has the same size;
        otherwise speech takes a fifth more at times, pauses less.
        """
        self._set(_SET_BITRATE, bits_per_s)
        self._set(_SET_VBR, int(not is_constant))

    def encode(self, frame: NDArray[np.float32]) -> bytes:
        """One packet for one frame, shape (n,)."""
        frame = np.ascontiguousarray(frame, np.float32)
        size = self._library.opus_encode_float(
            self._state, frame.ctypes.data_as(_FLOATS), len(frame), self._packet, MAX_PACKET_BYTES
        )
        return self._packet.raw[: _check(size)]

    def _set(self, request: int, value: int) -> None:
        _check(self._library.opus_encoder_ctl(self._state, request, ctypes.c_int32(value)))


@cache
def load_libopus() -> ctypes.CDLL | None:
    """The library; None if there is none. Reads files at the first call."""
    for path in _library_paths():
        try:
            library = ctypes.CDLL(path)
            library.opus_encoder_ctl.argtypes = [ctypes.c_char_p, ctypes.c_int]  # and one more
            library.opus_encode_float.argtypes = [
                ctypes.c_char_p,
                _FLOATS,
                ctypes.c_int,
                ctypes.c_char_p,
                ctypes.c_int32,
            ]
        except (OSError, AttributeError):
            continue
        return library
    return None


def _library_paths() -> Iterator[str]:
    """PyAV's wheels keep it beside the package (Linux, Windows) or in it (macOS)."""
    package = Path(av.__file__).parent
    for folder in (package.parent / "av.libs", package / ".dylibs"):
        yield from map(str, sorted(folder.glob("*opus*")))
    if name := ctypes.util.find_library("opus"):
        yield name


def _check(result: int) -> int:
    if result < 0:
        raise RuntimeError(f"libopus error {result}")
    return result
