"""HTTP response body of encoded audio only."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from backend.events import Audio, Event, Failed
from backend.protocols.base import Refusal


class AudioBody:
    """Passes the encoded bytes through. See `base.HttpTranslator`."""

    headers: Mapping[str, str] = {"cache-control": "no-store"}
    needs_sound = True

    def __init__(self, media_type: str, refuse: Callable[[Failed], Refusal]) -> None:
        """`refuse`: builds the vendor's error response."""
        self.media_type = media_type
        self.refuse = refuse

    def encode(self, event: Event) -> bytes:
        """The audio bytes; a failure aborts the response."""
        return event.data if isinstance(event, Audio) else b""
