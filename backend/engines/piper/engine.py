"""Piper's `Model` and `Engine`.

A voice is one file with the networks of VITS. They are made for whole sentences; this engine speaks
words as they become known: see `incremental.utterance` for how, and `network` for what makes it
cheap.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from backend.audio.formats import AudioFormat, Resampler
from backend.engines.base import (
    SPEED,
    Chunk,
    EngineInfo,
    Failure,
    Parameter,
    Release,
    Utterance,
)
from backend.engines.incremental.plan import pronounce
from backend.engines.incremental.timeline import RowRules
from backend.engines.incremental.utterance import GrowingUtterance
from backend.engines.piper.phonemes import drop_half_word
from backend.engines.piper.timeline import Manner, PiperTimeline
from backend.engines.piper.voice_config import VoiceConfig
from backend.engines.piper.voices import (
    SPEAKER_MARK,
    LoadedVoice,
    VoiceFile,
    VoiceFolder,
    VoiceMemory,
    find_speaker,
)
from backend.engines.piper.whole_sentences import WholeNetwork, WholeUtterance
from backend.errors import BadMessage, ConfigError, DuplexError, EngineFailed, Unsupported
from backend.events import Voice

_log = logging.getLogger(__name__)

NO_VOICES = "no voice of Piper in {}; run: duplex-tts voices get en_US-lessac-medium"
MEMORY_LIMIT_BYTES = 1 << 30
_RATE_HZ = 22_050  # of all qualities but the lowest
_STEP_LIMIT_S = 10.0  # a voice that was evicted is loaded again
_PARAMETERS = {
    "speed": SPEED,
    "noise_scale": Parameter(0.0, 2.0, 0.667),
    "noise_w": Parameter(0.0, 2.0, 0.8),
}


class PiperModel:
    """Piper's voices, shared by all engines. Implements `Model`; thread-safe."""

    device = None

    def __init__(
        self,
        folder: Path,
        files: Sequence[Path] = (),
        *,
        default_voice: str = "",
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    ) -> None:
        """The voices in `folder`, and those of `files` (`.onnx`, with its `.onnx.json` beside it).
        Loads none. `memory_limit_bytes`: of the voices' files in memory. Raises `ConfigError` if
        there is no voice.
        """
        self._folder = VoiceFolder(folder, files)
        self._memory = VoiceMemory(memory_limit_bytes)
        found = self._folder.list()
        if not found:
            raise ConfigError(NO_VOICES.format(folder))
        rates = {file.config.sample_rate_hz for file in found.values()}
        self.default_voice = default_voice or next(iter(found))
        self.info = EngineInfo(
            "piper",
            _RATE_HZ if _RATE_HZ in rates else max(rates),
            tuple(sorted({file.config.language for file in found.values()})),
            incremental=True,
            max_batch=1,
            parameters=_PARAMETERS,
            step_limit_s=_STEP_LIMIT_S,
        )

    def voices(self) -> tuple[Voice, ...]:
        """All voices, each speaker of one with several by itself."""
        return tuple(
            Voice(name, file.config.language, _describe(file, speaker), ready=True)
            for stem, file in self._folder.list().items()
            for name, speaker in [
                (stem, ""),
                *((f"{stem}{SPEAKER_MARK}{s}", s) for s in file.config.speakers),
            ]
        )

    def is_whole_word(self, word: str) -> bool:
        """See `Model.is_whole_word`: there is no word list."""
        return False

    def load_voice(self, name: str) -> None:
        """See `Model.load_voice`."""
        self._memory.load(self._find(name)[0])

    def is_voice_loaded(self, name: str) -> bool:
        """See `EvictingModel.is_voice_loaded`."""
        return name.partition(SPEAKER_MARK)[0] in self._memory.names()

    def loaded_voices(self) -> list[str]:
        """The voices in memory, the least recently used first."""
        return self._memory.names()

    def read_phonemes(self, release: Release, voice: str) -> list[tuple[int, str]]:
        """See `PhonemicModel.read_phonemes`."""
        reader = self._memory.load(self._find(voice)[0]).reader
        given = {at: reader.read_ipa(ipa) for at, ipa in release.pronunciations.items()}
        units = pronounce(reader.read_units(release.text), given)
        return [(unit.start, unit.phonemes) for unit in units]

    def create_engine(self) -> PiperEngine:
        """A new engine for the calling thread to own."""
        return PiperEngine(self)

    def open_state(self, utterance: Utterance) -> _State:
        """The state of a new utterance; its voice stays in memory until `close_state`. Raises
        `UnknownVoice`, `VoiceUnavailable`, `Unsupported` (language).
        """
        file, speaker = self._find(utterance.voice)
        self._check_language(utterance.language, file)
        voice = self._memory.acquire(file)
        config, given = voice.config, utterance.parameters
        manner = Manner(
            speaker,
            utterance.seed,
            config.length_scale / utterance.speed,
            given.get("noise_scale", config.noise_scale),
            given.get("noise_w", config.noise_w),
        )
        growing = _open_utterance(utterance, voice, manner)
        return _State(file.name, growing, self._create_resampler(config.sample_rate_hz))

    def close_state(self, state: _State) -> None:
        """Let the state's voice leave memory."""
        self._memory.release(state.voice)

    def _find(self, name: str) -> tuple[VoiceFile, int]:
        return find_speaker(self._folder.list(), name)

    def _check_language(self, language: str | None, file: VoiceFile) -> None:
        own = file.config.language
        if not language or _primary(language) == _primary(own):
            return
        fitting = [
            name
            for name, other in self._folder.list().items()
            if _primary(other.config.language) == _primary(language)
        ]
        remedy = f"voices for it: {', '.join(fitting)}" if fitting else "there is no voice for it"
        raise Unsupported(f"voice {file.name!r} speaks {own}, not {language!r}; {remedy}")

    def _create_resampler(self, rate_hz: int) -> Resampler | None:
        target = self.info.sample_rate_hz
        same = rate_hz == target
        return None if same else Resampler(rate_hz, AudioFormat("pcm_f32le", target))


