"""The voices of a model: lists them, tracks their use, and learns new ones from recordings."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import soundfile
import structlog

from backend.audio.reference import prepare_reference
from backend.engines.base import CloningModel, Model
from backend.errors import BadMessage, Overloaded, UnknownVoice, Unsupported, VoiceExists
from backend.events import Voice
from backend.synthesis.recording_decoder import decode_recording

log = structlog.get_logger(__name__)

MOST_VOICES = 1000
_MOST_WAITING = 4  # recordings: they are learned one by one
_CLOSE_S = 1.0  # for work in progress to end
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class AddedVoice:
    """A new voice, and what its recording lacks: sentences for the user."""

    voice: Voice
    warnings: tuple[str, ...] = ()


class VoiceStore:
    """Lives on one event loop; blocking work runs on a thread of its own."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._users: Counter[str] = Counter()
        self._removed: set[str] = set()  # removed while in use: deleted after the last use
        self._learning: set[str] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voices")

    def shut_down(self) -> None:
        """Finish the work in progress. Blocks for at most `_CLOSE_S`: learning that takes longer
        ends with the process.
        """
        last = self._thread.submit(_do_nothing)
        self._thread.shutdown(wait=False)
        if wait([last], _CLOSE_S).not_done:
            log.warning("voices.unfinished")

    def list_voices(self) -> tuple[Voice, ...]:
        """The voices that clients may request. Does not block."""
        return tuple(voice for voice in self._model.voices() if voice.name not in self._removed)

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

        Raises `Unsupported` (this engine clones no voices), `VoiceExists`, `Overloaded`, and
        `BadMessage` (the name, the recording).
        """
        model = self._require_cloning()
        if not _NAME.fullmatch(name):
            raise BadMessage(
                "name: expected 1 to 64 letters (a to z), digits, - and _, "
                f"a letter or digit first; got {name[:80]!r}"
            )
        if name in {voice.name for voice in self._model.voices()} | self._learning:
            note = ", removed but still in use" * (name in self._removed)
            raise VoiceExists(f"there is a voice {name!r}{note}; remove it or take another name")
        if len(self._model.voices()) >= MOST_VOICES:
            raise Overloaded(f"there are {MOST_VOICES} voices; remove unused ones")
        if len(self._learning) >= _MOST_WAITING:
            raise Overloaded("other voices are being learned; try again in some seconds")
        self._learning.add(name)
        future = self._thread.submit(_learn_voice, model, name, recording)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._learning.discard, name))
        return await asyncio.wrap_future(future)

    async def remove_voice(self, name: str) -> None:
        """Remove a learned voice: from the list at once, from the disk after its last use. Raises
        `UnknownVoice`, `Unsupported` if it came with the engine.
        """
        known = {voice.name: voice for voice in self.list_voices()}
        if name not in known:
            raise UnknownVoice(f"no voice {name[:80]!r}; GET /v1/voices lists the voices")
        if not known[name].learned:
            raise Unsupported(f"voice {name!r} came with the engine and cannot be removed")
        self._removed.add(name)
        if not self._users[name]:
            await asyncio.shield(asyncio.wrap_future(self._forget_voice(name)))

    def _forget_voice(self, name: str) -> Future[None]:
        loop = asyncio.get_running_loop()
        future = self._thread.submit(self._require_cloning().forget, name)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._removed.discard, name))
        return future

    def _require_cloning(self) -> CloningModel:
        if not (self._model.info.clones and isinstance(self._model, CloningModel)):
            raise Unsupported(
                f"the engine {self._model.info.name} learns no voices from recordings; "
                "those of Chatterbox do, such as chatterbox-turbo (docs/chatterbox.md)"
            )
        return self._model


def _do_nothing() -> None:
    """Ends after all work submitted before it."""


def _learn_voice(model: CloningModel, name: str, recording: Path) -> AddedVoice:
    reference = prepare_reference(*decode_recording(recording))
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "recording.wav"
        soundfile.write(wav, reference.pcm, reference.rate_hz, subtype="FLOAT", format="WAV")
        voice = model.learn(name, wav)
    return AddedVoice(voice, reference.warnings)


def _log_failure(forgetting: Future[None]) -> None:
    if not forgetting.cancelled() and (error := forgetting.exception()) is not None:
        log.error("voice.not_forgotten", exc_info=error)
