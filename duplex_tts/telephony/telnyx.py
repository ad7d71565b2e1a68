"""Telnyx Media Streaming, bidirectional: `stream_bidirectional_mode` is `rtp`.

`start` names the codec of the caller's audio (`stream_codec`), but not that of audio sent to Telnyx
(`stream_bidirectional_codec`): set both to the same. The order of media is not guaranteed:
`CallerAudio.chunk` restores it.
https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming
"""

from __future__ import annotations

from typing import Any

from duplex_tts.telephony.carrier import (
    CarrierEvent,
    DigitPressed,
    ErrorReported,
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


class Telnyx:
    """See `carrier.Carrier`."""

    name = "telnyx"

    def __init__(self) -> None:
        self._codec: TelephoneCodec | None = None

    def decode(self, message: str | bytes) -> CarrierEvent | None:
        """See `carrier.Carrier`."""
        fields = parse_object(message)
        match fields.get("event"):
            case "start":
                return self._decode_start(
                    get_string(fields, "stream_id"), get_object(fields, "start")
                )
            case "media":
                return self._decode_media(get_object(fields, "media"))
            case "dtmf":
                return DigitPressed(get_string(get_object(fields, "dtmf"), "digit"))
            case "mark":
                return MarkReached(get_string(get_object(fields, "mark"), "name"))
            case "error":
                return ErrorReported(str(fields.get("payload", fields)))
            case "stop":
                return StreamStopped()
        get_string(fields, "event")
        return None

    def encode_media(self, payload: bytes) -> str:
        """See `carrier.Carrier`."""
        return encode_json(event="media", media={"payload": encode_base64(payload)})

    def encode_mark(self, name: str) -> str:
        """See `carrier.Carrier`."""
        return encode_json(event="mark", mark={"name": name})

    def encode_clear(self) -> str:
        """See `carrier.Carrier`."""
        return encode_json(event="clear")

    def _decode_start(self, stream_id: str, start: dict[str, Any]) -> StreamStarted:
        if self._codec is not None:
            raise BadCarrierMessage("`start` came twice")
        media_format = get_object(start, "media_format")
        self._codec = find_codec(
            get_string(media_format, "encoding"),
            get_integer(media_format, "sample_rate"),
            get_integer(media_format, "channels"),
        )
        caller, called = (start.get(key) for key in ("from", "to"))
        return StreamStarted(
            get_string(start, "call_control_id"),
            stream_id,
            self._codec,
            caller if isinstance(caller, str) else None,
            called if isinstance(called, str) else None,
            get_string_values(start, "custom_parameters"),
        )

    def _decode_media(self, media: dict[str, Any]) -> CarrierEvent | None:
        if self._codec is None:
            raise BadCarrierMessage("media before `start`")
        if media.get("track", "inbound") != "inbound":  # our own audio
            return None
        return decode_audio(media, self._codec)
