"""The texts that are spoken one after the other while the agent goes on working."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from duplex_tts.channel.context import Parameters
from duplex_tts.cli.mcp.speech_server import SpeechServer
from duplex_tts.errors import ClientError, NothingToSpeak
from duplex_tts.options import Options
from duplex_tts.playback.devices import Device, DeviceFailed, no_sound_message
from duplex_tts.playback.queued_utterance import OnWord, QueuedUtterance
from duplex_tts.player import Player
from duplex_tts.session import Session

QUEUE_LIMIT = 20
KEPT_FAILURES = 5
IDLE_S = 30.0  # then the sound device and the connection are closed
GIVE_UP_S = 10.0  # a local server is back by then, or never


class QueueFull(ClientError):
    """Too many texts wait to be spoken."""

    code = "queue_full"

    def __init__(self) -> None:
        super().__init__(
            f"{QUEUE_LIMIT} texts wait to be spoken; call `stop`, or `say` with `wait`, first"
        )


@dataclass(slots=True, eq=False)
class SpokenText:
    """A text in the queue.

    `begun`: its first sound has arrived, or none will. `over`: nothing more of it will be heard.
    `error`: why it was not spoken to its end.
    """

    text: str
    parameters: Parameters
    on_word: OnWord | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    playing: QueuedUtterance | None = None
    error: Exception | None = None
    stopped: bool = False

    @property
    def heard(self) -> str:
        """The text up to the last word that was heard, or is being heard."""
        return self.playing.heard_text if self.playing else ""

    @property
    def heard_s(self) -> float:
        """Seconds of it that were heard."""
        return self.playing.heard_ms / 1000 if self.playing else 0.0

    def stop(self) -> None:
        """Silence it at once; what was not heard is dropped. No effect when it is over."""
        if self.over.is_set():
            return
        self.stopped = True
        if self.playing is not None:
            self.playing.cancel()
        self.finish()

    def finish(self) -> None:
        """Note that nothing more of it will be heard."""
        self.begun.set()
        self.over.set()


class SpeechQueue:
    """Speaks texts in the order of `say`. Use it from one event loop.

    The connection and the device are opened for the first text, and closed `IDLE_S` after the last.
    `find_device` returns the device for each opening, None for the best one.
    """

    def __init__(
        self, server: SpeechServer, key: str | None, find_device: Callable[[], Device | None]
    ) -> None:
        self._server = server
        self._key = key
        self._find_device = find_device
        self._texts: dict[SpokenText, asyncio.Task[None]] = {}  # in order
        self._failed: deque[SpokenText] = deque(maxlen=KEPT_FAILURES)
        self._turn = asyncio.Lock()  # its waiters are served in the order of `say`
        self._stack = AsyncExitStack()
        self._playback: tuple[Session, Player] | None = None
        self._closing: asyncio.TimerHandle | asyncio.Task[None] | None = None

    @property
    def texts(self) -> list[SpokenText]:
        """The texts that are spoken or wait, in order."""
        return [spoken for spoken in self._texts if not spoken.over.is_set()]

    def say(self, text: str, parameters: Parameters, on_word: OnWord | None = None) -> SpokenText:
        """Queue a text; returns at once. `on_word` is called when a word begins to be heard.

        Raises `QueueFull`.
        """
        if len(self._texts) >= QUEUE_LIMIT:
            raise QueueFull
        if isinstance(self._closing, asyncio.TimerHandle):
            self._closing.cancel()
        spoken = SpokenText(text, parameters, on_word)
        self._texts[spoken] = asyncio.create_task(self._speak(spoken), name="duplex-tts-say")
        return spoken

    def stop(self) -> list[SpokenText]:
        """Silence all texts at once; returns those that were not over."""
        stopped = self.texts
        for spoken in reversed(stopped):  # so that no queued text starts in between
            spoken.stop()
        return stopped

    def take_failures(self) -> list[SpokenText]:
        """Return the latest texts that failed since the last call."""
        failed = list(self._failed)
        self._failed.clear()
        return failed

    async def close(self) -> None:
        """Stop, and close the connection and the device."""
        self.stop()
        tasks = list(self._texts.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(self._closing, asyncio.Task):
            await self._closing
        elif self._closing is not None:
            self._closing.cancel()
        await self._close_playback()

    async def _speak(self, spoken: SpokenText) -> None:
        try:
            async with self._turn:
                session, player = await self._open_playback()
            if spoken.stopped:
                return
            utterance = session.speak(spoken.text, **spoken.parameters)
            spoken.playing = player.play(utterance, spoken.on_word)
            await utterance.wait_begun()
            if utterance.audio_ms:
                spoken.begun.set()
            await spoken.playing.done()
            if not (spoken.stopped or utterance.audio_ms):
                raise NothingToSpeak
        except Exception as error:  # noqa: BLE001 - raised by the call, or told by the next
            spoken.error = error
            self._failed.append(spoken)
        finally:
            spoken.finish()
            del self._texts[spoken]
            if not self._texts:
                self._close_later()

    # --- connection and device --------------------------------------------------------------------

    async def _open_playback(self) -> tuple[Session, Player]:
        """Open what is not open, or is broken. Raises `ClientError`."""
        if self._playback is None or _is_broken(*self._playback):
            await self._close_playback()
            try:
                self._playback = await self._enter_playback()
            except BaseException:
                await self._close_playback()
                raise
        return self._playback

    async def _enter_playback(self) -> tuple[Session, Player]:
        address, device = await self._server.find_address(), self._find_device()
        connecting = Session.connect(address, self._key, Options(give_up_s=GIVE_UP_S))
        session = await self._stack.enter_async_context(connecting)
        player = await self._stack.enter_async_context(Player(device, session.ready.sample_rate))
        if device is None and not player.device.audible:
            raise DeviceFailed(no_sound_message())
        return session, player

    async def _close_playback(self) -> None:
        self._playback = None
        await self._stack.aclose()

    def _close_later(self) -> None:
        """Close when nothing is said for `IDLE_S`."""

        async def close_idle() -> None:
            async with self._turn:
                if not self._texts:
                    await self._close_playback()

        def begin() -> None:
            self._closing = loop.create_task(close_idle(), name="duplex-tts-idle")

        loop = asyncio.get_running_loop()
        self._closing = loop.call_later(IDLE_S, begin)


def _is_broken(session: Session, player: Player) -> bool:
    return session.stats().transport == "down" or player.device.failure is not None
