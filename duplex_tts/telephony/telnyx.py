"""Telnyx Media Streaming, bidirectional: `stream_bidirectional_mode` is `rtp`.

`start` says the codec of the caller's voice (`stream_codec`); what Telnyx takes from us is its
`stream_bidirectional_codec`, which it does not say: set both to the same. The order of media is not
guaranteed: `Sound.chunk` restores it.
https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming
"""

from __future__ import annotations

from typing import Any

from duplex_tts.telephony.carrier import (
    CarrierEvent,
    Complaint,
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


class Telnyx:
    """See `carrier.Carrier`."""

    name = "telnyx"

    def __init__(self) -> None:
        self._codec: Codec | None = None

    def decode(self, message: str | bytes) -> CarrierEvent | None:
        """See `carrier.Carrier`."""
        fields = fields_of(message)
        match fields.get("event"):
            case "start":
                return self._started(text_in(fields, "stream_id"), within(fields, "start"))
            case "media":
                return self._sound(within(fields, "media"))
            case "dtmf":
                return Digit(text_in(within(fields, "dtmf"), "digit"))
            case "mark":
                return Marked(text_in(within(fields, "mark"), "name"))
            case "error":
                return Complaint(str(fields.get("payload", fields)))
            case "stop":
                return Stopped()
        text_in(fields, "event")
        return None

    def media(self, payload: bytes) -> str:
        """See `carrier.Carrier`."""
        return compact(event="media", media={"payload": base64_of(payload)})

    def mark(self, name: str) -> str:
        """See `carrier.Carrier`."""
        return compact(event="mark", mark={"name": name})

    def clear(self) -> str:
        """See `carrier.Carrier`."""
        return compact(event="clear")

    def _started(self, stream_id: str, start: dict[str, Any]) -> Started:
        if self._codec is not None:
            raise BadCarrierMessage("start came twice")
        media_format = within(start, "media_format")
        self._codec = codec_named(
            text_in(media_format, "encoding"),
            number_in(media_format, "sample_rate"),
            number_in(media_format, "channels"),
        )
        caller, called = (start.get(end) for end in ("from", "to"))
        return Started(
            text_in(start, "call_control_id"),
            stream_id,
            self._codec,
            caller if isinstance(caller, str) else None,
            called if isinstance(called, str) else None,
            texts_in(start, "custom_parameters"),
        )

    def _sound(self, media: dict[str, Any]) -> CarrierEvent | None:
        if self._codec is None:
            raise BadCarrierMessage("media before start")
        if media.get("track", "inbound") != "inbound":  # our own voice
            return None
        return sound_in(media, self._codec)