@dataclass(slots=True)
class _State:
    voice: str
    growing: GrowingUtterance | WholeUtterance
    resampler: Resampler | None


class PiperEngine:
    """Renders a chunk of the most urgent utterance per step. Implements `Engine`."""

    def __init__(self, model: PiperModel) -> None:
        self.info = model.info
        self._model = model
        self._states: dict[str, _State] = {}

    def begin(self, utterance: Utterance) -> None:
        """See `Engine.begin`."""
        for name, value in {"speed": utterance.speed, **utterance.parameters}.items():
            known = self.info.parameters.get(name)
            if known and not known.low <= value <= known.high:
                raise BadMessage(f"{name} must be from {known.low} to {known.high}")
        self._states[utterance.id] = self._model.open_state(utterance)

    def extend(self, utterance_id: str, release: Release) -> None:
        """See `Engine.extend`."""
        if not (release.final or (release.must_reach and release.speak_to == len(release.text))):
            release = replace(release, text=drop_half_word(release.text, release.speak_to))
        self._states[utterance_id].growing.extend(release)

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        """Render one chunk of the first of `urgent` that is not idle."""
        for name in urgent:
            state = self._states.get(name)
            if state is not None and not state.growing.is_idle:
                return [self._advance(name, state)]
        return []

    def abort(self, utterance_id: str) -> None:
        """See `Engine.abort`."""
        state = self._states.pop(utterance_id, None)
        if state is not None:
            self._model.close_state(state)

    def _advance(self, name: str, state: _State) -> Chunk | Failure:
        try:
            chunk = _resample(state.growing.step(), state)
        except Exception as error:  # noqa: BLE001  the engine boundary: fail only this utterance
            _log.exception("utterance %s could not be rendered", name)
            self.abort(name)
            if isinstance(error, DuplexError):
                return Failure(name, error)
            return Failure(name, EngineFailed(f"could not be rendered ({type(error).__name__})"))
        if state.growing.is_finished:
            self.abort(name)
        return chunk


def _resample(chunk: Chunk, state: _State) -> Chunk:
    """The chunk at the engine's sample rate."""
    if state.resampler is None:
        return chunk
    pcm = state.resampler.resample(chunk.pcm) if len(chunk.pcm) else chunk.pcm
    if state.growing.is_finished:
        pcm = np.concatenate([pcm, state.resampler.finish()])
    return replace(chunk, pcm=pcm)


def _open_utterance(
    utterance: Utterance, voice: LoadedVoice, manner: Manner
) -> GrowingUtterance | WholeUtterance:
    network, rate_hz = voice.network, voice.config.sample_rate_hz
    if isinstance(network, WholeNetwork):
        speak = partial(network.speak, manner=manner)
        return WholeUtterance(utterance, speak, voice.reader, rate_hz)
    rules = _rules(voice.config, 1000 * network.hop / rate_hz)
    timeline = PiperTimeline(network, voice.config.ids, manner, rules)
    return GrowingUtterance(utterance, timeline, voice.reader, rate_hz)


def _rules(config: VoiceConfig, row_ms: float) -> RowRules:
    """The rules for a voice, by the length of its rows."""
    return RowRules(
        row_ms=row_ms,
        continuation=_continuation(config),
        left_phonemes=60,
        new_phonemes=160,
        most_phonemes=200,
        first_step_rows=round(280 / row_ms),
        step_rows=round(650 / row_ms),
        early_rows=0,
        cut_rows=(round(-35 / row_ms), round(50 / row_ms)),
        pause_rows=round(75 / row_ms),
    )


_CONTINUATION = "ðə ðə ðə"


def _continuation(config: VoiceConfig) -> str:
    """None in other languages: foreign sounds are worse than an end, which costs little."""
    is_english = bool(config.espeak) and _primary(config.language) == "en"
    return _CONTINUATION if is_english and set(_CONTINUATION) <= set(config.ids) else ""


def _primary(language: str) -> str:
    return language.replace("_", "-").partition("-")[0].lower()


def _describe(file: VoiceFile, speaker: str) -> str:
    parts = [
        file.config.quality and f"{file.config.quality} quality",
        speaker and f"speaker {speaker}",
    ]
    return ", ".join(filter(None, parts)) or "Piper"
