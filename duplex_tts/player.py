"""Plays utterances as they arrive: one after the other without a gap, silent as soon as told.

    async with Player() as player:
        player.play(session.speak("Hello there."))
        player.play(session.speak(tokens_of_an_llm), on_word=show)

The block ends when all of it has been heard; at once, in silence, when it is left by an error.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from duplex_tts.playback.device_programs import PROGRAMS, ProgramDevice
from duplex_tts.playback.devices import Device, DeviceFailed, NullDevice, SoundDevice, no_sound
from duplex_tts.playback.mixer import Mixer, PlaybackStats
from duplex_tts.playback.queued_utterance import OnWord, Playable, QueuedUtterance

SAMPLE_RATE_HZ = 24_000
TICK_S = 0.02  # between two looks at what is heard
REPORT_S = 0.25  # between two reports of it to the server

log = logging.getLogger(__name__)


class Player:
    """A queue of utterances and the device they are heard on.

    `device`: the best there is when none is given: the sound device, a player program, or else a
    `NullDevice` with a warning. Opened with the block, ahead of need. `sample_rate_hz` has to be
    that of the utterances, whose format has to be `pcm_s16le` (the server's defaults).
    """

    def __init__(self, device: Device | None = None, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self._given = device
        self._sample_rate_hz = sample_rate_hz
        self._mixer = Mixer(sample_rate_hz)
        self._playbacks: list[QueuedUtterance] = []  # in the order of their turns
        self._busy = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Open the device. Raises `DeviceFailed` when the given one cannot be."""
        self._device = await asyncio.to_thread(self._open)
        # Not a TaskGroup: it would wrap what the caller's block raises. Leaving awaits all tasks.
        self._watcher = asyncio.create_task(self._watch(), name="duplex-tts-player")
        self._watcher.add_done_callback(self._give_up)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await self.finish()
        except BaseException as interrupted:
            error = interrupted
            raise
        finally:
            self.stop()
            tasks = [self._watcher, *(playback.feeding for playback in self._playbacks)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._device.close, drain=error is None)

    # --- playing ----------------------------------------------------------------------------------

    def play(self, speech: Playable, on_word: OnWord | None = None) -> QueuedUtterance:
        """Play it after everything that is in the queue; returns at once.

        `on_word` is called when a word begins to be heard, in the event loop. What goes wrong is
        raised by `QueuedUtterance.done`; if nobody awaits that, by `finish` and at the end of the
        block.
        Raises `ValueError` for an utterance that this player cannot play.
        """
        self._check(speech)
        self._playbacks = [
            each for each in self._playbacks if not each.finished or each.error_unreported
        ]
        playback = QueuedUtterance(speech, self._mixer, self._device, on_word)
        self._playbacks.append(playback)
        self._busy.set()
        if self._watcher.done():
            self._give_up(self._watcher)
        return playback

    def stop(self) -> None:
        """Be silent at once, and cancel whatever has not been heard. More may be played then."""
        for playback in reversed(self._playbacks):  # the next one does not get a turn in between
            playback.cancel()

    async def finish(self) -> None:
        """Wait until everything was heard. Raises what nobody was told yet."""
        while waiting := [each for each in self._playbacks if not each.finished]:
            await waiting[0].ended()
        for playback in [each for each in self._playbacks if each.error_unreported]:
            await playback.done()

    # --- what can be known ------------------------------------------------------------------------

    @property
    def device(self) -> Device:
        """What it plays on."""
        return self._device

    @property
    def account(self) -> PlaybackStats:
        """The gaps that were heard, and what was dropped."""
        return self._mixer.account

    @property
    def buffered_ms(self) -> float:
        """Playable that is here and not heard yet."""
        return sum(playback.buffered_ms for playback in self._playbacks)

    # --- the watcher ------------------------------------------------------------------------------

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        report_at_s = 0.0
        while True:
            await self._busy.wait()
            if self._device.failure:
                raise self._device.failure
            reports = loop.time() >= report_at_s
            if reports:
                report_at_s = loop.time() + REPORT_S
            for playback in self._playbacks:
                playback.advance(reports=reports)
            if all(playback.finished for playback in self._playbacks):
                self._busy.clear()
            await asyncio.sleep(TICK_S)

    def _give_up(self, watcher: asyncio.Task[None]) -> None:
        """Without the watcher nothing is ever heard to its end: say so to all who wait."""
        if not watcher.cancelled() and (error := watcher.exception()):
            for playback in self._playbacks:
                playback.fail(error)

    def _check(self, speech: Playable) -> None:
        asked = speech.parameters
        for name, plays in (("format", "pcm_s16le"), ("sample_rate", self._sample_rate_hz)):
            if asked.get(name) not in (None, plays):
                raise ValueError(f"the player plays {name} {plays}, not {asked[name]}")

    def _open(self) -> Device:
        if self._given is not None:
            self._given.open(self._sample_rate_hz, self._mixer.pull)
            return self._given
        for device in (SoundDevice(), *map(ProgramDevice, PROGRAMS), NullDevice()):
            try:
                device.open(self._sample_rate_hz, self._mixer.pull)
            except DeviceFailed as failure:
                log.debug("%s", failure)
            else:
                break
        if not device.audible:
            log.warning("It plays in silence, nobody hears it: %s", no_sound())
        return device
