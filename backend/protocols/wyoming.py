"""Wyoming, Home Assistant's voice protocol: a JSON header line, data, payload; over TCP.

What Home Assistant does (its integration, with wyoming 1.10):

* It sends `describe` once and lists the voices that are `installed`.
* With `supports_synthesize_streaming` it opens a connection per response and sends
  `synthesize-start`, `synthesize-chunk` as the text is written, then the whole text again in a
  `synthesize` (for servers that do not stream), then `synthesize-stop`. It writes the WAV header
  at the first `audio-start`, ignores `audio-stop`, and reads up to `synthesize-stopped`.
* Otherwise it sends `synthesize` and reads up to `audio-stop`.
* It waits without a timeout and ignores `error`: if no more events follow, close the connection.

Sans I/O. Imported only if Wyoming is enabled.
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

MAX_BYTES = 1 << 17  # limit of header, data and payload each: parsed within one loop turn
_SAMPLE_BYTES, _CHANNELS = 2, 1  # of pcm_s16le
_INFO, _PONG = "info", "pong "
_TRANSIENT_CODES = {"timeout", "engine_failed"}  # only a sentence is lost
_NO_ATTRIBUTION = Attribution(name="", url="")


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


class _SynthesizeChunk(LenientModel):
    text: str


class _Synthesize(_SynthesizeStart, _SynthesizeChunk):
    pass


class _Ping(LenientModel):
    text: str | None = None


class _Data(LenientModel, extra="allow"):
    pass


def read_lengths(header: bytes) -> tuple[int, int]:
    """The sizes in bytes of the data and the payload after a header line.

    Raises `BadJson`, `BadMessage`: the start of the next event is then unknown.
    """
    parsed = read_json(_Header, header)
    return parsed.data_length or 0, parsed.payload_length or 0


class WyomingProtocol:
    """One connection. See `base.WireProtocol`; a message is a header line and its data."""

    idle_timeout_s: float | None = None

    def __init__(self, voices: Sequence[Voice]) -> None:
        self._voices = voices
        self._rate_hz = 0
        self._contexts = 0
        self._context: str | None = None  # currently spoken
        self._receiving_text = False  # between `synthesize-start` and `-stop`
        self._streamed = False  # opened with `synthesize-start`
        self._audio_started = False  # `audio-start` was sent

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """Raises `BadJson`, `BadMessage`, `Unsupported`. Other types are ignored."""
        assert isinstance(message, bytes), "TCP messages are bytes"
        header, _, data = message.partition(b"\n")
        parsed = read_json(_Header, header)
        fields = {**parsed.data, **(read_json(_Data, data).model_dump() if data else {})}
        return self._to_commands(parsed.type, fields)

    def _to_commands(self, kind: str, fields: dict[str, Any]) -> Sequence[Command]:
        match kind:
            case "describe":
                return (Ping(_INFO),)
            case "ping":
                return (Ping(_PONG + (read_query(_Ping, fields).text or "")),)
            case "synthesize" if not self._receiving_text:
                request = read_query(_Synthesize, fields)
                start = self._open_context(request, streamed=False)
                return start, Text(start.context, request.text), End(start.context)
            case "synthesize-start":
                return (self._open_context(read_query(_SynthesizeStart, fields), streamed=True),)
            case "synthesize-chunk":
                return self._handle_chunk(read_query(_SynthesizeChunk, fields).text)
            case "synthesize-stop" if self._receiving_text:
                self._receiving_text = False
                return (End(self._context),) if self._context else ()
        return ()

    def _open_context(self, request: _SynthesizeStart, *, streamed: bool) -> Start:
        if self._context is not None:
            raise BadMessage(
                "one text at a time: wait for the end of its audio, or open another connection"
            )
        if request.text_format not in (None, "text", "ssml"):
            raise Unsupported(
                f"text_format {request.text_format[:40]!r} is not supported; send text or ssml"
            )
        self._contexts += 1
        self._context = str(self._contexts)
        self._receiving_text = self._streamed = streamed
        self._audio_started = False
        voice = request.voice or _Voice()
        return Start(
            self._context,
            voice=voice.name,
            language=voice.language,
            mode="stream",
            ssml=request.text_format == "ssml" or None,
        )

    def _handle_chunk(self, text: str) -> Sequence[Command]:
        if not self._receiving_text:
            raise BadMessage("send synthesize-start before synthesize-chunk")
        return (Text(self._context, text),) if self._context else ()

    def encode(self, event: Event) -> Sequence[Message]:
        """The Wyoming events for a core event, each with its header."""
        match event:
            case Ready(sample_rate=rate_hz):
                self._rate_hz = rate_hz
                return ()
            case Pong(id="info"):
                return (_serialize(self._build_info()),)
            case Pong(id=str(text)):
                return (_serialize(WyomingPong(text.removeprefix(_PONG) or None)),)
            case Audio(data=data, start_ms=start_ms) if data:
                chunk = AudioChunk(self._rate_hz, _SAMPLE_BYTES, _CHANNELS, data, round(start_ms))
                return (*self._audio_start(), _serialize(chunk))
            case Done():
                return self._encode_done(event)
            case Failed():
                return self._encode_failed(event)
        return ()

    def _audio_start(self) -> Sequence[bytes]:
        if self._audio_started:
            return ()
        self._audio_started = True
        return (_serialize(AudioStart(self._rate_hz, _SAMPLE_BYTES, _CHANNELS, 0)),)

    def _encode_done(self, done: Done) -> Sequence[Message]:
        """A text without sound also gets `audio-start` and `-stop`: clients wait for them."""
        self._context = None
        stopped = (_serialize(SynthesizeStopped()),) if self._streamed else ()
        return *self._audio_start(), _serialize(AudioStop(round(done.audio_ms))), *stopped

    def _encode_failed(self, failed: Failed) -> Sequence[Message]:
        error = _serialize(Error(failed.message, failed.code))
        transient = _TRANSIENT_CODES | {"text_limit"} if self._receiving_text else _TRANSIENT_CODES
        is_fatal = failed.context is not None and failed.code not in transient
        return (error, Close(CLOSE_POLICY, failed.code)) if is_fatal else (error,)

    def deny(self, error: DuplexError) -> Refusal | None:
        """None: Wyoming has no handshake to refuse."""
        return None

    def _build_info(self) -> Info:
        voices = [
            TtsVoice(
                name=voice.name,
                attribution=_NO_ATTRIBUTION,
                installed=voice.ready,
                description=f"{voice.name} ({voice.description})",
                version=None,
                languages=[voice.language, *voice.other_languages],
            )
            for voice in self._voices
        ]
        program = TtsProgram(
            name="duplex-tts",
            attribution=_NO_ATTRIBUTION,
            installed=True,
            description="Speaks while the text is still being written",
            version=None,
            voices=voices,
            supports_synthesize_streaming=True,
        )
        return Info(tts=[program])


def _serialize(event: Eventable) -> bytes:
    buffer = io.BytesIO()
    write_event(event.event(), buffer)
    return buffer.getvalue()
