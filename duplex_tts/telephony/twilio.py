"""Twilio Media Streams, bidirectional: `<Connect><Stream url="wss://..."/></Connect>`.

Mu-law at 8000 Hz both ways. Twilio answers a mark when all media before it was played, and all
pending marks after a `clear`. Its `start` has no telephone numbers: pass them to the stream as
`<Parameter>`, they arrive in `StreamStarted.parameters`.
https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

from typing import Any

from duplex_tts.telephony.carrier import (
    CarrierEvent,
    DigitPressed,
    MarkReached,
    StreamStarted,
    StreamStopped,
    decode_audio,
    encode_base64,
    encode_json,
    get_integer,
    get_object,
    get_string,
    get_string_values,
    parse_object,
)
from duplex_tts.telephony.codecs import TelephoneCodec, find_codec
from duplex_tts.telephony.errors import BadCarrierMessage

_ENCODINGS = {"audio/x-mulaw": "PCMU"}


class Twilio:
    """See `carrier.Carrier`."""

    name = "twilio"

    def __init__(self) -> None:
        self._stream_id = ""
        self._codec: TelephoneCodec | None = None

    def decode(self, message: str | bytes) -> CarrierEvent | None:
        """See `carrier.Carrier`."""
        fields = parse_object(message)
        match fields.get("event"):
            case "start":
                return self._decode_start(get_object(fields, "start"))
            case "media":
                return self._decode_media(get_object(fields, "media"))
            case "dtmf":
                return DigitPressed(get_string(get_object(fields, "dtmf"), "digit"))
            case "mark":
                return MarkReached(get_string(get_object(fields, "mark"), "name"))
            case "stop":
                return StreamStopped()
        get_string(fields, "event")
        return None

    def encode_media(self, payload: bytes) -> str:
        """See `carrier.Carrier`."""
        return self._encode_message("media", media={"payload": encode_base64(payload)})

    def encode_mark(self, name: str) -> str:
        """See `carrier.Carrier`."""
        return self._encode_message("mark", mark={"name": name})

    def encode_clear(self) -> str:
        """See `carrier.Carrier`."""
        return self._encode_message("clear")

    def _encode_message(self, event: str, **fields: object) -> str:
        return encode_json(event=event, streamSid=self._stream_id, **fields)

    def _decode_start(self, start: dict[str, Any]) -> StreamStarted:
        if self._codec is not None:
            raise BadCarrierMessage("`start` came twice")
        media_format = get_object(start, "mediaFormat")
        encoding = get_string(media_format, "encoding")
        self._codec = find_codec(
            _ENCODINGS.get(encoding, encoding),
            get_integer(media_format, "sampleRate"),
            get_integer(media_format, "channels"),
        )
        self._stream_id = get_string(start, "streamSid")
        parameters = get_string_values(start, "customParameters")
        return StreamStarted(
            get_string(start, "callSid"), self._stream_id, self._codec, None, None, parameters
        )

    def _decode_media(self, media: dict[str, Any]) -> CarrierEvent | None:
        if self._codec is None:
            raise BadCarrierMessage("media before `start`")
        if media.get("track", "inbound") != "inbound":  # our own audio
            return None
        return decode_audio(media, self._codec)
