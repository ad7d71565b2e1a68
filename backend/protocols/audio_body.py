"""An HTTP answer that is nothing but the audio."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from backend.events import Audio, Event, Failed
from backend.protocols.base import Refusal


class AudioBody:
    """The encoded bytes as they come. See `base.HttpTranslator`."""

    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = True

    def __init__(self, media_type: str, refuse: Callable[[Failed], Refusal]) -> None:
        """`refuse`: the vendor's form of an error."""
        self.media_type = media_type
        self.refuse = refuse

    def encode(self, event: Event) -> bytes:
        """The bytes of audio; a failure breaks the answer off."""
        return event.data if isinstance(event, Audio) else b""
