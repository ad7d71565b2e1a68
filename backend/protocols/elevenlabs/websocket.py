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
from backend.protocols.elevenlabs.http import MARKUP, refuse
from backend.protocols.elevenlabs.stream_request import ClientMessage, StreamQuery
from backend.protocols.json_fields import read_message
from backend.protocols.markup import MarkupFilter, tag_markup

DEFAULT_CONTEXT = "default"
KEY_TIMEOUT_S = 20.0
_CHARACTERS = 2000  # in one alignment: a message stays under 256 KiB
_REASON_BYTES = 123  # of a close
_SSML = tag_markup("speak", "break", "phoneme", "prosody", "emphasis", "say-as", "sub", "p", "s")
_THEIR_CODES = {"unknown_voice": "voice_id_does_not_exist"}
_GOES_ON = ("engine_failed", "timeout")  # one sentence stays silent, the next is spoken


@dataclass(slots=True)
class ElevenLabsContext(WireContext):
    """A context with the audio that its end is told with."""

    ended: bool = False  # no more text comes
    last: TailMerger = field(default_factory=TailMerger)

    def audio(self, event: Audio) -> list[Audio]:
        """What can be told, now that there is this audio."""
        nothing_left = len(self.transcript) == event.text[1] - self.transcript.start
        return self.last.add_audio(event, last=self.ended and nothing_left)


class ElevenLabsProtocol:
    """One connection's translator. See `base.WireProtocol`."""

    def __init__(self, start: Start, query: StreamQuery, *, multi: bool) -> None:
        """`start`: what every context of the connection begins with."""
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
        context = self._contexts.close_context(DEFAULT_CONTEXT)
        if context is None:
            context = self._contexts.open_context(DEFAULT_CONTEXT)
            yield self._opening(context, said)
        yield from self._end(context)

    def _many(self, said: ClientMessage) -> Iterator[Command]:
        name = said.context_id or DEFAULT_CONTEXT
        if said.close_socket:
            self._closing = True
            for context in self._contexts.open_contexts:
                yield from self._end(context)
            yield Ping()  # answered at once: when nothing is spoken, the connection can be closed
        elif said.close_context:
            if closed := self._contexts.close_context(name):
                yield from self._end(closed)
        else:
            yield from self._spoken(said, name)

    def _spoken(self, said: ClientMessage, name: str) -> Iterator[Command]:
        """What opens a context, text for it, and the wish to hear it at once."""
        context, text = self._contexts.find_open(name), said.text or ""
        if context is None:
            if not text:
                return  # keeps the connection alive, or flushes what is not there
            context = self._contexts.open_context(name)
            yield self._opening(context, said)
            text = "" if text == " " else text
        plain = context.markup.filter_text(text) + (
            context.markup.flush_held() if said.flush else ""
        )
        if plain := self._phrase(plain):
            context.transcript.append_text(plain)
            yield Text(context.id, plain)
        if said.flush or (plain and self._query.auto_mode):
            yield Flush(context.id)

    def _end(self, context: ElevenLabsContext) -> Iterator[Command]:
        if rest := context.markup.flush_held():
            context.transcript.append_text(rest)
            yield Text(context.id, rest)
        context.ended = True
        yield End(context.id)

    def _opening(self, context: WireContext, said: ClientMessage) -> Start:
        speed = said.voice_settings.speed if said.voice_settings else None
        return replace(self._start, context=context.id, speed=speed)

    def _phrase(self, text: str) -> str:
        """In `auto_mode` a message is a complete phrase: it is not glued to the next one."""
        ended = not text or text[-1].isspace() or not self._query.auto_mode
        return text if ended else text + " "

    # --- out --------------------------------------------------------------------------------------

    def encode(self, event: Event) -> Sequence[Message]:
        """See `base.WireProtocol`."""
        match event:
            case Audio() if context := self._contexts.find_by_id(event.context):
                told = context.audio(event)
                return [message for audio in told for message in self._audio(context, audio)]
            case Done():
                return self._done(event)
            case Failed():
                return self._failed(event)
            case Pong() if not self._contexts:
                return (Close(),)
            case _:
                return ()

    def _audio(self, context: ElevenLabsContext, event: Audio) -> Sequence[Message]:
        characters = context.transcript.pop_spoken(event)
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
        context = self._contexts.find_by_id(event.context)
        if context is None:
            return ()
        self._contexts.remove_context(context.id)
        last = self._message(context, {"audio": None, "isFinal": True})
        told = [each for audio in context.last.flush() for each in self._audio(context, audio)]
        over = self._closing and not self._contexts
        return (*told, last, Close()) if over else (*told, last)

    def _failed(self, event: Failed) -> Sequence[Message]:
        code = _THEIR_CODES.get(event.code, event.code)
        fields = {"message": event.message, "error": code, "code": CLOSE_POLICY}
        message = self._message(self._contexts.find_by_id(event.context), fields)
        if event.code in _GOES_ON:
            return (message,)
        reason = f"{code}: {event.message}".encode()[:_REASON_BYTES].decode(errors="ignore")
        return message, Close(CLOSE_POLICY, reason)

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
