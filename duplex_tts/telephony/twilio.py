"""Twilio Media Streams, bidirectional: `<Connect><Stream url="wss://..."/></Connect>`.

Mu-law at 8000 Hz both ways. Twilio answers a mark when all media before it was played, and all
waiting marks when it is cleared. Its `start` says no telephone numbers: give them to the stream as
`<Parameter>`, they arrive in `Started.parameters`.
https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

from typing import Any

from duplex_tts.telephony.carrier import (
    CarrierEvent,
    Digit,
    Marked,
    Started,
    Stopped,
    base64_of,
    compact,
    fields_of,
    number_in,
    sound_in,
    text_in,
    texts_in,
    within,
)
from duplex_tts.telephony.codecs import Codec, codec_named
from duplex_tts.telephony.errors import BadCarrierMessage

_ENCODINGS = {"audio/x-mulaw": "PCMU"}


class Twilio:
    """See `carrier.Carrier`."""

    name = "twilio"

    def __init__(self) -> None:
        self._stream_id = ""
        self._codec: Codec | None = None

    def decode(self, message: str | bytes) -> CarrierEvent | None:
        """See `carrier.Carrier`."""
        fields = fields_of(message)
        match fields.get("event"):
            case "start":
                return self._started(within(fields, "start"))
            case "media":
                return self._sound(within(fields, "media"))
            case "dtmf":
                return Digit(text_in(within(fields, "dtmf"), "digit"))
            case "mark":
                return Marked(text_in(within(fields, "mark"), "name"))
            case "stop":
                return Stopped()
        text_in(fields, "event")
        return None

    def media(self, payload: bytes) -> str:
        """See `carrier.Carrier`."""
        return self._message("media", media={"payload": base64_of(payload)})

    def mark(self, name: str) -> str:
        """See `carrier.Carrier`."""
        return self._message("mark", mark={"name": name})

    def clear(self) -> str:
        """See `carrier.Carrier`."""
        return self._message("clear")

    def _message(self, event: str, **fields: object) -> str:
        return compact(event=event, streamSid=self._stream_id, **fields)

    def _started(self, start: dict[str, Any]) -> Started:
        if self._codec is not None:
            raise BadCarrierMessage("start came twice")
        media_format = within(start, "mediaFormat")
        encoding = text_in(media_format, "encoding")
        self._codec = codec_named(
            _ENCODINGS.get(encoding, encoding),
            number_in(media_format, "sampleRate"),
            number_in(media_format, "channels"),
        )
        self._stream_id = text_in(start, "streamSid")
        parameters = texts_in(start, "customParameters")
        return Started(
            text_in(start, "callSid"), self._stream_id, self._codec, None, None, parameters
        )

    def _sound(self, media: dict[str, Any]) -> CarrierEvent | None:
        if self._codec is None:
            raise BadCarrierMessage("media before start")
        if media.get("track", "inbound") != "inbound":  # our own voice
            return None
        return sound_in(media, self._codec)
