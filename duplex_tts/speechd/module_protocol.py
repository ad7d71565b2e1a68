"""The protocol between Speech Dispatcher and an output module: lines on stdin and stdout.

Synchronous, no I/O. Described by Speech Dispatcher's manual ("Output module communication
protocol"); what its daemon really sends was read in version 0.11 and 0.12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "char", "key", "sound_icon"]

SPEAKING = b"200 OK SPEAKING\n"
CANNOT_SPEAK = b"301 ERROR CANT SPEAK\n"
BEGIN = b"701 BEGIN\n"
END = b"702 END\n"
STOP = b"703 STOP\n"
PAUSE = b"704 PAUSE\n"
QUIT = b"210 OK QUIT\n"
EVENT_BYTES = 4_800
"""Audio of one event: 100 ms, so that little is on its way when speech is stopped."""

_MESSAGES: dict[str, Kind] = {
    "SPEAK": "text",
    "CHAR": "char",
    "KEY": "key",
    "SOUND_ICON": "sound_icon",
}
_PARAMETERS = {
    "SET": ("203 OK RECEIVING SETTINGS", "203 OK SETTINGS RECEIVED"),
    "AUDIO": ("207 OK RECEIVING AUDIO SETTINGS", "203 OK AUDIO INITIALIZED"),
    "LOGLEVEL": ("207 OK RECEIVING LOGLEVEL SETTINGS", "203 OK LOGLEVEL SET"),
}
_ESCAPE, _INVERTED_BIT = b"\x7d", 0x20


@dataclass(frozen=True, slots=True)
class Message:
    """A text to speak; answered by `SPEAKING`, the events of the speech, and one that ends it."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """Values set by `command`: SET, AUDIO or LOGLEVEL. `accepted` is the answer."""

    command: str
    values: dict[str, str]
    accepted: bytes


@dataclass(frozen=True, slots=True)
class ListVoices:
    """Wanted: the voices, of this language if given."""

    language: str | None


@dataclass(frozen=True, slots=True)
class Command:
    """A command without data: INIT, STOP, PAUSE or QUIT."""

    name: str


Request = Message | Parameters | ListVoices | Command


class RequestReader:
    """Joins the daemon's lines to requests."""

    def __init__(self) -> None:
        self._command: str | None = None  # whose data is being read
        self._lines: list[str] = []

    def read_line(self, line: str) -> bytes | Request | None:
        """Read a line without its end. Returns an answer to send, a request, or None."""
        if self._command is None:
            return self._read_command(line)
        if line != ".":
            self._lines.append(line.removeprefix("."))  # a leading dot is doubled
            return None
        command, self._command = self._command, None
        lines, self._lines = self._lines, []
        if command in _MESSAGES:
            return _read_message(_MESSAGES[command], lines)
        return _read_parameters(command, lines)

    def _read_command(self, line: str) -> bytes | Request:
        words = line.split()
        name = words[0] if words else ""
        if name in _MESSAGES:
            self._command = name
            return b"202 OK RECEIVING MESSAGE\n"
        if name in _PARAMETERS:
            self._command = name
            return _PARAMETERS[name][0].encode() + b"\n"
        if words[:2] == ["LIST", "VOICES"]:
            return ListVoices(words[2] if len(words) > 2 else None)
        if name in ("INIT", "STOP", "PAUSE", "QUIT"):
            return Command(name)
        if name == "DEBUG":
            return b"200 OK DEBUGGING\n"
        return b"300 ERR UNKNOWN COMMAND\n"


def _read_message(kind: Kind, lines: list[str]) -> bytes | Message:
    text = "\n".join(lines)
    if not text:
        return CANNOT_SPEAK
    if kind != "text" and len(lines) > 1:
        return b"305 DATA MORE THAN ONE LINE\n"
    if kind in ("char", "key") and text == "space":
        text = " "
    return Message(kind, text)


def _read_parameters(command: str, lines: list[str]) -> bytes | Parameters:
    pairs = [line.partition("=") for line in lines if line]
    if not all(equals and name for name, equals, _ in pairs):
        return b"302 ERROR BAD SYNTAX\n"
    values = {name: value for name, _, value in pairs}
    return Parameters(command, values, _PARAMETERS[command][1].encode() + b"\n")


def encode_audio(pcm: bytes, sample_rate_hz: int) -> Iterator[bytes]:
    """Yield the events of mono 16-bit little-endian samples, for the daemon to play."""
    for start in range(0, len(pcm), EVENT_BYTES):
        samples = pcm[start : start + EVENT_BYTES]
        header = (
            "705-bits=16\n705-num_channels=1\n"
            f"705-sample_rate={sample_rate_hz}\n705-num_samples={len(samples) // 2}\n"
            "705-big_endian=0\n705-AUDIO\0"
        )
        yield header.encode() + _escape(samples) + b"\n705 AUDIO\n"


def encode_mark(name: str) -> bytes:
    """The event of an index mark. A line break in its name is a space."""
    return f"700-{' '.join(name.splitlines())}\n700 INDEX MARK\n".encode()


def ends_sentence(event: bytes) -> bool:
    """Whether an event is a mark that the daemon has put behind a sentence."""
    return event.startswith(b"700-__spd_")


def encode_voices(voices: list[tuple[str, str]]) -> bytes:
    """The answer to LIST VOICES: names and languages."""
    if not voices:
        return b"304 CANT LIST VOICES\n"
    lines = [f"200-{name}\t{language}\tnone\n" for name, language in voices]
    return "".join([*lines, "200 OK VOICE LIST SENT\n"]).encode()


def encode_init(message: str, *, ready: bool) -> bytes:
    """The answer to INIT: the daemon uses the module, or logs why it does not."""
    code, verdict = ("299", "OK LOADED SUCCESSFULLY") if ready else ("399", "ERR CANT INIT MODULE")
    lines = [f"{code}-{line}\n" for line in message.splitlines()]
    return "".join([*lines, f"{code} {verdict}\n"]).encode()


def _escape(samples: bytes) -> bytes:
    """Escape line feeds and the escape itself, as in HDLC: the sixth bit is inverted."""
    escaped = samples.replace(_ESCAPE, _ESCAPE + bytes([_ESCAPE[0] ^ _INVERTED_BIT]))
    return escaped.replace(b"\n", _ESCAPE + bytes([ord("\n") ^ _INVERTED_BIT]))
