"""One call's media stream: what the caller hears and when, and what he says.

The player task is the only one that sends; the reader is the only one that receives. Everything
else only changes what they find.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from duplex_tts.telephony.carrier import (
    Carrier,
    CarrierEvent,
    Complaint,
    Digit,
    Marked,
    Sound,
    Stopped,
)
from duplex_tts.telephony.codecs import FRAME_MS
from duplex_tts.telephony.errors import CallEnded, TelephonyError
from duplex_tts.telephony.inbox import Inbox, Reorder
from duplex_tts.telephony.pacing import Frame, FramePacer, Track
from duplex_tts.utterance import Utterance

log = logging.getLogger("duplex_tts.telephony")

SEND_TIMEOUT_S = 5.0
KEPT_SOUND_S = 30.0
KEPT_DIGITS = 100
NORMAL = 1000


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
    """What was counted in a call.

    `gaps`: the caller heard silence in mid-utterance. `unanswered_marks`: the clock was believed
    instead. `dropped_sounds`: 20 ms frames of the caller that nobody took in time. `bad_messages`:
    what the carrier sent and nobody could read.
    """

    frames: int = 0
    gaps: int = 0
    unanswered_marks: int = 0
    dropped_sounds: int = 0
    bad_messages: int = 0


@dataclass(eq=False, slots=True)
class _Speech:
    """An utterance and its way to the ear."""

    utterance: Utterance
    track: Track
    on_heard: Callable[[Track], None]
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Line:
    """A call that has started. `codec`: what the carrier takes from us."""

    def __init__(self, socket: CarrierSocket, carrier: Carrier, pacer: FramePacer) -> None:
        self.codec = pacer.codec
        self.sounds: Inbox[bytes] = Inbox(int(KEPT_SOUND_S * 1000 / FRAME_MS))
        self.digits: Inbox[str] = Inbox(KEPT_DIGITS)
        self.ended = False
        self._socket = socket
        self._carrier = carrier
        self._pacer = pacer
        self._speeches: list[_Speech] = []
        self._reorder = Reorder()
        self._wake = asyncio.Event()
        self._clearing = False
        self._frames = 0
        self._bad_messages = 0
        self._now_s: Callable[[], float] = asyncio.get_running_loop().time

    @property
    def stats(self) -> CallStats:
        """Counted so far."""
        return CallStats(
            frames=self._frames,
            gaps=self._pacer.gaps,
            unanswered_marks=self._pacer.unanswered,
            dropped_sounds=self.sounds.dropped,
            bad_messages=self._bad_messages,
        )

    async def run(self) -> None:
        """Play and read until the call is over. Cancel-safe: then it is over, too."""
        try:
            async with asyncio.TaskGroup() as tasks:
                player = tasks.create_task(self._play(), name="duplex-tts-player")
                await self._read()
                player.cancel()
        except* CallEnded as ended:
            log.debug("the call is over: %s", ended.exceptions[0])
        finally:
            self._end()

    async def speak(self, utterance: Utterance, on_heard: Callable[[Track], None]) -> Track:
        """Play an utterance after those before it; returns when it was heard, or cleared.

        `on_heard` is called when the carrier has confirmed more of it. Raises `CallEnded`, and what
        receiving the utterance raises, after what came was heard. Cancelled, it clears the line.
        """
        if self.ended:
            utterance.cancel()
            raise CallEnded("the call is over")
        speech = _Speech(utterance, self._pacer.open(), on_heard)
        self._speeches.append(speech)
        failure: Exception | None = None
        try:
            try:
                async for audio in utterance:
                    self._pacer.push(speech.track, audio.data)
                    self._wake.set()
            except Exception as error:  # noqa: BLE001 - raised below, when what came was heard
                failure = error
            self._pacer.finish(speech.track)
            self._wake.set()
            await speech.over.wait()
        except BaseException:
            self.clear()
            raise
        finally:
            self._speeches.remove(speech)
        if self.ended and speech.track.cleared:
            raise CallEnded("the caller left while something was said")
        if failure is not None:
            raise failure
        return speech.track

    def clear(self) -> None:
        """Silence: whatever is not heard yet never will be. The carrier is told at once."""
        self._pacer.clear(self._now_s())
        self._clearing = True
        for speech in self._speeches:
            speech.utterance.cancel()
        self._settle()
        self._wake.set()

    async def hang_up(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the connection; the call is over. Safe when it is."""
        await self._socket.close(code, reason)

    def _end(self) -> None:
        self.ended = True
        self.sounds.close()
        self.digits.close()
        self.clear()

    # --- to the carrier ---------------------------------------------------------------------------

    async def _play(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._pacer.next_s()):
                    await self._wake.wait()
            self._wake.clear()
            if self._clearing:
                self._clearing = False
                await self._send(self._carrier.clear())
            for item in self._pacer.due(self._now_s()):
                if isinstance(item, Frame):
                    self._frames += 1
                    await self._send(self._carrier.media(item.payload))
                else:
                    await self._send(self._carrier.mark(item.name))
                if self._clearing:  # meanwhile; what is left of these was dropped, too
                    break
            self._settle()

    async def _send(self, message: str) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send(message)
        except TimeoutError:
            raise CallEnded(f"the carrier has read nothing for {SEND_TIMEOUT_S:g} s") from None

    def _settle(self) -> None:
        for speech in self._speeches:
            if speech.track.over:
                speech.over.set()

    # --- from the carrier -------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            try:
                event = self._carrier.decode(message)
            except TelephonyError as error:
                self._bad_messages += 1
                log.debug("%s: %s", self._carrier.name, error)
            else:
                if isinstance(event, Stopped):
                    return
                self._take(event)

    def _take(self, event: CarrierEvent | None) -> None:
        match event:
            case Sound():
                for sound in self._reorder.push(event):
                    self.sounds.put(sound.payload)
            case Digit(digit):
                self.digits.put(digit)
            case Marked(name):
                self._marked(name)
            case Complaint(message):
                log.warning("%s complains: %s", self._carrier.name, message)

    def _marked(self, name: str) -> None:
        track = self._pacer.marked(name)
        if track is None:
            return
        for speech in self._speeches:
            if speech.track is track:
                speech.on_heard(track)
            # The server paces itself by what is heard: it should know of those who wait, too.
            if speech.track.pushed_bytes and not speech.track.over:
                speech.utterance.played(self.codec.duration_ms(speech.track.heard_bytes))
        self._settle()
