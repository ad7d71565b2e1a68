"""Wyoming, the protocol of Home Assistant's voice: a header line of JSON, data, payload; over TCP.

What Home Assistant does (its integration, with wyoming 1.10):

* It asks `describe` once and shows the voices that are `installed`.
* With `supports_synthesize_streaming` it opens a connection for each answer and sends
  `synthesize-start`, `synthesize-chunk` as the text is written, then the whole text again in a
  `synthesize` (for servers that do not stream), then `synthesize-stop`. It writes the WAV's header
  at the first `audio-start`, ignores `audio-stop`, and reads up to `synthesize-stopped`.
* Without, it sends `synthesize` and reads up to `audio-stop`.
* It waits without a limit, and looks at no `error`: where nothing more comes, hang up.

Sans I/O. Imported only where Wyoming is switched on.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from pydantic import Field
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Eventable, write_event
from wyoming.info import Attribution, Info, TtsProgram, TtsVoice
from wyoming.ping import Pong as WyomingPong
from wyoming.tts import SynthesizeStopped

from backend.errors import BadMessage, DuplexError, Unsupported
from backend.events import (
    Audio,
    Command,
    Done,
    End,
    Event,
    Failed,
    Ping,
    Pong,
    Ready,
    Start,
    Text,
    Voice,
)
from backend.protocols.base import CLOSE_POLICY, Close, Message, Refusal
from backend.protocols.json_fields import LenientModel, read_json, read_query

MAX_BYTES = 1 << 17  # of an event's header, data and payload, each: read within a turn
_WIDTH_BYTES, _CHANNELS = 2, 1  # of pcm_s16le
_INFO, _PONG = "info", "pong "
_PASSING = {"timeout", "engine_failed"}  # a sentence is lost, the context goes on
_NOBODY = Attribution(name="", url="")


class _Header(LenientModel):
    type: str
    data: dict[str, Any] = Field(default_factory=dict)
    data_length: int | None = Field(None, ge=0, le=MAX_BYTES)
    payload_length: int | None = Field(None, ge=0, le=MAX_BYTES)


class _Voice(LenientModel):
    name: str | None = None
    language: str | None = None


class _SynthesizeStart(LenientModel):
    voice: _Voice | None = None
    text_format: str | None = None


class _Chunk(LenientModel):
    text: str


class _Synthesize(_SynthesizeStart, _Chunk):
    pass


class _Ping(LenientModel):
    text: str | None = None


class _Data(LenientModel, extra="allow"):
    pass


def lengths(header: bytes) -> tuple[int, int]:
    """How many bytes of data and of payload follow a header line. Raises `BadJson`, `BadMessage`:
    then nobody knows where the next event begins.
    """
    parsed = read_json(_Header, header)
    return parsed.data_length or 0, parsed.payload_length or 0


class WyomingProtocol:
    """One connection. See `base.WireProtocol`; a message is a header line and the event's data."""

    idle_timeout_s: float | None = None

    def __init__(self, voices: Sequence[Voice]) -> None:
        self._voices = voices
        self._rate_hz = 0
        self._contexts = 0
        self._context: str | None = None  # being spoken
        self._writing = False  # between `synthesize-start` and `-stop`
        self._streamed = False  # began with `synthesize-start`
        self._heard = False  # `audio-start` was sent

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """Raises `BadJson`, `BadMessage`, `Unsupported`. Types that are not ours mean nothing."""
        assert isinstance(message, bytes), "over TCP everything is bytes"
        header, _, data = message.partition(b"\n")
        parsed = read_json(_Header, header)
        fields = {**parsed.data, **(read_json(_Data, data).model_dump() if data else {})}
        return self._commands(parsed.type, fields)

    def _commands(self, kind: str, fields: dict[str, Any]) -> Sequence[Command]:
        match kind:
            case "describe":
                return (Ping(_INFO),)
            case "ping":
                return (Ping(_PONG + (read_query(_Ping, fields).text or "")),)
            case "synthesize" if not self._writing:
                whole = read_query(_Synthesize, fields)
                start = self._begin(whole, streamed=False)
                return start, Text(start.context, whole.text), End(start.context)
            case "synthesize-start":
                return (self._begin(read_query(_SynthesizeStart, fields), streamed=True),)
            case "synthesize-chunk":
                return self._chunk(read_query(_Chunk, fields).text)
            case "synthesize-stop" if self._writing:
                self._writing = False
                return (End(self._context),) if self._context else ()
        return ()

    def _begin(self, asked: _SynthesizeStart, *, streamed: bool) -> Start:
        if self._context is not None:
            raise BadMessage(
                "one text at a time: wait for the end of its audio, or open another connection"
            )
        if asked.text_format not in (None, "text"):
            raise Unsupported(f"text_format {asked.text_format[:40]!r}: send plain text")
        self._contexts += 1
        self._context = str(self._contexts)
        self._writing = self._streamed = streamed
        self._heard = False
        voice = asked.voice or _Voice()
        return Start(self._context, voice=voice.name, language=voice.language, mode="stream")

    def _chunk(self, text: str) -> Sequence[Command]:
        if not self._writing:
            raise BadMessage("synthesize-chunk comes after synthesize-start")
        return (Text(self._context, text),) if self._context else ()

    def encode(self, event: Event) -> Sequence[Message]:
        """The Wyoming events for an event of the core, each with its header."""
        match event:
            case Ready(sample_rate=rate_hz):
                self._rate_hz = rate_hz
                return ()
            case Pong(id="info"):
                return (_bytes(self._info()),)
            case Pong(id=str(text)):
                return (_bytes(WyomingPong(text.removeprefix(_PONG) or None)),)
            case Audio(data=data, start_ms=start_ms) if data:
                chunk = AudioChunk(self._rate_hz, _WIDTH_BYTES, _CHANNELS, data, round(start_ms))
                return (*self._audio_start(), _bytes(chunk))
            case Done():
                return self._done(event)
            case Failed():
                return self._failed(event)
        return ()

    def _audio_start(self) -> Sequence[bytes]:
        if self._heard:
            return ()
        self._heard = True
        return (_bytes(AudioStart(self._rate_hz, _WIDTH_BYTES, _CHANNELS, 0)),)

    def _done(self, done: Done) -> Sequence[Message]:
        """A text without sound has its `audio-start` and `-stop`, too: a client waits for them."""
        self._context = None
        stopped = (_bytes(SynthesizeStopped()),) if self._streamed else ()
        return *self._audio_start(), _bytes(AudioStop(round(done.audio_ms))), *stopped

    def _failed(self, failed: Failed) -> Sequence[Message]:
        error = _bytes(Error(failed.message, failed.code))
        passing = _PASSING | {"text_limit"} if self._writing else _PASSING
        lost = failed.context is not None and failed.code not in passing
        return (error, Close(CLOSE_POLICY, failed.code)) if lost else (error,)

    def deny(self, error: DuplexError) -> Refusal | None:
        """None: there is no handshake that could be refused."""
        return None

    def _info(self) -> Info:
        voices = [
            TtsVoice(
                name=voice.name,
                attribution=_NOBODY,
                installed=voice.ready,
                description=f"{voice.name} ({voice.description})",
                version=None,
                languages=[voice.language],
            )
            for voice in self._voices
        ]
        program = TtsProgram(
            name="duplex-tts",
            attribution=_NOBODY,
            installed=True,
            description="Speaks while the text is still being written",
            version=None,
            voices=voices,
            supports_synthesize_streaming=True,
        )
        return Info(tts=[program])


def _bytes(event: Eventable) -> bytes:
    buffer = io.BytesIO()
    write_event(event.event(), buffer)
    return buffer.getvalue()
