"""Plays utterances as they arrive, one after the other without a gap.

    async with Player() as player:
        player.play(session.speak("Hello there."))
        player.play(session.speak(tokens_of_an_llm), on_word=show)

The block ends when everything was heard; after an exception it stops at once.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from duplex_tts.playback.device_programs import PROGRAMS, ProgramDevice
from duplex_tts.playback.devices import (
    Device,
    DeviceFailed,
    NullDevice,
    SoundDevice,
    no_sound_message,
)
from duplex_tts.playback.mixer import Mixer, PlaybackStats
from duplex_tts.playback.queued_utterance import OnWord, Playable, QueuedUtterance

SAMPLE_RATE_HZ = 24_000
TICK_S = 0.02  # interval of the playback position updates
REPORT_S = 0.25  # interval of the `played` reports to the server

log = logging.getLogger(__name__)


class Player:
    """A queue of utterances and the device that plays them.

    `device` defaults to the first that works: the sound device, a player program, or a `NullDevice`
    with a warning. It is opened when the block is entered. `sample_rate_hz` must be that of the
    utterances, whose format must be `pcm_s16le` (the server's defaults).
    """

    def __init__(self, device: Device | None = None, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self._given = device
        self._sample_rate_hz = sample_rate_hz
        self._mixer = Mixer(sample_rate_hz)
        self._queue: list[QueuedUtterance] = []  # in playing order
        self._busy = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Open the device. Raises `DeviceFailed` when the given one cannot be opened."""
        self._device = await asyncio.to_thread(self._open_device)
        # Not a TaskGroup: it would wrap the exceptions of the caller's block. Exit awaits it.
        self._watcher = asyncio.create_task(self._advance_queue(), name="duplex-tts-player")
        self._watcher.add_done_callback(self._fail_queue)
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
            tasks = [self._watcher, *(queued.feed_task for queued in self._queue)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._device.close, drain=error is None)

    # --- playing ----------------------------------------------------------------------------------

    def play(self, speech: Playable, on_word: OnWord | None = None) -> QueuedUtterance:
        """Append an utterance to the queue; returns at once.

        `on_word` is called in the event loop when a word begins to be heard. Errors are raised by
        `QueuedUtterance.done`, or, if that is not awaited, by `finish` and at the end of the block.
        Raises `ValueError` for an utterance that this player cannot play.
        """
        self._check_format(speech)
        self._queue = [
            queued for queued in self._queue if not queued.finished or queued.error_unreported
        ]
        queued = QueuedUtterance(speech, self._mixer, self._device, on_word)
        self._queue.append(queued)
        self._busy.set()
        if self._watcher.done():
            self._fail_queue(self._watcher)
        return queued

    def stop(self) -> None:
        """Stop at once and cancel everything not heard yet. `play` may be called again."""
        for queued in reversed(self._queue):  # so that no queued utterance starts in between
            queued.cancel()

    async def finish(self) -> None:
        """Wait until everything was heard. Raises the first error not reported yet."""
        while unfinished := [queued for queued in self._queue if not queued.finished]:
            await unfinished[0].wait_ended()
        for queued in [queued for queued in self._queue if queued.error_unreported]:
            await queued.done()

    # --- state ------------------------------------------------------------------------------------

    @property
    def device(self) -> Device:
        """The device in use."""
        return self._device

    @property
    def account(self) -> PlaybackStats:
        """Statistics of the gaps that were heard and the audio that was dropped."""
        return self._mixer.stats

    @property
    def buffered_ms(self) -> float:
        """Audio received and not heard yet."""
        return sum(queued.buffered_ms for queued in self._queue)

    # --- the watcher task -------------------------------------------------------------------------

    async def _advance_queue(self) -> None:
        loop = asyncio.get_running_loop()
        report_at_s = 0.0
        while True:
            await self._busy.wait()
            if self._device.failure:
                raise self._device.failure
            report_due = loop.time() >= report_at_s
            if report_due:
                report_at_s = loop.time() + REPORT_S
            for queued in self._queue:
                queued.advance(report=report_due)
            if all(queued.finished for queued in self._queue):
                self._busy.clear()
            await asyncio.sleep(TICK_S)

    def _fail_queue(self, watcher: asyncio.Task[None]) -> None:
        """Fail every utterance: without the watcher none would ever finish."""
        if not watcher.cancelled() and (error := watcher.exception()):
            for queued in self._queue:
                queued.fail(error)

    def _check_format(self, speech: Playable) -> None:
        requested = speech.parameters
        for name, expected in (("format", "pcm_s16le"), ("sample_rate", self._sample_rate_hz)):
            if requested.get(name) not in (None, expected):
                raise ValueError(f"the player plays {name} {expected}, not {requested[name]}")

    def _open_device(self) -> Device:
        if self._given is not None:
            self._given.open(self._sample_rate_hz, self._mixer.pull_block)
            return self._given
        for device in (SoundDevice(), *map(ProgramDevice, PROGRAMS), NullDevice()):
            try:
                device.open(self._sample_rate_hz, self._mixer.pull_block)
            except DeviceFailed as failure:
                log.debug("%s", failure)
            else:
                break
        if not device.audible:
            log.warning("playing without sound: %s", no_sound_message())
        return device
