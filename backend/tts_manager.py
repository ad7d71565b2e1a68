"""Facade over one model: voices, engine threads, parameter checks, admission."""

from __future__ import annotations

import asyncio
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
from backend.engines.base import (
    SPEED,
    Device,
    EngineInfo,
    EngineMemory,
    MeasuredModel,
    Model,
    Pcm,
    PhonemicModel,
    Release,
    Utterance,
)
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
from backend.synthesis.health_check import Health, HealthCheck
from backend.synthesis.live_listeners import LiveListener, LiveListeners
from backend.synthesis.scheduler import Limits, Scheduler
from backend.synthesis.utterance_handle import UtteranceHandle
from backend.synthesis.voice_store import AddedVoice, VoiceStore
from backend.text.alphabets import foreign_script
from backend.text.language_choice import prepare_choice
from backend.text.reading.english import ENGLISH
from backend.text.reading.sentence_reader import read_plainly

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
_WARM_UP_TEXT = "Ready to speak."
_LOUDNESS_TEXT = (  # spoken to measure a voice's loudness
    "The library opens at nine and closes at six, but on Saturdays it closes an "
    "hour earlier. Did you put the keys on the kitchen table, next to the big blue bowl?"
)
_LOUDNESS_S = 10.0  # of audio measured


@dataclass(frozen=True, slots=True)
class VoiceParams:
    """Parameters of an utterance, without its text."""

    voice: str
    speed: float
    seed: int
    language: str | None
    parameters: Mapping[str, float] = field(default_factory=dict)


def _primary_subtag(language: str) -> str:
    """The primary subtag of a language tag: `en` of `en-GB`."""
    return language.partition("-")[0].lower()


