"""A telephone call, as the agent's code sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Unpack

from duplex_tts.channel.context import Parameters
from duplex_tts.session import Session
from duplex_tts.telephony.carrier import Started
from duplex_tts.telephony.errors import TelephonyError
from duplex_tts.telephony.line import CallStats, Line
from duplex_tts.telephony.pacing import Track
from duplex_tts.text_stream import Text
from duplex_tts.utterance import Utterance


@dataclass(frozen=True, slots=True)
class Heard:
    """What the caller heard of something that was said.

    `text`: up to the last word that was heard at least half; all of it when `complete`.
    `ms`: of its audio. Confirmed by the carrier's marks; after a `clear` good to some 100 ms.
    """

    text: str
    ms: float
    complete: bool


class Call:
    """A call on the line, until the caller or the agent hangs up.

    `id`: the carrier's (`CallSid`, `call_control_id`). `carrier`: "twilio" or "telnyx". `caller`,
    `called`: telephone numbers where the carrier says them (Twilio does not: give them to the
    stream as parameters). `parameters`: what was given to the stream.
    """

    def __init__(self, started: Started, carrier: str, line: Line) -> None:
        self.id: str = started.call_id
        self.carrier = carrier
        self.caller = started.caller
        self.called = started.called
        self.parameters: Mapping[str, str] = started.parameters
        self.sample_rate_hz = started.codec.sample_rate_hz
        self._codec = started.codec
        self._line = line
        self._session: Session | None = None
        self._speaking = Parameters()

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._line.ended

    @property
    def stats(self) -> CallStats:
        """What was counted so far."""
        return self._line.stats

    def attach(self, session: Session, **speaking: Unpack[Parameters]) -> None:
        """Speak through this session from now on, with these parameters (`voice`, `speed`, ...).

        The session stays the caller's: close it yourself. One session may serve several calls.
        """
        self._session, self._speaking = session, speaking

    async def say(
        self,
        text: Text,
        on_heard: Callable[[Heard], None] | None = None,
        **speaking: Unpack[Parameters],
    ) -> Heard:
        """Say a text, or a stream of it as it is written; returns when the caller has heard it, or
        when `clear` has cut it off. What is said meanwhile comes after it.

        `on_heard` is called with what was heard so far: at the first frame, every half second and
        at the end, when the carrier confirms it. Cancelled, `say` clears the line. Raises
        `CallEnded`, `TelephonyError` without a session, and what `Session.speak` raises: for a
        sentence that cannot be rendered, after the rest was heard.
        """
        if self._session is None:
            raise TelephonyError("no session is attached to this call: call.attach(session)")
        codec = self._line.codec
        parameters: Parameters = {**self._speaking, **speaking}
        parameters["format"] = codec.format
        parameters["sample_rate"] = codec.sample_rate_hz
        utterance = self._session.speak(text, **parameters)

        def heard(track: Track) -> Heard:
            ms, complete = codec.duration_ms(track.heard_bytes), track.over and not track.cleared
            return Heard(utterance.text if complete else _heard_text(utterance, ms), ms, complete)

        track = await self._line.speak(utterance, lambda track: on_heard and on_heard(heard(track)))
        return heard(track)

    def clear(self) -> None:
        """Be silent now (barge-in): all that was said and not heard is dropped, here, at the
        carrier and at the server. Every `say` returns.
        """
        self._line.clear()

    async def audio(self) -> AsyncIterator[bytes]:
        """What the caller says, as it comes: 16-bit little-endian mono PCM at `sample_rate_hz`, in
        the carrier's frames (20 ms), until the call is over. The latest 30 s are kept for you.
        """
        async for sound in self._line.sounds:
            yield self._codec.decode(sound)

    async def digits(self) -> AsyncIterator[str]:
        """The keys that the caller presses (0-9, *, #, A-D), until the call is over."""
        async for digit in self._line.digits:
            yield digit

    async def hangup(self) -> None:
        """End the stream. What follows is the carrier's: Twilio goes on with the TwiML after
        `<Connect>`, and hangs up where there is none; Telnyx keeps the call until you hang up with
        its Call Control API.
        """
        await self._line.hang_up()


def _heard_text(utterance: Utterance, ms: float) -> str:
    ends = [word.end for word in utterance.words if (word.start_ms + word.end_ms) / 2 <= ms]
    return utterance.text[: ends[-1]] if ends else ""
