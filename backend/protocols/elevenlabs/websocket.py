"""The ElevenLabs protocol over WebSocket. Sans I/O.

`stream-input` is one context: a first message (usually the text " ") with the voice settings, then
text; `{"text": ""}` ends it, and the final message is followed by close 1000.
`multi-stream-input` has many: `context_id` selects one, `{"text": ""}` keeps the connection alive,
`flush` speaks the text so far, `close_context` ends a context, `close_socket` ends them all and
then the connection.
The server sends `audio` in base64 with character times, `isFinal` for each context, and errors,
which close the connection with 1008.

Clients (elevenlabs 2.78, livekit-plugins-elevenlabs 1.8, pipecat-ai 1.14) rely on: pipecat closes
contexts that have ended, sends keepalives without a context, and waits 2 s for the close after
`close_socket`; both frameworks wait after `close_context` for the rest of the audio; pipecat sums
the spans of the alignments, so they must tile the audio, and takes a word as complete when a space
follows it; livekit reads `normalizedAlignment` and asks for `sync_alignment`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from backend.errors import DuplexError
from backend.events import (
    Audio,
    Command,
    Done,
    End,
    Event,
    Failed,
    Flush,
    Ping,
    Pong,
    Start,
    Text,
)
from backend.protocols.alignment import Character, TailMerger
from backend.protocols.base import CLOSE_POLICY, Close, Message, Refusal
from backend.protocols.context_ids import WireContext, WireContexts
from backend.protocols.elevenlabs.http import MARKUP, build_refusal, dictionary_ids
from backend.protocols.elevenlabs.stream_request import StreamMessage, StreamQuery
from backend.protocols.json_fields import read_message
from backend.protocols.markup import MarkupFilter, tag_markup

DEFAULT_CONTEXT = "default"
KEY_TIMEOUT_S = 20.0
_MAX_CHARACTERS = 2000  # per alignment: keeps a message under 256 KiB
_REASON_BYTES = 123  # limit of a close reason
_SSML = tag_markup("speak", "break", "phoneme", "prosody", "emphasis", "say-as", "sub", "p", "s")
_VENDOR_CODES = {"unknown_voice": "voice_id_does_not_exist"}
_TRANSIENT_CODES = ("engine_failed", "timeout")  # only a sentence is lost


@dataclass(slots=True)
class ElevenLabsContext(WireContext):
    """A context and the audio held back for its end."""

    ended: bool = False  # no more text follows
    tail: TailMerger = field(default_factory=TailMerger)

    def hold_tail(self, event: Audio) -> list[Audio]:
        """Add `event` and return the audio that can be sent."""
        is_end = len(self.transcript) == event.text[1] - self.transcript.start
        return self.tail.add_audio(event, last=self.ended and is_end)


class ElevenLabsProtocol:
    """One connection's translator. See `base.WireProtocol`."""

    def __init__(self, start: Start, query: StreamQuery, *, multi: bool) -> None:
        """`start`: the template for every context of the connection."""
        self._start = start
        self._query = query
        self._multi = multi
        markup = _SSML if query.enable_ssml_parsing else MARKUP
        self._contexts: WireContexts[ElevenLabsContext] = WireContexts(
            lambda id_, name: ElevenLabsContext(id_, name, MarkupFilter(markup))
        )
        self._closing = False
        self._authorize: Callable[[str | None], object] | None = None
        self.idle_timeout_s: float | None = query.inactivity_timeout

    def require_key(self, authorize: Callable[[str | None], object]) -> None:
        """Expect the key in the first message, as the handshake had none. `authorize` raises
        `Unauthorized` for a wrong one.
        """
        self._authorize = authorize
        self.idle_timeout_s = min(KEY_TIMEOUT_S, self._query.inactivity_timeout)

    # --- client to server -------------------------------------------------------------------------

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """See `base.WireProtocol`. Also raises `Unauthorized`."""
        received = read_message(StreamMessage, message)
        if self._authorize is not None:
            self._authorize(received.key)
            self._authorize = None
            self.idle_timeout_s = self._query.inactivity_timeout
        if self._closing:
            return ()
        return tuple(self._decode_multi(received) if self._multi else self._decode_single(received))

    def _decode_single(self, received: StreamMessage) -> Iterator[Command]:
        if received.text != "":
            yield from self._push_text(received, DEFAULT_CONTEXT)
            return
        self._closing = True
        context = self._contexts.close_context(DEFAULT_CONTEXT)
        if context is None:
            context = self._contexts.open_context(DEFAULT_CONTEXT)
            yield self._build_context_start(context, received)
        yield from self._end_context(context)

    def _decode_multi(self, received: StreamMessage) -> Iterator[Command]:
        name = received.context_id or DEFAULT_CONTEXT
        if received.close_socket:
            self._closing = True
            for context in self._contexts.open_contexts:
                yield from self._end_context(context)
            yield Ping()  # its reply closes the connection if nothing is left to speak
        elif received.close_context:
            if closed := self._contexts.close_context(name):
                yield from self._end_context(closed)
        else:
            yield from self._push_text(received, name)

    def _push_text(self, received: StreamMessage, name: str) -> Iterator[Command]:
        """Open the context if needed, push its text, flush on request."""
        context, text = self._contexts.find_open(name), received.text or ""
        if context is None:
            if not text:
                return  # a keepalive, or a flush of no text
            context = self._contexts.open_context(name)
            yield self._build_context_start(context, received)
            text = "" if text == " " else text
        sent = context.markup.filter_text(text) + (
            context.markup.flush_held() if received.flush else ""
        )
        if sent := self._as_phrase(sent):
            context.append_sent(sent)
            yield Text(context.id, sent)
        if received.flush or (sent and self._query.auto_mode):
            yield Flush(context.id)

    def _end_context(self, context: ElevenLabsContext) -> Iterator[Command]:
        if rest := context.markup.flush_held():
            context.append_sent(rest)
            yield Text(context.id, rest)
        context.ended = True
        yield End(context.id)

    def _build_context_start(self, context: WireContext, received: StreamMessage) -> Start:
        speed = received.voice_settings.speed if received.voice_settings else None
        dictionaries = dictionary_ids(received.pronunciation_dictionary_locators)
        return replace(self._start, context=context.id, speed=speed, dictionaries=dictionaries)

    def _as_phrase(self, text: str) -> str:
        """In `auto_mode` a message is a complete phrase: end it with a space."""
        ended = not text or text[-1].isspace() or not self._query.auto_mode
        return text if ended else text + " "

    # --- server to client -------------------------------------------------------------------------

    def encode(self, event: Event) -> Sequence[Message]:
        """See `base.WireProtocol`."""
        match event:
            case Audio() if context := self._contexts.find_by_id(event.context):
                ready = context.hold_tail(event)
                return [
                    message for audio in ready for message in self._encode_audio(context, audio)
                ]
            case Done():
                return self._encode_done(event)
            case Failed():
                return self._encode_failed(event)
            case Pong() if not self._contexts:
                return (Close(),)
            case _:
                return ()

    def _encode_audio(self, context: ElevenLabsContext, event: Audio) -> Sequence[Message]:
        characters = context.transcript.pop_spoken(event)
        origin_ms = 0.0 if self._query.sync_alignment else event.start_ms
        messages = []
        data = base64.b64encode(event.data).decode("ascii")
        for first in range(0, max(1, len(characters)), _MAX_CHARACTERS):
            alignment = _alignment_fields(characters[first : first + _MAX_CHARACTERS], origin_ms)
            fields = {
                "audio": data if first == 0 else "",
                "isFinal": None,
                "normalizedAlignment": alignment,
                "alignment": alignment,
            }
            messages.append(self._build_message(context, fields))
        return messages

    def _encode_done(self, event: Done) -> Sequence[Message]:
        context = self._contexts.find_by_id(event.context)
        if context is None:
            return ()
        self._contexts.remove_context(context.id)
        last = self._build_message(context, {"audio": None, "isFinal": True})
        held = [
            message
            for audio in context.tail.flush()
            for message in self._encode_audio(context, audio)
        ]
        is_last = self._closing and not self._contexts
        return (*held, last, Close()) if is_last else (*held, last)

    def _encode_failed(self, event: Failed) -> Sequence[Message]:
        code = _VENDOR_CODES.get(event.code, event.code)
        fields = {"message": event.message, "error": code, "code": CLOSE_POLICY}
        message = self._build_message(self._contexts.find_by_id(event.context), fields)
        if event.code in _TRANSIENT_CODES:
            return (message,)
        reason = f"{code}: {event.message}".encode()[:_REASON_BYTES].decode(errors="ignore")
        return message, Close(CLOSE_POLICY, reason)

    def _build_message(self, context: WireContext | None, fields: dict[str, Any]) -> str:
        if self._multi and context is not None:
            fields["contextId"] = context.name
        return json.dumps(fields, ensure_ascii=False)

    def deny(self, error: DuplexError) -> Refusal | None:
        """The same status and body as over HTTP."""
        return build_refusal(Failed.from_error(error))


def _alignment_fields(characters: Sequence[Character], origin_ms: float) -> dict[str, Any] | None:
    """Times are rounded relative to the context, so that sums do not drift."""
    if not characters:
        return None
    origin = round(origin_ms)
    return {
        "chars": [c.text for c in characters],
        "charStartTimesMs": [round(c.start_ms) - origin for c in characters],
        "charDurationsMs": [round(c.end_ms) - round(c.start_ms) for c in characters],
    }