class TTSManager:
    """Owns the scheduler: `async with` it, from warm-up until all threads have ended.

    `fatal_error`: set once the engine can render nothing more; `on_dead` is then called, once, on
    the event loop.
    """

    def __init__(
        self,
        model: Model,
        settings: EngineSettings,
        metrics: Metrics,
        threads: int,
        limits: Limits | None = None,
    ) -> None:
        self.fatal_error: EngineDead | None = None
        self.on_dead: Callable[[EngineDead], None] = lambda _: None
        self._model = model
        self._settings = settings
        self._scheduler = Scheduler(model, threads, metrics, limits, self._set_fatal_error)
        self._health = HealthCheck(
            self._scheduler, self._open_probe, settings.health_interval, metrics
        )
        self._store = VoiceStore(model)
        self._gains: dict[str, float] = {}  # by loaded voice
        # Downloads run one at a time and block nothing else.
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voice")

    @property
    def info(self) -> EngineInfo:
        """The engine's properties."""
        return self._model.info

    @property
    def default_voice(self) -> str:
        """The voice of a context that names none."""
        return self._settings.voice or self._model.default_voice

    @property
    def waiting_utterances(self) -> int:
        """Utterances waiting for an engine thread."""
        return self._scheduler.waiting_count

    @property
    def threads(self) -> int:
        """Number of engine threads."""
        return self._scheduler.thread_count

    @property
    def has_all_threads(self) -> bool:
        """Whether no engine thread hangs: see `Scheduler.has_all_threads`."""
        return self._scheduler.has_all_threads

    @property
    def is_loaded(self) -> bool:
        """Whether the engine can speak without loading its weights first."""
        return self._scheduler.is_loaded

    async def check_health(self) -> Health:
        """Whether the engine renders; see `HealthCheck.check`."""
        if self.fatal_error is not None:
            return Health(self.fatal_error.message, None)
        return await self._health.check()

    def _open_probe(self) -> UtteranceHandle:
        return self.open_utterance(self.resolve_params(Start(context="health", seed=0)), 0)

    @property
    def rtf(self) -> float:
        """Recent seconds of computing per second of audio; 0 before the first audio."""
        return self._scheduler.rtf

    @property
    def device(self) -> Device | None:
        """The engine's GPU; None on the CPU."""
        return self._model.device

    async def measure_memory(self) -> EngineMemory | None:
        """What the engine's memory is used for; None if it cannot tell."""
        if not isinstance(self._model, MeasuredModel):
            return None
        return await asyncio.to_thread(self._model.measure_memory)

    def is_whole_word(self, word: str) -> bool:
        """See `Model.is_whole_word`."""
        return self._model.is_whole_word(word)

    def read_phonemes(self, release: Release, voice: str) -> dict[int, str] | None:
        """The phonemes of the words of a release, by their offsets; None if the engine has none.
        Blocks (about 0.1 ms a word).
        """
        if not isinstance(self._model, PhonemicModel):
            return None
        return dict(self._model.read_phonemes(release, voice))

    def voices(self) -> tuple[Voice, ...]:
        """All voices. Does not block."""
        return self._store.list_voices()

    def check_readable(self, text: str, language: str | None) -> None:
        """Raises `UnreadableText` if the text has words and none of them can be read in the
        language, by default the engine's first.
        """
        language = language or self.info.languages[0]
        script = foreign_script(text, (language,))
        if script is not None:
            raise UnreadableText(
                f"all of the text is in a script ({script}) that {self.info.name} does not read in "
                f"the language {language}; its languages: {', '.join(self.info.languages)}"
            )

    def find_voice(self, name: str) -> str:
        """Map a vendor's voice name to a voice: see `protocols.voice_names`."""
        return find_voice(name, self.voices(), self.default_voice)

    def hold_voice(self, voice: str) -> AbstractContextManager[None]:
        """Keep the voice usable while the block runs, even if it is removed."""
        return self._store.in_use(voice)

    async def add_voice(self, name: str, recording: Path) -> AddedVoice:
        """Create a voice from a recording: see `VoiceStore.add_voice`."""
        try:
            return await self._store.add_voice(name, recording)
        except EngineDead as error:
            self._set_fatal_error(error)
            raise

    async def remove_voice(self, name: str) -> None:
        """Remove a created voice: see `VoiceStore.remove_voice`."""
        if name == self.default_voice:
            raise Unsupported(f"{name!r} is the default voice (engine.voice); choose another first")
        await self._store.remove_voice(name)
        self._gains.pop(name, None)

    async def __aenter__(self) -> Self:
        """Load the default voice and render one sentence, so that the first listener does not wait
        for one-time initialisation. Raises `DuplexError`.
        """
        self._scheduler.start_threads()
        await asyncio.to_thread(read_plainly, "$5", ENGLISH)  # loads the names of currencies
        languages = [(voice.language, *voice.other_languages) for voice in self.voices()]
        await asyncio.to_thread(prepare_choice, languages)
        try:
            await self.load_voice(self.default_voice)
            await self._render(self.default_voice, _WARM_UP_TEXT, chunk_characters=0)
        except BaseException:
            self._scheduler.stop_threads()
            raise
        self._scheduler.watch_threads()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._health.stop()
        self._loader.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._scheduler.stop_threads)
        await asyncio.to_thread(self._store.shut_down)

    def _set_fatal_error(self, error: EngineDead) -> None:
        if self.fatal_error is None:
            log.critical("engine.dead", engine=self.info.name, why=error.message)
            self.fatal_error = error
            self.on_dead(error)

    def resolve_params(self, start: Start) -> VoiceParams:
        """Check the client's parameters and fill in the defaults.

        Raises `UnknownVoice`, `Unsupported` (a language or parameter that the engine lacks),
        `BadMessage` (a parameter or the seed out of range).
        """
        voice = start.voice or self.default_voice
        names = [known.name for known in self.voices()]
        if voice not in names:
            raise UnknownVoice(
                f"no voice {voice[:40]!r}; voices: {', '.join(names)}", start.context
            )
        languages = {_primary_subtag(language) for language in self.info.languages}
        if start.language and _primary_subtag(start.language) not in languages:
            known = ", ".join(self.info.languages)
            raise Unsupported(
                f"language {start.language[:40]!r}; languages: {known}", start.context
            )
        code = _primary_subtag(start.language or self.info.languages[0])
        if code in self.info.missing_languages:
            raise Unsupported(self.info.missing_languages[code], start.context)
        parameters = self._chosen_parameters(start)
        speed = parameters.pop("speed", self._settings.speed)
        seed = random.randrange(_SEED_LIMIT) if start.seed is None else start.seed
        if not 0 <= seed < _SEED_LIMIT:
            raise BadMessage(f"seed: expected 0 to {_SEED_LIMIT - 1}, got {seed}", start.context)
        return VoiceParams(voice, speed, seed, start.language, parameters)

    def _chosen_parameters(self, start: Start) -> dict[str, float]:
        """The parameters that the client set, checked."""
        chosen: dict[str, float] = {}
        for name in _PARAMETERS:
            value = getattr(start, name)
            if value is None:
                continue
            known = self.info.parameters.get(name)
            if known is None and (name, value) == ("speed", 1.0):
                continue  # many clients always send it; every engine complies
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

    async def load_voice(self, voice: str) -> float:
        """Load a voice, downloading it if needed. Returns the gain that brings it to the common
        loudness. Raises `VoiceUnavailable`, and what the engine raises.
        """
        self._scheduler.announce_utterance()
        if voice not in self._gains:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._loader, self._model.load_voice, voice)
            lufs = self.info.lufs
            if lufs is None:
                passage = await self._render(voice, _LOUDNESS_TEXT, chunk_characters=60)
                lufs = await asyncio.to_thread(measure_lufs, passage, self.info.sample_rate_hz)
                log.info("voice.measured", voice=voice, lufs=lufs)
            self._gains[voice] = gain_to_target(lufs)
        return self._gains[voice]

    async def _render(self, voice: str, text: str, chunk_characters: int) -> Pcm:
        """Render at most the first `_LOUDNESS_S` of `text`, with a fixed seed."""
        params = self.resolve_params(Start(context="render", voice=voice, seed=0))
        rendered: list[Pcm] = []
        async with self.open_utterance(params, chunk_characters) as handle:
            now_s = asyncio.get_running_loop().time()  # a listener is waiting
            handle.extend(Release(text, len(text), final=True), deadline_s=now_s)
            caught_up = False
            while (
                not caught_up and sum(map(len, rendered)) < _LOUDNESS_S * self.info.sample_rate_hz
            ):
                chunk = await handle.next_chunk()
                rendered.append(chunk.pcm)
                caught_up = chunk.caught_up
        return np.concatenate(rendered)

    def check_capacity(self) -> None:
        """Raises `Overloaded` if another listener would cause gaps for others; `EngineDead`."""
        if self.fatal_error is not None:
            raise self.fatal_error
        self.listeners.check_capacity(asyncio.get_running_loop().time())

    @property
    def listeners(self) -> LiveListeners:
        """The live contexts that the engine threads serve."""
        return self._scheduler.listeners

    def open_utterance(
        self, params: VoiceParams, chunk_characters: int, listener: LiveListener | None = None
    ) -> UtteranceHandle:
        """Open an utterance; `async with` the result. `listener`: of its live context."""
        return self._scheduler.open_utterance(
            Utterance(
                self._scheduler.next_id(),
                params.voice,
                speed=params.speed,
                seed=params.seed,
                language=params.language,
                chunk_characters=chunk_characters,
                parameters=params.parameters,
            ),
            listener,
        )
