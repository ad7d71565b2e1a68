"""A telephone call: the agent's API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Unpack

from duplex_tts.channel.context import Parameters
from duplex_tts.heard import Heard, cut_text
from duplex_tts.session import Session
from duplex_tts.telephony.carrier import StreamStarted
from duplex_tts.telephony.errors import TelephonyError
from duplex_tts.telephony.frame_pacer import PlaybackTrack
from duplex_tts.telephony.media_stream import CallStats, MediaStream
from duplex_tts.text_stream import Text


class Call:
    """An open call, until the caller or the agent hangs up.

    `id`: the carrier's (`CallSid`, `call_control_id`). `carrier`: "twilio" or "telnyx". `caller`,
    `called`: telephone numbers if the carrier sends them (Twilio does not: pass them to the stream
    as parameters). `parameters`: those of the stream.
    """

    def __init__(self, started: StreamStarted, carrier: str, stream: MediaStream) -> None:
        self.id: str = started.call_id
        self.carrier = carrier
        self.caller = started.caller
        self.called = started.called
        self.parameters: Mapping[str, str] = started.parameters
        self.sample_rate_hz = started.codec.sample_rate_hz
        self._codec = started.codec
        self._stream = stream
        self._session: Session | None = None
        self._defaults = Parameters()

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._stream.ended

    @property
    def stats(self) -> CallStats:
        """The counters so far."""
        return self._stream.stats

    def attach(self, session: Session, **parameters: Unpack[Parameters]) -> None:
        """Speak through this session from now on, with these parameters (`voice`, `speed`, ...).

        The call never closes the session. One session may serve several calls.
        """
        self._session, self._defaults = session, parameters

    async def say(
        self,
        text: Text,
        on_heard: Callable[[Heard], None] | None = None,
        **parameters: Unpack[Parameters],
    ) -> Heard:
        """Say a text, or a stream of it as it is written; returns when the caller has heard it, or
        after a `clear`. Concurrent calls play one after the other.

        `on_heard` is called with what was heard so far, as the carrier confirms it: at the first
        frame, every half second and at the end. Cancelling `say` clears the call. Raises
        `CallEnded`, `TelephonyError` without a session, and what `Session.speak` raises: for a
        sentence that cannot be rendered, after the rest was heard.
        """
        if self._session is None:
            raise TelephonyError("no session is attached to this call: call.attach(session)")
        codec = self._stream.codec
        merged: Parameters = {**self._defaults, **parameters}
        merged["format"] = codec.format
        merged["sample_rate"] = codec.sample_rate_hz
        utterance = self._session.speak(text, **merged)

        def measure_heard(track: PlaybackTrack) -> Heard:
            ms, complete = codec.duration_ms(track.heard_bytes), track.ended and not track.cleared
            text = utterance.text
            return Heard(text if complete else cut_text(text, utterance.words, ms), ms, complete)

        def report_heard(track: PlaybackTrack) -> None:
            if on_heard:
                on_heard(measure_heard(track))

        return measure_heard(await self._stream.play(utterance, report_heard))

    def clear(self) -> None:
        """Stop playback now (barge-in): all unheard audio is dropped, here, at the carrier and at
        the server. Every `say` returns.
        """
        self._stream.stop_playback()

    async def audio(self) -> AsyncIterator[bytes]:
        """The caller's audio as it arrives: 16-bit little-endian mono PCM at `sample_rate_hz`, in
        the carrier's frames (20 ms), until the call is over. The latest 30 s are buffered.
        """
        async for data in self._stream.caller_audio:
            yield self._codec.decode(data)

    async def digits(self) -> AsyncIterator[str]:
        """The keys pressed by the caller (0-9, *, #, A-D), until the call is over."""
        async for digit in self._stream.digits:
            yield digit

    async def hangup(self) -> None:
        """End the stream. Twilio then continues with the TwiML after `<Connect>`, or hangs up if
        there is none; Telnyx keeps the call until you hang up with its Call Control API.
        """
        await self._stream.hang_up()
