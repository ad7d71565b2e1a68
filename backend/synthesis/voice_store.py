"""The voices of a model: who may be asked for, who is in use, and new ones of recordings."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import structlog

from backend.audio.recordings import as_mono_wav
from backend.engines.base import CloningModel, Model
from backend.errors import BadMessage, Overloaded, UnknownVoice, Unsupported, VoiceExists
from backend.events import Voice

log = structlog.get_logger(__name__)

MOST_VOICES = 1000
_MOST_WAITING = 4  # recordings: they are learned one after the other
_CLOSE_S = 1.0  # that work under way gets to end
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class VoiceStore:
    """Lives on one event loop; what blocks is done on a thread of its own."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._users: Counter[str] = Counter()
        self._leaving: set[str] = set()  # removed while in use: gone when the last user is
        self._coming: set[str] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voices")

    def close(self) -> None:
        """Finish what was begun. Blocks, for `_CLOSE_S` at most: a voice that is being learned then
        ends with the process.
        """
        last = self._thread.submit(_nothing)
        self._thread.shutdown(wait=False)
        if wait([last], _CLOSE_S).not_done:
            log.warning("voices.unfinished")

    def listed(self) -> tuple[Voice, ...]:
        """Those that may be asked for. Does not block."""
        return tuple(voice for voice in self._model.voices() if voice.name not in self._leaving)

    @contextmanager
    def in_use(self, name: str) -> Iterator[None]:
        """While the block runs the voice stays, also if it is removed."""
        self._users[name] += 1
        try:
            yield
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]
                if name in self._leaving:
                    self._forget(name).add_done_callback(_complain)

    async def add(self, name: str, recording: Path) -> Voice:
        """Make a voice of a recording. Seconds; afterwards it is there for good.

        Raises `Unsupported` (this engine makes no voices), `VoiceExists`, `Overloaded`, and
        `BadMessage` (the name, the recording).
        """
        model = self._cloning()
        if not _NAME.fullmatch(name):
            raise BadMessage(
                "name: expected 1 to 64 letters (a to z), digits, - and _, "
                f"a letter or digit first; got {name[:80]!r}"
            )
        if name in {voice.name for voice in self._model.voices()} | self._coming:
            leaving = " and is in use to the end of what is being said" * (name in self._leaving)
            raise VoiceExists(f"there is a voice {name!r}{leaving}; remove it or take another name")
        if len(self._model.voices()) >= MOST_VOICES:
            raise Overloaded(f"there are {MOST_VOICES} voices; remove some that nobody uses")
        if len(self._coming) >= _MOST_WAITING:
            raise Overloaded("other voices are being made; try again in some seconds")
        self._coming.add(name)
        future = self._thread.submit(_learn, model, name, recording)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._coming.discard, name))
        return await asyncio.wrap_future(future)

    async def remove(self, name: str) -> None:
        """Remove a voice that was made here: at once from the list, and for good when nobody speaks
        with it any more. Raises `UnknownVoice`, `Unsupported` where it came with the engine.
        """
        known = {voice.name: voice for voice in self.listed()}
        if name not in known:
            raise UnknownVoice(f"no voice {name[:80]!r}; GET /v1/voices lists those there are")
        if not known[name].learned:
            raise Unsupported(f"voice {name!r} came with the engine and stays")
        self._leaving.add(name)
        if not self._users[name]:
            await asyncio.shield(asyncio.wrap_future(self._forget(name)))

    def _forget(self, name: str) -> Future[None]:
        loop = asyncio.get_running_loop()
        future = self._thread.submit(self._cloning().forget, name)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leaving.discard, name))
        return future

    def _cloning(self) -> CloningModel:
        if not (self._model.info.clones and isinstance(self._model, CloningModel)):
            raise Unsupported(
                f"the engine {self._model.info.name} makes no voices of recordings; "
                "chatterbox-turbo and chatterbox do (docs/chatterbox.md)"
            )
        return self._model


def _nothing() -> None:
    """Comes behind all that was begun."""


def _learn(model: CloningModel, name: str, recording: Path) -> Voice:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "recording.wav"
        as_mono_wav(recording, wav)
        return model.learn(name, wav)


def _complain(forgetting: Future[None]) -> None:
    if not forgetting.cancelled() and (error := forgetting.exception()) is not None:
        log.error("voice.not_forgotten", exc_info=error)
