"""The speech facade: one model, its voices, its threads; what may be spoken with it."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import structlog

from backend.audio.loudness import gain_to_target, measure_lufs
from backend.config import EngineSettings
from backend.engines.base import SPEED, Device, EngineInfo, Model, Pcm, Release, Utterance
from backend.errors import (
    BadMessage,
    EngineDead,
    UnknownVoice,
    UnreadableText,
    Unsupported,
)
from backend.events import Start, Voice
from backend.monitoring.metrics import Metrics
from backend.protocols.voice_names import find_voice
from backend.synthesis.live_listeners import LiveListener, LiveListeners
from backend.synthesis.scheduler import Scheduler
from backend.synthesis.utterance_handle import UtteranceHandle
from backend.synthesis.voice_store import VoiceStore
from backend.text.alphabets import foreign_script

log = structlog.get_logger(__name__)

_PARAMETERS = (
    "speed",
    "exaggeration",
    "cfg_weight",
    "temperature",
    "top_p",
    "min_p",
    "repetition_penalty",
)
SPEED_RANGE = (SPEED.low, SPEED.high)
_SEED_LIMIT = 2**31
_WARM_UP = "Ready to speak."
_PASSAGE = (  # by which the loudness of a voice is measured
    "The library opens at nine and closes at six, but on Saturdays it closes an "
    "hour earlier. Did you put the keys on the kitchen table, next to the big blue bowl?"
)
_LISTEN_S = 10.0  # of it are enough


@dataclass(frozen=True, slots=True)
class VoiceParams:
    """How a context is spoken: everything of an utterance but its text."""

    voice: str
    speed: float
    seed: int
    language: str | None
    parameters: Mapping[str, float] = field(default_factory=dict)


def _primary(language: str) -> str:
    """The first subtag of a language tag: `en` of `en-GB`."""
    return language.partition("-")[0].lower()


class TTSManager:
    """Owns the scheduler: `async with` it, from warm-up to the last thread's end.

    `dead`: why its engine will render nothing more, once that is so; then `on_dead` is called,
    once, on the event loop.
    """

    def __init__(
        self,
        model: Model,
        settings: EngineSettings,
        metrics: Metrics,
        threads: int,
        patience_s: float = math.inf,
    ) -> None:
        """`patience_s`: see `Scheduler`."""
        self.dead: EngineDead | None = None
        self.on_dead: Callable[[EngineDead], None] = lambda _: None
        self._model = model
        self._settings = settings
        self._scheduler = Scheduler(model, threads, metrics, patience_s, self._die)
        self._store = VoiceStore(model)
        self._gains: dict[str, float] = {}  # by voice, of those that are loaded
        # Downloads wait for each other, and nothing else waits for them.
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voice")

    @property
    def info(self) -> EngineInfo:
        """What the engine is."""
        return self._model.info

    @property
    def default_voice(self) -> str:
        """The voice of a context that names none."""
        return self._settings.voice or self._model.default_voice

    @property
    def waiting(self) -> int:
        """Utterances that wait for an engine thread."""
        return self._scheduler.waiting

    @property
    def threads(self) -> int:
        """Engine threads there are."""
        return self._scheduler.threads

    @property
    def complete(self) -> bool:
        """Whether all engine threads work: see `Scheduler.complete`."""
        return self._scheduler.complete

    @property
    def rtf(self) -> float:
        """Seconds of computing for a second of audio, lately; 0 before the first audio."""
        return self._scheduler.rtf

    @property
    def device(self) -> Device | None:
        """The card that the engine is on; None where it runs on the CPU."""
        return self._model.device

    def is_whole_word(self, word: str) -> bool:
        """See `Model.is_whole_word`."""
        return self._model.is_whole_word(word)

    def voices(self) -> tuple[Voice, ...]:
        """The voices there are. Does not block."""
        return self._store.listed()

    def check_readable(self, text: str) -> None:
        """Raises `UnreadableText` where the engine cannot read a word of a text that has some."""
        script = foreign_script(text, self.info.languages)
        if script is not None:
            raise UnreadableText(
                f"all of the text is in a script ({script}) that {self.info.name} does not read; "
                f"its languages: {', '.join(self.info.languages)}"
            )

    def find_voice(self, name: str) -> str:
        """The voice that a vendor's name means: see `protocols.voice_names`."""
        return find_voice(name, self.voices(), self.default_voice)

    def in_use(self, voice: str) -> AbstractContextManager[None]:
        """While the block runs the voice stays, also if it is removed."""
        return self._store.in_use(voice)

    async def add_voice(self, name: str, recording: Path) -> Voice:
        """Make a voice of a recording: see `VoiceStore.add`."""
        try:
            return await self._store.add(name, recording)
        except EngineDead as error:
            self._die(error)
            raise

    async def remove_voice(self, name: str) -> None:
        """Remove a voice that was made here: see `VoiceStore.remove`."""
        if name == self.default_voice:
            raise Unsupported(f"{name!r} is the default voice (engine.voice); choose another first")
        await self._store.remove(name)
        self._gains.pop(name, None)

    async def __aenter__(self) -> Self:
        """Load the default voice and speak one sentence to nobody, so that the first listener does
        not pay for what the libraries do at their first call. Raises `DuplexError`.
        """
        self._scheduler.start()
        try:
            await self.load(self.default_voice)
            await self._render(self.default_voice, _WARM_UP, chunk_characters=0)
        except BaseException:
            self._scheduler.stop()
            raise
        self._scheduler.watch()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._loader.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._scheduler.stop)
        await asyncio.to_thread(self._store.close)

    def _die(self, error: EngineDead) -> None:
        if self.dead is None:
            log.critical("engine.dead", engine=self.info.name, why=error.message)
            self.dead = error
            self.on_dead(error)

    def manner(self, start: Start) -> VoiceParams:
        """Check what a client asks for and fill in the defaults.

        Raises `UnknownVoice`, `Unsupported` (a language or parameter that the engine does not
        have), `BadMessage` (a parameter or the seed out of its range).
        """
        voice = start.voice or self.default_voice
        names = [each.name for each in self.voices()]
        if voice not in names:
            raise UnknownVoice(
                f"no voice {voice[:40]!r}; voices: {', '.join(names)}", start.context
            )
        languages = {_primary(language) for language in self.info.languages}
        if start.language and _primary(start.language) not in languages:
            known = ", ".join(self.info.languages)
            raise Unsupported(
                f"language {start.language[:40]!r}; languages: {known}", start.context
            )
        parameters = self._parameters(start)
        speed = parameters.pop("speed", self._settings.speed)
        seed = random.randrange(_SEED_LIMIT) if start.seed is None else start.seed
        if not 0 <= seed < _SEED_LIMIT:
            raise BadMessage(f"seed: expected 0 to {_SEED_LIMIT - 1}, got {seed}", start.context)
        return VoiceParams(voice, speed, seed, start.language, parameters)

    def _parameters(self, start: Start) -> dict[str, float]:
        """Those that the client chose."""
        chosen: dict[str, float] = {}
        for name in _PARAMETERS:
            value = getattr(start, name)
            if value is None:
                continue
            known = self.info.parameters.get(name)
            if known is None and (name, value) == ("speed", 1.0):
                continue  # many clients always say so, and it is what every engine does
            if known is None:
                has = ", ".join(self.info.parameters) or "none"
                raise Unsupported(
                    f"{name}: {self.info.name} does not have it; it has: {has}", start.context
                )
            if not known.low <= value <= known.high:
                raise BadMessage(
                    f"{name}: expected {known.low} to {known.high}, got {value:g}",
                    start.context,
                )
            chosen[name] = value
        return chosen

    async def load(self, voice: str) -> float:
        """Make a voice ready; a download where it must be. Returns the factor that brings it to the
        common loudness. Raises `VoiceUnavailable`, and what the engine fails with.
        """
        if voice not in self._gains:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._loader, self._model.load_voice, voice)
            lufs = self.info.lufs
            if lufs is None:
                passage = await self._render(voice, _PASSAGE, chunk_characters=60)
                lufs = await asyncio.to_thread(measure_lufs, passage, self.info.sample_rate_hz)
                log.info("voice.measured", voice=voice, lufs=lufs)
            self._gains[voice] = gain_to_target(lufs)
        return self._gains[voice]

    async def _render(self, voice: str, text: str, chunk_characters: int) -> Pcm:
        """`text` as the voice speaks it, always the same; the first seconds are enough."""
        manner = self.manner(Start(context="render", voice=voice, seed=0))
        heard: list[Pcm] = []
        async with self.speak(manner, chunk_characters) as speech:
            now_s = asyncio.get_running_loop().time()  # a listener waits for it
            speech.extend(Release(text, len(text), final=True), deadline_s=now_s)
            caught_up = False
            while not caught_up and sum(map(len, heard)) < _LISTEN_S * self.info.sample_rate_hz:
                chunk = await speech.next_chunk()
                heard.append(chunk.pcm)
                caught_up = chunk.caught_up
        return np.concatenate(heard)

    def admit(self) -> None:
        """Raises `Overloaded` when one listener more would break those there are, `EngineDead`."""
        if self.dead is not None:
            raise self.dead
        self.listeners.admit(asyncio.get_running_loop().time())

    @property
    def listeners(self) -> LiveListeners:
        """The live contexts that the engine threads serve."""
        return self._scheduler.listeners

    @property
    def backlog_s(self) -> float:
        """Until the engine threads have rendered what waits now."""
        return self._scheduler.backlog_s

    def speak(
        self, manner: VoiceParams, chunk_characters: int, listener: LiveListener | None = None
    ) -> UtteranceHandle:
        """Open one utterance; `async with` the result. `listener`: of its live context."""
        return self._scheduler.open(
            Utterance(
                self._scheduler.next_id(),
                manner.voice,
                speed=manner.speed,
                seed=manner.seed,
                language=manner.language,
                chunk_characters=chunk_characters,
                parameters=manner.parameters,
            ),
            listener,
        )
