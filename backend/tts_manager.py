"""Facade over the engines: voices, engine threads, parameter checks, admission."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import structlog

from backend.audio.loudness import gain_to_target, measure_lufs
from backend.cluster.shared_entries import SharedEntries
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
    EngineDead,
    Overloaded,
    UnknownVoice,
    UnreadableText,
    Unsupported,
    VoiceExists,
)
from backend.events import Start, Voice
from backend.monitoring.metrics import Metrics
from backend.protocols.voice_names import find_voice, is_preset
from backend.synthesis.health_check import Health
from backend.synthesis.live_listeners import LiveListener, LiveListeners
from backend.synthesis.scheduler import Limits, Scheduler
from backend.synthesis.served_engine import ServedEngine
from backend.synthesis.utterance_handle import UtteranceHandle
from backend.synthesis.voice_list import (
    ListedVoice,
    choose_for_language,
    find_listed,
    list_voices,
    split_name,
)
from backend.synthesis.voice_params import VoiceParams as VoiceParams
from backend.synthesis.voice_params import check_language, check_params, is_auto, without_auto
from backend.synthesis.voice_store import AddedVoice
from backend.text.alphabets import foreign_script
from backend.text.language_choice import prepare_choice
from backend.text.reading.english import ENGLISH
from backend.text.reading.sentence_reader import read_plainly

log = structlog.get_logger(__name__)

SPEED_RANGE = (SPEED.low, SPEED.high)
_WARM_UP_TEXT = "Ready to speak."
_LOUDNESS_TEXT = (  # spoken to measure a voice's loudness
    "The library opens at nine and closes at six, but on Saturdays it closes an "
    "hour earlier. Did you put the keys on the kitchen table, next to the big blue bowl?"
)
_LOUDNESS_S = 10.0  # of audio measured
_NAMED_VOICES = 12  # of an error; the rest are counted


class TTSManager:
    """Owns the engines: `async with` it, from warm-up until all threads have ended.

    `engines`: the first is the main one, whose default voice a context has that names none.
    `fatal_error`: set once no engine can render any more; `on_dead` is then called, once, on the
    event loop. While others can, a dead engine only refuses the contexts of its own voices.
    """

    def __init__(
        self,
        model: Model,
        settings: EngineSettings,
        metrics: Metrics,
        threads: int,
        limits: Limits | None = None,
    ) -> None:
        """`model`: of the main engine. `threads`: shared by the engines that do not batch; one that
        does has a thread of its own.
        """
        self.fatal_error: EngineDead | None = None
        self.on_dead: Callable[[EngineDead], None] = lambda _: None
        self.engines: list[ServedEngine] = []
        self._settings = settings
        self._metrics = metrics
        self._threads = threads
        self._limits = limits
        self._schedulers: list[Scheduler] = []
        self._listed: dict[str, ListedVoice] = {}  # those in use, by name
        self._shared: dict[str, SharedEntries] = {}  # their voices, by engine
        self.add_engine(model)

    def add_engine(self, model: Model) -> None:
        """Offer the voices of another engine, too; before the block begins. It costs nothing until
        one of them is used.
        """
        scheduler = self._find_scheduler(model)
        interval_s = self._settings.health_interval
        engine = ServedEngine(model, scheduler, self._open_probe, interval_s, self._metrics)
        engine.store.on_removed = partial(self._on_removed, engine)
        self.engines.append(engine)
        if len(self._schedulers) > 1:
            for each in self._schedulers:
                each.listeners.outside_load = partial(self._outside_load, each)

    def _find_scheduler(self, model: Model) -> Scheduler:
        """The shared one, or a new one for an engine that batches."""
        batched = model.info.max_batch > 1
        shared = None if batched else next((s for s in self._schedulers if not s.batched), None)
        if shared is not None:
            shared.add_model(model)
            return shared
        threads = 1 if batched else self._threads
        scheduler = self._create_scheduler(
            model, threads, self._metrics, self._limits, self._set_fatal_error
        )
        self._schedulers.append(scheduler)
        return scheduler

    def _create_scheduler(
        self,
        model: Model,
        threads: int,
        metrics: Metrics,
        limits: Limits | None,
        on_dead: Callable[[Model, EngineDead], None],
    ) -> Scheduler:
        """A simulated machine makes others."""
        return Scheduler(model, threads, metrics, limits, on_dead)

    def _outside_load(self, scheduler: Scheduler, now_s: float) -> float:
        """How many of a scheduler's threads the other schedulers keep busy, on the same cores. An
        engine on a GPU takes one core and needs hardly more; a batch on the CPU takes all.
        """
        if scheduler.uses_device:
            return 0.0
        used = sum(
            each.listeners.busy_share(now_s) * self._count_cores(each)
            for each in self._schedulers
            if each is not scheduler
        )
        return used / self._threads if scheduler.batched else used

    def _count_cores(self, scheduler: Scheduler) -> int:
        return 1 if scheduler.uses_device else self._threads

    # --- the engines ------------------------------------------------------------------------------

    @property
    def main(self) -> ServedEngine:
        """The main engine."""
        return self.engines[0]

    @property
    def info(self) -> EngineInfo:
        """The main engine's properties."""
        return self.main.info

    @property
    def languages(self) -> tuple[str, ...]:
        """Those of all engines, the main one's first."""
        return tuple(dict.fromkeys(each for one in self.engines for each in one.info.languages))

    @property
    def clones(self) -> bool:
        """Whether one of the engines learns voices from recordings."""
        return any(engine.info.clones for engine in self.engines)

    @property
    def waiting_utterances(self) -> int:
        """Utterances waiting for an engine thread."""
        return sum(scheduler.waiting_count for scheduler in self._schedulers)

    @property
    def threads(self) -> int:
        """Number of threads that serve the main engine."""
        return self.main.scheduler.thread_count

    @property
    def has_all_threads(self) -> bool:
        """Whether no thread of the main engine hangs: see `Scheduler.has_all_threads`."""
        return self.main.scheduler.has_all_threads

    @property
    def is_loaded(self) -> bool:
        """Whether the main engine can speak without loading its weights first."""
        return self.main.is_loaded

    async def check_health(self) -> Health:
        """Whether the main engine renders; see `HealthCheck.check`."""
        return await self.main.check_health()

    def _open_probe(self, engine: ServedEngine) -> UtteranceHandle:
        voice = self.default_voice
        if self.engine_of(voice) is not engine:
            voice = _full_name(engine)
        params = self.resolve_params(Start(context="health", voice=voice, seed=0))
        return self.open_utterance(params, 0)

    @property
    def rtf(self) -> float:
        """The main engine's recent seconds of computing per second of audio; 0 before the first."""
        return self.main.costs.rtf

    @property
    def device(self) -> Device | None:
        """The main engine's GPU; None on the CPU."""
        return self.main.model.device

    async def measure_memory(self, engine: ServedEngine) -> EngineMemory | None:
        """What an engine's memory is used for; None if it cannot tell."""
        if not isinstance(engine.model, MeasuredModel):
            return None
        return await asyncio.to_thread(engine.model.measure_memory)

    def read_phonemes(self, release: Release, voice: str) -> dict[int, str] | None:
        """The phonemes of the words of a release, by their offsets; None if the engine has none.
        Blocks (about 0.1 ms a word).
        """
        listed = self.listed_voice(voice)
        model = listed.engine.model
        if not isinstance(model, PhonemicModel):
            return None
        return dict(model.read_phonemes(release, listed.name))

    # --- voices -----------------------------------------------------------------------------------

    @property
    def default_voice(self) -> str:
        """The voice of a context that names neither voice nor language."""
        return self._settings.voice or self.main.model.default_voice

    def voices(self) -> tuple[Voice, ...]:
        """All voices, those of the main engine first. Does not block."""
        return tuple(each.voice for each in list_voices(self.engines))

    def choose_voice(self, start: Start) -> ListedVoice:
        """The voice of a context: the one that it names; else the default voice if it speaks the
        language asked for; else another that does (`voice_list.choose_for_language`).

        Raises `UnknownVoice`, `Unsupported` (a language that the voice does not speak).
        """
        start = without_auto(start)
        listed = list(list_voices(self.engines))
        name = start.voice or self.default_voice
        found = find_listed(name, listed)
        if found is None:
            raise UnknownVoice(f"no voice {name[:40]!r}; {_name_voices(listed)}", start.context)
        if start.language and not start.voice and not found.speaks(start.language):
            found = choose_for_language(start.language, listed) or found
        check_language(start, found, listed)
        self._listed[found.voice.name] = found
        return found

    def engine_of(self, voice: str) -> ServedEngine:
        """The engine of a listed voice."""
        return self.listed_voice(voice).engine

    def listed_voice(self, name: str) -> ListedVoice:
        """The voice of this name. One that was removed is taken to be the main engine's."""
        if (known := self._listed.get(name)) is not None:
            return known
        found = find_listed(name, list(list_voices(self.engines)))
        if found is None:
            return ListedVoice(Voice(name, self.info.languages[0], "", True), self.main, name)
        self._listed[name] = found
        return found

    def check_readable(self, text: str, start: Start) -> None:
        """Raises `UnreadableText` if the text has words and none of them can be read in the
        context's language, by default its voice's; with `auto` in none of its voice's.
        """
        voice = self.choose_voice(start)
        own = start.language or voice.languages[0]
        languages = voice.languages if is_auto(start) else (own,)
        script = foreign_script(text, languages)
        if script is not None:
            raise UnreadableText(
                f"all of the text is in a script ({script}) that {voice.engine.info.name} does not "
                f"read in the language {own}; its languages: {', '.join(voice.languages)}"
            )

    def find_voice(self, name: str) -> str:
        """Map a vendor's voice name to a voice: see `protocols.voice_names`."""
        return find_voice(name, self.voices(), self.default_voice)

    def hold_voice(self, voice: str) -> AbstractContextManager[None]:
        """Keep the voice usable while the block runs, even if it is removed."""
        listed = self.listed_voice(voice)
        return listed.engine.store.in_use(listed.name)

    async def add_voice(self, name: str, recording: Path) -> AddedVoice:
        """Create a voice from a recording: see `VoiceStore.add_voice`. The first engine that learns
        voices has it. Raises `VoiceExists` if any engine has one of this name.
        """
        engine = next((each for each in self.engines if each.info.clones), self.main)
        others = [each.voice for each in list_voices(self.engines) if each.engine is not engine]
        if name in {voice.name for voice in others}:
            raise VoiceExists(f"there is a voice {name!r}; take another name")
        try:
            return await engine.store.add_voice(name, recording)
        except EngineDead as error:
            self._set_fatal_error(engine.model, error)
            raise

    async def remove_voice(self, name: str) -> None:
        """Remove a created voice: see `VoiceStore.remove_voice`."""
        await self.look_for_voice(name)
        listed = find_listed(name, list(list_voices(self.engines))) or self.listed_voice(name)
        if listed == self.listed_voice(self.default_voice):
            raise Unsupported(f"{name!r} is the default voice (engine.voice); choose another first")
        await listed.engine.store.remove_voice(listed.name)

    def share_voices(self, store: str) -> None:
        """Share the learned voices of the engines added so far in a store (`cluster.store`), from
        the start on; those of engines that cannot stay here. Raises `ConfigError`.
        """
        self._shared = {
            engine.info.name: SharedEntries(store, f"voices-{engine.info.name}")
            for engine in self.engines
            if engine.store.can_share
        }

    async def look_for_voice(self, name: str | None) -> None:
        """Before a voice counts as unknown: see `VoiceStore.look_for`. `name`: as the client named
        it, before `find_voice`.
        """
        if not self._shared or name is None or is_preset(name):
            return
        if find_listed(name, list(list_voices(self.engines))) is not None:
            return
        engine_name, own = split_name(name)
        asked = (each for each in self.engines if engine_name in (None, each.info.name))
        await asyncio.gather(*(engine.store.look_for(own) for engine in asked))

    def _on_removed(self, engine: ServedEngine, voice: str) -> None:
        """Forget what is known of a voice of an engine: its name may be another's from now on."""
        engine.gains.pop(voice, None)
        if not engine.store.is_used(voice):
            listed = self._listed.items()
            self._listed = {
                name: each for name, each in listed if (each.engine, each.name) != (engine, voice)
            }

    # --- lifecycle --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Load the default voice and render one sentence, so that the first listener does not wait
        for one-time initialisation. Raises `DuplexError`.
        """
        await asyncio.to_thread(read_plainly, "$5", ENGLISH)  # loads the names of currencies
        languages = [each.languages for each in list_voices(self.engines)]
        await asyncio.to_thread(prepare_choice, languages)
        try:
            await self._begin_sharing()  # the default voice may be one of the store
            await self._start_main_threads()
        except BaseException:
            await asyncio.gather(*(engine.store.stop_sharing() for engine in self.engines))
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for engine in self.engines:
            await engine.stop()
        for scheduler in self._schedulers:
            await asyncio.to_thread(scheduler.stop_threads)

    async def _begin_sharing(self) -> None:
        shared = [(each, self._shared.get(each.info.name)) for each in self.engines]
        await asyncio.gather(
            *(engine.store.share(entries) for engine, entries in shared if entries is not None)
        )

    async def _start_main_threads(self) -> None:
        """Start those of the default voice, and load it."""
        scheduler = self.engine_of(self.default_voice).scheduler
        scheduler.start_threads()
        try:
            await self.load_voice(self.default_voice)
            await self._render(self.default_voice, _WARM_UP_TEXT, chunk_characters=0)
        except BaseException:
            scheduler.stop_threads()
            raise
        scheduler.watch_threads()

    async def _start_threads(self, engine: ServedEngine) -> None:
        """Start the threads of an engine that is used for the first time."""
        async with engine.starting:
            scheduler = engine.scheduler
            if scheduler.is_started:
                return
            scheduler.start_threads()
            if scheduler.batched:  # its first steps take long
                await self._render(_full_name(engine), _WARM_UP_TEXT, chunk_characters=0)
            scheduler.watch_threads()

    def _set_fatal_error(self, model: Model, error: EngineDead) -> None:
        engine = next(each for each in self.engines if each.model is model)
        if engine.fatal_error is not None:
            return
        log.critical("engine.dead", engine=engine.info.name, why=error.message)
        engine.fatal_error = error
        if all(each.fatal_error for each in self.engines):
            self.fatal_error = error
            self.on_dead(error)

    # --- speech -----------------------------------------------------------------------------------

    def resolve_params(self, start: Start) -> VoiceParams:
        """Check the client's parameters and fill in the defaults.

        Raises what `choose_voice` and `voice_params.check_params` raise, and `EngineDead`.
        """
        voice = self.choose_voice(start)
        if error := voice.engine.fatal_error:
            raise EngineDead(error.message, start.context)
        return check_params(without_auto(start), voice, self._settings.speed)

    async def load_voice(self, voice: str) -> float:
        """Load a voice, downloading it if needed. Returns the gain that brings it to the common
        loudness. Raises `VoiceUnavailable`, and what the engine raises.
        """
        engine, own = self.engine_of(voice), self.listed_voice(voice).name
        if not engine.scheduler.is_started:
            await self._start_threads(engine)
        engine.scheduler.announce_utterance()
        if engine.is_voice_ready(own):
            return engine.gains[own]
        await engine.load_voice(own)
        async with engine.measuring[own]:  # one of those who wait for the same voice
            if own not in engine.gains:
                engine.gains[own] = gain_to_target(await self._measure_lufs(voice))
        return engine.gains[own]

    def is_voice_ready(self, voice: str) -> bool:
        """Whether `load_voice` would have nothing to do."""
        return self.engine_of(voice).is_voice_ready(self.listed_voice(voice).name)

    async def _measure_lufs(self, voice: str) -> float | None:
        info = self.engine_of(voice).info
        if info.lufs is not None:
            return info.lufs
        passage = await self._render(voice, _LOUDNESS_TEXT, chunk_characters=60)
        lufs = await asyncio.to_thread(measure_lufs, passage, info.sample_rate_hz)
        log.info("voice.measured", voice=voice, lufs=lufs)
        return lufs

    async def _render(self, voice: str, text: str, chunk_characters: int) -> Pcm:
        """Render at most the first `_LOUDNESS_S` of `text`, with a fixed seed."""
        params = self.resolve_params(Start(context="render", voice=voice, seed=0))
        most = _LOUDNESS_S * self.engine_of(voice).info.sample_rate_hz
        rendered: list[Pcm] = []
        async with self.open_utterance(params, chunk_characters) as handle:
            now_s = asyncio.get_running_loop().time()  # a listener is waiting
            handle.extend(Release(text, len(text), final=True), deadline_s=now_s)
            caught_up = False
            while not caught_up and sum(map(len, rendered)) < most:
                chunk = await handle.next_chunk()
                rendered.append(chunk.pcm)
                caught_up = chunk.caught_up
        return np.concatenate(rendered)

    def check_capacity(self, start: Start | None = None) -> None:
        """Raises `Overloaded` if another listener would cause gaps for others; `EngineDead`.
        `start`: what it asks for; None: not known yet, so that any engine will do.
        """
        now_s = asyncio.get_running_loop().time()
        if start is not None:
            self.choose_voice(start).engine.check_capacity(now_s)
            return
        refusals: list[EngineDead | Overloaded] = []
        for engine in self.engines:
            try:
                engine.check_capacity(now_s)
            except (EngineDead, Overloaded) as error:
                refusals.append(error)
            else:
                return
        raise next((each for each in refusals if isinstance(each, Overloaded)), refusals[0])

    @property
    def listeners(self) -> LiveListeners:
        """The live contexts that the main engine's threads serve."""
        return self.main.listeners

    def open_utterance(
        self, params: VoiceParams, chunk_characters: int, listener: LiveListener | None = None
    ) -> UtteranceHandle:
        """Open an utterance; `async with` the result. `listener`: of its live context."""
        listed = self.listed_voice(params.voice)
        engine = listed.engine
        return engine.scheduler.open_utterance(
            Utterance(
                engine.scheduler.next_id(),
                listed.name,
                speed=params.speed,
                seed=params.seed,
                language=params.language,
                chunk_characters=chunk_characters,
                parameters=params.parameters,
            ),
            listener,
            engine.model,
        )


def _full_name(engine: ServedEngine) -> str:
    """The listed name of an engine's default voice."""
    return f"{engine.info.name}/{engine.model.default_voice}"


def _name_voices(listed: list[ListedVoice]) -> str:
    """The voices, some of them if there are many."""
    names = [each.voice.name for each in listed]
    if (more := len(names) - _NAMED_VOICES) <= 0:
        return f"voices: {', '.join(names)}"
    return f"voices: {', '.join(names[:_NAMED_VOICES])} and {more} more (GET /v1/voices)"
