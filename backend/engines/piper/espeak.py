"""The C library espeak-ng: text to phonemes in about a hundred languages.

It is loaded when a voice needs it, from the package `espeakng-loader` or the system, and is no part
of this product: its licence is the GPL, version 3. It has one state for the whole process and is
not thread-safe, so there is one `Espeak` with a lock.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import re
import threading
from functools import cache
from pathlib import Path

from backend.errors import VoiceUnavailable

INSTALL = "run: python -m pip install espeakng-loader (or: apt install libespeak-ng1)"
LONGEST = 600
"""Characters read at once; the rest is not read."""

_RETRIEVAL, _NO_EXIT = 2, 0x8000  # no sound device; an error does not end the process
_UTF8, _IPA = 1, 2
_LANGUAGE_SWITCH = re.compile(r"\([^()]*\)")  # "(en)" before a word of another language
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Espeak:
    """The library. Thread-safe: one text at a time, about 15 us a word."""

    def __init__(self, library: str, data: str | None) -> None:
        """Load the library at a path, with its `data` folder (None: its own). Raises `OSError`."""
        self._library = ctypes.CDLL(library)
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_TextToPhonemes.argtypes = [
            ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int,
        ]  # fmt: skip
        self._library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        path = data.encode() if data else None
        if self._library.espeak_Initialize(_RETRIEVAL, 0, path, _NO_EXIT) <= 0:
            raise OSError(f"espeak-ng finds no data in {data or 'its own folder'}")
        self._lock = threading.Lock()
        self._voice = ""

    def read(self, voice: str, text: str) -> str:
        """The phonemes (IPA) of `text`, read by one of its voices, words with a space between.
        Marks are not among them. Raises `VoiceUnavailable` if it has no such voice.
        """
        encoded = _UNREADABLE.sub(" ", text[:LONGEST]).encode("utf-8", "ignore")
        with self._lock:
            self._choose_voice(voice)
            clauses = self._read_clauses(encoded)
        return " ".join(_LANGUAGE_SWITCH.sub("", " ".join(clauses)).split())

    def _choose_voice(self, voice: str) -> None:
        if voice == self._voice:
            return
        self._voice = ""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise VoiceUnavailable(f"espeak-ng has no language {voice!r}; a newer one may have it")
        self._voice = voice

    def _read_clauses(self, encoded: bytes) -> list[str]:
        buffer = ctypes.create_string_buffer(encoded)
        rest = ctypes.c_void_p(ctypes.addressof(buffer))
        clauses: list[str] = []
        for _ in range(len(encoded) + 1):  # each call reads something
            if not rest.value:
                break
            read = self._library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA)
            clauses.append((read or b"").decode("utf-8", "ignore"))
        return clauses


@cache
def load_espeak() -> Espeak:
    """The library, loaded once. Blocks briefly. Raises `VoiceUnavailable` with the remedy."""
    reasons = []
    for library, data in _find_libraries():
        try:
            return Espeak(library, data)
        except (OSError, AttributeError) as error:
            reasons.append(str(error))
    why = "; ".join(reasons) or "it is not installed"
    raise VoiceUnavailable(f"this voice needs espeak-ng ({why}); {INSTALL}")


def _find_libraries() -> list[tuple[str, str | None]]:
    """Paths and data folders, the package's first: its version is known."""
    found: list[tuple[str, str | None]] = []
    package = importlib.util.find_spec("espeakng_loader")
    if package and package.origin:
        folder = Path(package.origin).parent
        found += [(str(p), str(folder / "espeak-ng-data")) for p in folder.glob("*espeak-ng.*")]
    for name in ("espeak-ng", "espeak-ng-1"):
        if library := ctypes.util.find_library(name):
            found.append((library, None))
    return found
