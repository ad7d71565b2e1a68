"""The ElevenLabs protocol on WebSockets: its messages in the core's words. Sans I/O.

`stream-input` is one context: a first message (usually the text " ") with the voice settings, then
text; `{"text": ""}` ends it, and the final message is followed by close 1000.
`multi-stream-input` has many: `context_id` selects one, `{"text": ""}` keeps the connection alive,
`flush` speaks what is known, `close_context` ends a context, `close_socket` all of them and then
the connection.
Out come `audio` in base64 with the times of its characters, `isFinal` for each context, and errors,
which close the connection with 1008.

What clients rely on (elevenlabs 2.78, livekit-plugins-elevenlabs 1.8, pipecat-ai 1.14): pipecat
closes contexts that are over already, keeps alive without naming a context, and waits 2 s for the
close after `close_socket`; both frameworks wait after `close_context` for the rest of the audio;
pipecat adds up the spans of the alignments, so these must tile the audio, and takes a word to be
complete when a space follows it; livekit reads `normalizedAlignment` and asks for `sync_alignment`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic import AliasChoices, Field

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
from backend.protocols.base import CLOSE_POLICY, Close, Message, Refusal
from backend.protocols.elevenlabs_http import DEFAULT_FORMAT, VoiceSettings, refuse
from backend.protocols.reading import Fields, read_message
from backend.protocols.transcript import Character
from backend.protocols.wire_contexts import WireContext, WireContexts

DEFAULT_CONTEXT = "default"
KEY_TIMEOUT_S = 20.0
_CHARACTERS = 2000  # in one alignment: a message stays under 256 KiB
_SSML = re.compile(r"</?(?:speak|break|phoneme|prosody|emphasis|say-as|sub|p|s)\b[^<>]*>")
_GOES_ON = ("engine_failed", "timeout")  # one sentence stays silent, the next is spoken


class StreamQuery(Fields):
    """The parameters of the URL; `model_id` and others mean nothing here."""

    output_format: str = DEFAULT_FORMAT
    language_code: str | None = None
    seed: int | None = None
    inactivity_timeout: float = Field(default=20, gt=0, le=180)
    auto_mode: bool = False
    sync_alignment: bool = False
    enable_ssml_parsing: bool = False


class ClientMessage(Fields):
    """A message on either kind of stream."""

    text: str | None = None
    context_id: str | None = Field(
        default=None, max_length=128, validation_alias=AliasChoices("context_id", "contextId")
    )
    voice_settings: VoiceSettings | None = None
    flush: bool | None = None
    close_context: bool | None = None
    close_socket: bool | None = None
    xi_api_key: str | None = Field(
        default=None, validation_alias=AliasChoices("xi_api_key", "xi-api-key")
    )
    authorization: str | None = None

    @property
    def key(self) -> str | None:
        """The API key, wherever it is."""
        return self.xi_api_key or (self.authorization or "").removeprefix("Bearer ") or None


class ElevenLabsProtocol:
    """One connection's translator. See `base.WireProtocol`."""

    def __init__(self, start: Start, query: StreamQuery, *, multi: bool) -> None:
        """`start`: what every context of the connection begins with."""
        self._start = start
        self._query = query
        self._multi = multi
        self._contexts: WireContexts[WireContext] = WireContexts(WireContext)
        self._closing = False
        self._authorize: Callable[[str | None], object] | None = None
        self.idle_timeout_s: float | None = query.inactivity_timeout

    def demand_key(self, authorize: Callable[[str | None], object]) -> None:
        """The handshake had no key: the first message must bring one. `authorize` raises
        `Unauthorized` for a wrong one.
        """
        self._authorize = authorize
        self.idle_timeout_s = min(KEY_TIMEOUT_S, self._query.inactivity_timeout)

    # --- in ---------------------------------------------------------------------------------------

    def decode(self, message: str | bytes) -> Sequence[Command]:
        """See `base.WireProtocol`; a wrong key is an error, too."""
        said = read_message(ClientMessage, message)
        if self._authorize is not None:
            self._authorize(said.key)
            self._authorize = None
            self.idle_timeout_s = self._query.inactivity_timeout
        if self._closing:
            return ()
        return tuple(self._many(said) if self._multi else self._single(said))

    def _single(self, said: ClientMessage) -> Iterator[Command]:
        if said.text != "":
            yield from self._spoken(said, DEFAULT_CONTEXT)
            return
        self._closing = True
        context = self._contexts.close(DEFAULT_CONTEXT)
        if context is None:
            context = self._contexts.begin(DEFAULT_CONTEXT)
            yield self._opening(context, said)
        yield End(context.id)

    def _many(self, said: ClientMessage) -> Iterator[Command]:
        name = said.context_id or DEFAULT_CONTEXT
        if said.close_socket:
            self._closing = True
            yield from (End(context.id) for context in self._contexts.open)
            yield Ping()  # answered at once: when nothing is spoken, the connection can be closed
        elif said.close_context:
            context = self._contexts.close(name)
            if context is not None:
                yield End(context.id)
        else:
            yield from self._spoken(said, name)

    def _spoken(self, said: ClientMessage, name: str) -> Iterator[Command]:
        """What opens a context, text for it, and the wish to hear it at once."""
        context, text = self._contexts.named(name), said.text or ""
        if context is None:
            if not text:
                return  # keeps the connection alive, or flushes what is not there
            context = self._contexts.begin(name)
            yield self._opening(context, said)
            text = "" if text == " " else text
        if text := self._readable(text):
            context.transcript.push(text)
            yield Text(context.id, text)
        if said.flush or (text and self._query.auto_mode):
            yield Flush(context.id)

    def _opening(self, context: WireContext, said: ClientMessage) -> Start:
        speed = said.voice_settings.speed if said.voice_settings else None
        return replace(self._start, context=context.id, speed=speed)

    def _readable(self, text: str) -> str:
        """In `auto_mode` a message is a complete phrase: it is not glued to the next one."""
        if self._query.enable_ssml_parsing:
            text = _SSML.sub("", text)
        ended = not text or text[-1].isspace() or not self._query.auto_mode
        return text if ended else text + " "

    # --- out --------------------------------------------------------------------------------------

    def encode(self, event: Event) -> Sequence[Message]:
        """See `base.WireProtocol`."""
        match event:
            case Audio():
                return self._audio(event)
            case Done():
                return self._done(event)
            case Failed():
                return self._failed(event)
            case Pong() if not self._contexts:
                return (Close(),)
            case _:
                return ()

    def _audio(self, event: Audio) -> Sequence[Message]:
        context = self._contexts.get(event.context)
        if context is None:
            return ()
        characters = context.transcript.spoken(event)
        origin_ms = 0.0 if self._query.sync_alignment else event.start_ms
        messages = []
        data = base64.b64encode(event.data).decode("ascii")
        for first in range(0, max(1, len(characters)), _CHARACTERS):
            alignment = _alignment(characters[first : first + _CHARACTERS], origin_ms)
            fields = {
                "audio": data if first == 0 else "",
                "isFinal": None,
                "normalizedAlignment": alignment,
                "alignment": alignment,
            }
            messages.append(self._message(context, fields))
        return messages

    def _done(self, event: Done) -> Sequence[Message]:
        context = self._contexts.get(event.context)
        if context is None:
            return ()
        self._contexts.forget(context.id)
        last = self._message(context, {"audio": None, "isFinal": True})
        over = self._closing and not self._contexts
        return (last, Close()) if over else (last,)

    def _failed(self, event: Failed) -> Sequence[Message]:
        fields = {"message": event.message, "error": event.code, "code": CLOSE_POLICY}
        message = self._message(self._contexts.get(event.context), fields)
        return (message,) if event.code in _GOES_ON else (message, Close(CLOSE_POLICY, event.code))

    def _message(self, context: WireContext | None, fields: dict[str, Any]) -> str:
        if self._multi and context is not None:
            fields["contextId"] = context.name
        return json.dumps(fields, ensure_ascii=False)

    def deny(self, error: DuplexError) -> Refusal | None:
        """The status and body that HTTP would answer."""
        return refuse(Failed(None, error.code, error.message))


def _alignment(characters: Sequence[Character], origin_ms: float) -> dict[str, Any] | None:
    """Rounded where they are in the context, so that the sums do not drift."""
    if not characters:
        return None
    origin = round(origin_ms)
    return {
        "chars": [c.text for c in characters],
        "charStartTimesMs": [round(c.start_ms) - origin for c in characters],
        "charDurationsMs": [round(c.end_ms) - round(c.start_ms) for c in characters],
    }
