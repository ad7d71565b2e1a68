"""The voices of a model: lists them, tracks their use, and learns new ones from recordings.

In a cluster with a shared store, voices that other servers learn or remove come and go here, too.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import soundfile
import structlog

from backend.audio.reference import prepare_reference
from backend.cluster.shared_entries import SharedEntries
from backend.engines.base import CloningModel, Model, SharingModel
from backend.errors import (
    BadMessage,
    Overloaded,
    StoreUnavailable,
    UnknownVoice,
    Unsupported,
    VoiceExists,
)
from backend.events import Voice
from backend.synthesis.recording_decoder import decode_recording
from backend.synthesis.shared_voices import SharedVoices, VoiceChange

log = structlog.get_logger(__name__)

T = TypeVar("T")

MOST_VOICES = 1000
_MOST_WAITING = 4  # recordings: they are learned one by one
_CLOSE_S = 1.0  # for work in progress to end
_LOOK_S = 1.0  # between looks at the shared store
_LONGEST_LOOK_S = 2.0  # that a request for an unknown voice waits for one
_LONGEST_START_S = 30.0  # that the start waits for the voices in the store
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class AddedVoice:
    """A new voice, and what its recording lacks: sentences for the user."""

    voice: Voice
    warnings: tuple[str, ...] = ()


class VoiceStore:
    """Lives on one event loop; blocking work runs on a thread of its own."""

    def __init__(self, model: Model) -> None:
        self.on_removed: Callable[[str], None] = lambda _: None
        """Called on the event loop when a voice is gone."""
        self._model = model
        self._users: Counter[str] = Counter()
        self._removed: set[str] = set()  # removed while in use: deleted after the last use
        self._learning: set[str] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voices")
        self._shared: SharedVoices | None = None
        self._looking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shared voices")
        self._look: asyncio.Task[None] | None = None  # in progress
        self._watch: asyncio.Task[None] | None = None

    @property
    def can_share(self) -> bool:
        """Whether the engine's learned voices can be given to other servers."""
        return self._model.info.clones and isinstance(self._model, SharingModel)

    async def share(self, entries: SharedEntries) -> None:
        """Share the learned voices with all servers that use these entries, until `shut_down`; with
        an engine that cannot, do nothing. Reads what is there, if it can be read now.
        """
        if not (self._model.info.clones and isinstance(self._model, SharingModel)):
            return
        self._shared = SharedVoices(entries, self._model)
        await asyncio.wait([self._begin_look()], timeout=_LONGEST_START_S)
        self._watch = asyncio.create_task(self._watch_store(), name="shared voices")

    async def look_for(self, name: str) -> None:
        """Before a voice counts as unknown: look whether another server has learned it meanwhile.
        Returns at once if it is known, else within `_LONGEST_LOOK_S`.
        """
        if self._shared is None or name in {voice.name for voice in self.list_voices()}:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_LOOK_S):
                if self._look is not None:  # it may have begun before the voice was there
                    await asyncio.wait([self._look])
                await asyncio.wait([self._begin_look()])

    async def stop_sharing(self) -> None:
        """End the watch of the shared store."""
        tasks = [task for task in (self._watch, self._look) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def shut_down(self) -> None:
        """Finish the work in progress. Blocks for at most `_CLOSE_S`: learning that takes longer
        ends with the process.
        """
        self._looking.shutdown(wait=False, cancel_futures=True)
        last = self._thread.submit(_do_nothing)
        self._thread.shutdown(wait=False)
        if wait([last], _CLOSE_S).not_done:
            log.warning("voices.unfinished")

    def list_voices(self) -> tuple[Voice, ...]:
        """The voices that clients may request. Does not block."""
        hidden = self._removed | self._learning
        return tuple(voice for voice in self._model.voices() if voice.name not in hidden)

    def is_used(self, name: str) -> bool:
        """Whether someone uses the voice."""
        return name in self._users

    @contextmanager
    def in_use(self, name: str) -> Iterator[None]:
        """Keep the voice, even if it is removed, until the block ends."""
        self._users[name] += 1
        try:
            yield
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]
                if name in self._removed:
                    self._forget_voice(name).add_done_callback(_log_failure)

    async def add_voice(self, name: str, recording: Path) -> AddedVoice:
        """Learn a voice from a recording and keep it. Takes seconds.

        Raises `Unsupported` (this engine clones no voices), `VoiceExists`, `Overloaded`,
        `StoreUnavailable`, and `BadMessage` (the name, the recording).
        """
        model = self._require_cloning()
        if not _NAME.fullmatch(name):
            raise BadMessage(
                "name: expected 1 to 64 letters (a to z), digits, - and _, "
                f"a letter or digit first; got {name[:80]!r}"
            )
        await self.look_for(name)
        if name in {voice.name for voice in self._model.voices()} | self._learning:
            note = ", removed but still in use" * (name in self._removed)
            raise VoiceExists(f"there is a voice {name!r}{note}; remove it or take another name")
        if len(self._model.voices()) >= MOST_VOICES:
            raise Overloaded(f"there are {MOST_VOICES} voices; remove unused ones")
        if len(self._learning) >= _MOST_WAITING:
            raise Overloaded("other voices are being learned; try again in some seconds")
        self._learning.add(name)
        future = self._thread.submit(_learn_voice, model, name, recording, self._shared)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._learning.discard, name))
        return await asyncio.wrap_future(future)

    async def remove_voice(self, name: str) -> None:
        """Remove a learned voice: from the list at once, from the disk after its last use. Raises
        `UnknownVoice`, `StoreUnavailable`, `Unsupported` if it came with the engine.
        """
        await self.look_for(name)
        known = {voice.name: voice for voice in self.list_voices()}
        if name not in known:
            raise UnknownVoice(f"no voice {name[:80]!r}; GET /v1/voices lists the voices")
        if not known[name].learned:
            raise Unsupported(f"voice {name!r} came with the engine and cannot be removed")
        if self._shared is not None:
            await self._in_looking_thread(self._shared.remove, name)
        if (forgetting := self._drop_voice(name)) is not None:
            await asyncio.shield(asyncio.wrap_future(forgetting))

    def _drop_voice(self, name: str) -> Future[None] | None:
        """Hide a voice and have it deleted. None: that comes after its last use."""
        already = name in self._removed
        self._removed.add(name)
        self.on_removed(name)
        return None if already or self._users[name] else self._forget_voice(name)

    def _forget_voice(self, name: str) -> Future[None]:
        loop = asyncio.get_running_loop()
        future = self._thread.submit(self._require_cloning().forget, name)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._removed.discard, name))
        return future

    # --- the shared store -------------------------------------------------------------------------

    async def _watch_store(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await asyncio.wait([self._begin_look()])

    def _begin_look(self) -> asyncio.Task[None]:
        """The look in progress, or a new one."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_once(), name="look at shared voices")
        return self._look

    async def _look_once(self) -> None:
        """Follow what other servers have changed. A voice that is in use is replaced or removed
        after its last use: a later look sees to it.
        """
        assert self._shared is not None
        with suppress(StoreUnavailable):  # it has been logged
            for change in await self._in_looking_thread(self._shared.read_changes):
                await self._apply(change, self._shared)

    async def _apply(self, change: VoiceChange, shared: SharedVoices) -> None:
        name = change.name
        if name in self._learning or not shared.is_news(change):
            return
        known = {voice.name: voice.learned for voice in self._model.voices()}
        if not (known.get(name, True) and _NAME.fullmatch(name)):  # one of the engine's, or none
            await self._in_looking_thread(shared.accept, VoiceChange(name, change.version, None))
            return
        if name in known:
            forgetting = self._drop_voice(name)
            if forgetting is not None:
                await asyncio.gather(asyncio.wrap_future(forgetting), return_exceptions=True)
            if name in self._removed or name in {voice.name for voice in self._model.voices()}:
                return  # in use
        await self._in_looking_thread(shared.accept, change)

    async def _in_looking_thread(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._looking, work, *arguments)

    def _require_cloning(self) -> CloningModel:
        if not (self._model.info.clones and isinstance(self._model, CloningModel)):
            raise Unsupported(
                f"the engine {self._model.info.name} learns no voices from recordings; "
                "those of Chatterbox do, such as chatterbox-turbo (docs/chatterbox.md)"
            )
        return self._model


def _do_nothing() -> None:
    """Ends after all work submitted before it."""


def _learn_voice(
    model: CloningModel, name: str, recording: Path, shared: SharedVoices | None
) -> AddedVoice:
    reference = prepare_reference(*decode_recording(recording))
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "recording.wav"
        soundfile.write(wav, reference.pcm, reference.rate_hz, subtype="FLOAT", format="WAV")
        voice = model.learn(name, wav)
    if shared is not None:
        shared.add(name)
    return AddedVoice(voice, reference.warnings)


def _log_failure(forgetting: Future[None]) -> None:
    if not forgetting.cancelled() and (error := forgetting.exception()) is not None:
        log.error("voice.not_forgotten", exc_info=error)
