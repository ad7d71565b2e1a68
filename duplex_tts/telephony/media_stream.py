"""One call's media stream: plays utterances to the caller and receives the caller's audio.

Only the sender task sends and only the receiver task receives. All other code changes the state
that they read. Interruptions are in `barge_in`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from duplex_tts.telephony.barge_in import BargeIn
from duplex_tts.telephony.carrier import (
    CallerAudio,
    Carrier,
    CarrierEvent,
    DigitPressed,
    ErrorReported,
    MarkReached,
    StreamStopped,
)
from duplex_tts.telephony.codecs import FRAME_MS
from duplex_tts.telephony.errors import CallEnded, TelephonyError
from duplex_tts.telephony.frame_pacer import AudioFrame, FramePacer, PlaybackTrack
from duplex_tts.telephony.inbox import Inbox, ReorderBuffer
from duplex_tts.utterance import Utterance

log = logging.getLogger("duplex_tts.telephony")

SEND_TIMEOUT_S = 5.0
KEPT_AUDIO_S = 30.0
KEPT_DIGITS = 100
NORMAL_CLOSURE = 1000


class CarrierSocket(Protocol):
    """The carrier's connection."""

    async def receive(self) -> str | bytes:
        """The next message. Raises `CallEnded` when none follows."""

    async def send(self, message: str) -> None:
        """Send; may wait for a slow reader. Raises `CallEnded`."""

    async def close(self, code: int, reason: str) -> None:
        """Close it; safe when it is closed."""


@dataclass(slots=True)
class CallStats:
    """Counters of a call.

    `gaps`: silences that the caller heard within an utterance. `unanswered_marks`: timed out, the
    clock was used instead. `dropped_sounds`: 20 ms frames of the caller that were not read in time.
    `bad_messages`: unreadable messages from the carrier.
    """

    frames: int = 0
    gaps: int = 0
    unanswered_marks: int = 0
    dropped_sounds: int = 0
    bad_messages: int = 0


@dataclass(eq=False, slots=True)
class _PlayingUtterance:
    """An utterance and its playback."""

    utterance: Utterance
    track: PlaybackTrack
    on_heard: Callable[[PlaybackTrack], None]
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class MediaStream:
    """The stream of a call that has started. `codec`: what the carrier accepts."""

    def __init__(self, socket: CarrierSocket, carrier: Carrier, pacer: FramePacer) -> None:
        self.codec = pacer.codec
        self.caller_audio: Inbox[bytes] = Inbox(int(KEPT_AUDIO_S * 1000 / FRAME_MS))
        self.digits: Inbox[str] = Inbox(KEPT_DIGITS)
        self.ended = False
        self._socket = socket
        self._carrier = carrier
        self._pacer = pacer
        self._barge_in = BargeIn(pacer)
        self._playing: list[_PlayingUtterance] = []
        self._reorder_buffer = ReorderBuffer()
        self._wake = asyncio.Event()
        self._sent_frames = 0
        self._bad_messages = 0
        self._now_s: Callable[[], float] = asyncio.get_running_loop().time

    @property
    def stats(self) -> CallStats:
        """The counters so far."""
        return CallStats(
            frames=self._sent_frames,
            gaps=self._pacer.gaps,
            unanswered_marks=self._pacer.unanswered_marks,
            dropped_sounds=self.caller_audio.dropped,
            bad_messages=self._bad_messages,
        )

    async def run(self) -> None:
        """Send and receive until the call is over. Cancel-safe: cancelling ends the call."""
        try:
            async with asyncio.TaskGroup() as tasks:
                sender = tasks.create_task(self._send_when_due(), name="duplex-tts-call-sender")
                await self._receive_messages()
                sender.cancel()
        except* CallEnded as ended:
            log.debug("the call is over: %s", ended.exceptions[0])
        finally:
            self._end()

    async def play(
        self, utterance: Utterance, on_heard: Callable[[PlaybackTrack], None]
    ) -> PlaybackTrack:
        """Play an utterance after earlier ones; returns when it was heard, or dropped.

        `on_heard` is called when the carrier has confirmed more of it. Raises `CallEnded`, and what
        receiving the utterance raises, after the received audio was heard. Cancelling stops
        playback.
        """
        if self.ended:
            utterance.cancel()
            raise CallEnded("the call is over")
        playing = _PlayingUtterance(utterance, self._pacer.open_track(), on_heard)
        self._playing.append(playing)
        failure: Exception | None = None
        try:
            try:
                async for audio in utterance:
                    self._pacer.push_audio(playing.track, audio.data)
                    self._wake.set()
            except Exception as error:  # noqa: BLE001 - raised below, once earlier audio was heard
                failure = error
            self._pacer.finish_track(playing.track)
            self._wake.set()
            await playing.ended.wait()
        except BaseException:
            self.stop_playback()
            raise
        finally:
            self._playing.remove(playing)
        if self.ended and playing.track.cleared:
            raise CallEnded("the call ended during the utterance")
        if failure is not None:
            raise failure
        return playing.track

    def stop_playback(self) -> None:
        """Drop all unheard audio; every `play` returns. Never blocks."""
        self._barge_in.stop_playback([item.utterance for item in self._playing], self._now_s())
        self._wake_ended()
        self._wake.set()

    async def hang_up(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the connection and end the call. Safe when it is over."""
        await self._socket.close(code, reason)

    def _end(self) -> None:
        self.ended = True
        self.caller_audio.close()
        self.digits.close()
        self.stop_playback()

    # --- to the carrier ---------------------------------------------------------------------------

    async def _send_when_due(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._pacer.next_due_s()):
                    await self._wake.wait()
            self._wake.clear()
            if self._barge_in.take_clear():
                await self._send_message(self._carrier.encode_clear())
            for item in self._pacer.take_due(self._now_s()):
                if isinstance(item, AudioFrame):
                    self._sent_frames += 1
                    await self._send_message(self._carrier.encode_media(item.payload))
                else:
                    await self._send_message(self._carrier.encode_mark(item.name))
                if self._barge_in.is_clear_due:  # drops the remaining items, too
                    break
            self._wake_ended()

    async def _send_message(self, message: str) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send(message)
        except TimeoutError:
            raise CallEnded(f"the carrier has read nothing for {SEND_TIMEOUT_S:g} s") from None

    def _wake_ended(self) -> None:
        for playing in self._playing:
            if playing.track.ended:
                playing.ended.set()

    # --- from the carrier -------------------------------------------------------------------------

    async def _receive_messages(self) -> None:
        while True:
            message = await self._socket.receive()
            try:
                event = self._carrier.decode(message)
            except TelephonyError as error:
                self._bad_messages += 1
                log.debug("%s: %s", self._carrier.name, error)
            else:
                if isinstance(event, StreamStopped):
                    return
                self._handle_event(event)

    def _handle_event(self, event: CarrierEvent | None) -> None:
        match event:
            case CallerAudio():
                for audio in self._reorder_buffer.push_audio(event):
                    self.caller_audio.put(audio.payload)
            case DigitPressed(digit):
                self.digits.put(digit)
            case MarkReached(name):
                self._handle_mark(name)
            case ErrorReported(message):
                log.warning("%s reports an error: %s", self._carrier.name, message)

    def _handle_mark(self, name: str) -> None:
        track = self._pacer.confirm_mark(name)
        if track is None:
            return
        for playing in self._playing:
            if playing.track is track:
                playing.on_heard(track)
            # The server paces by what is heard: report waiting utterances, too.
            if playing.track.pushed_bytes and not playing.track.ended:
                playing.utterance.played(self.codec.duration_ms(playing.track.heard_bytes))
        self._wake_ended()
