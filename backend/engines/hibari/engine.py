"""The embedded engine's `Model` and `Engine`.

Unlike the package, which speaks whole sentences, this engine speaks words as they become known; see
`incremental.utterance` for how.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hibari import voices as catalogue

from backend.engines.base import Chunk, EngineInfo, Failure, Release, Utterance
from backend.engines.hibari.network import Network
from backend.engines.hibari.phonemes import PhonemeReader
from backend.engines.hibari.score import Score
from backend.engines.hibari.timeline import HibariTimeline
from backend.engines.hibari.vocoder import SAMPLE_RATE_HZ
from backend.engines.incremental.plan import pronounce
from backend.engines.incremental.utterance import GrowingUtterance
from backend.errors import (
    BadMessage,
    EngineFailed,
    UnknownVoice,
    Unsupported,
    VoiceUnavailable,
)
from backend.events import Voice

_log = logging.getLogger(__name__)
REINSTALL = "run: python -m pip install --force-reinstall --no-deps hibari-tts"

_SPEEDS = (0.5, 2.0)
_ASSETS = Path(catalogue.ASSETS)


@dataclass(frozen=True, slots=True)
class _LoadedVoice:
    network: Network
    reader: PhonemeReader


class HibariModel:
    """The voices of hibari, shared by all engines. Implements `Model`; thread-safe."""

    info = EngineInfo("hibari", SAMPLE_RATE_HZ, ("en-US", "en-GB"), incremental=True, max_batch=1)
    default_voice: str = catalogue.DEFAULT
    device = None

    def __init__(self, cache_dir: Path | None = None) -> None:
        """Load the default voice from the package. Blocks for about a second. `cache_dir`: folder
        of other voices; None: the package's own cache.
        """
        self._cache_dir = cache_dir or Path(catalogue.cache_dir())
        self._vocabulary: dict[str, int] = json.loads(
            (_ASSETS / "vocab.json").read_text(encoding="utf-8")
        )
        self._locks = {name: threading.Lock() for name in catalogue.VOICES}
        self._loaded: dict[str, _LoadedVoice] = {}
        self._readers: dict[bool, PhonemeReader] = {}
        self._readers_lock = threading.Lock()
        self.load_voice(self.default_voice)

    def voices(self) -> tuple[Voice, ...]:
        """All voices; those not `ready` need a download."""
        return tuple(
            Voice(
                name,
                entry["language"],
                f"{entry['accent']}, {entry['gender']}",
                self._path(name).exists(),
                gender=entry["gender"],
            )
            for name, entry in catalogue.VOICES.items()
        )

    def load_voice(self, name: str) -> None:
        """See `Model.load_voice`."""
        if name not in self._locks:
            raise self._unknown_voice(name)
        with self._locks[name]:
            if name not in self._loaded:
                network = Network(self._fetch_voice(name))
                self._loaded[name] = _LoadedVoice(network, self._reader(name))

    def is_whole_word(self, word: str) -> bool:
        """See `Model.is_whole_word`."""
        return self._reader(self.default_voice).is_whole_word(word)

    def read_phonemes(self, release: Release, voice: str) -> list[tuple[int, str]]:
        """See `PhonemicModel.read_phonemes`."""
        if voice not in self._locks:
            raise self._unknown_voice(voice)
        reader = self._reader(voice)
        given = {at: reader.read_ipa(ipa) for at, ipa in release.pronunciations.items()}
        units = pronounce(reader.read_units(release.text), given)
        return [(unit.start, unit.phonemes) for unit in units]

    def create_engine(self) -> HibariEngine:
        """A new engine for the calling thread to own."""
        return HibariEngine(self)

    def create_state(self, utterance: Utterance) -> GrowingUtterance:
        """The state of a new utterance. Raises `UnknownVoice`, or `VoiceUnavailable` if the voice
        is not loaded.
        """
        if utterance.voice not in self._locks:
            raise self._unknown_voice(utterance.voice)
        voice = self._loaded.get(utterance.voice)
        if voice is None:
            raise VoiceUnavailable(f"voice {utterance.voice!r} is not loaded")
        score = Score(voice.network, utterance.speed)
        timeline = HibariTimeline(score, self._vocabulary, utterance.seed)
        return GrowingUtterance(utterance, timeline, voice.reader, SAMPLE_RATE_HZ)

    def _path(self, name: str) -> Path:
        entry = catalogue.VOICES[name]
        folder = _ASSETS if entry.get("bundled") else self._cache_dir
        return folder / str(entry["file"])

    def _fetch_voice(self, name: str) -> Path:
        """The voice's file, downloaded if it is missing or fails its checksum."""
        path, entry = self._path(name), catalogue.VOICES[name]
        if _is_intact(path, entry["sha256"]):
            return path
        condition = "damaged" if path.exists() else "not"
        if entry.get("bundled"):
            raise VoiceUnavailable(f"voice {name!r} is {condition} in the package; {REINSTALL}")
        try:
            catalogue.download(catalogue.BASE_URL + entry["file"], str(path), entry["sha256"])
        except (RuntimeError, OSError) as error:
            here = ", ".join(voice.name for voice in self.voices() if voice.ready)
            raise VoiceUnavailable(
                f"voice {name!r} is {condition} on this machine and could not be fetched; "
                f"available: {here}"
            ) from error
        return path

    def _reader(self, name: str) -> PhonemeReader:
        british = bool(catalogue.VOICES[name]["british"])
        with self._readers_lock:
            if british not in self._readers:
                self._readers[british] = PhonemeReader(british, self._vocabulary)
            return self._readers[british]

    def _unknown_voice(self, name: str) -> UnknownVoice:
        return UnknownVoice(f"no voice {name!r}; available: {', '.join(self._locks)}")


def _is_intact(path: Path, sha256: str) -> bool:
    try:
        return bool(catalogue.sha256_of(path) == sha256)
    except OSError:
        return False


class HibariEngine:
    """Renders a chunk of the most urgent utterance per step. Implements `Engine`."""

    info = HibariModel.info

    def __init__(self, model: HibariModel) -> None:
        self._model = model
        self._states: dict[str, GrowingUtterance] = {}

    def begin(self, utterance: Utterance) -> None:
        """See `Engine.begin`."""
        if utterance.language and not utterance.language.lower().startswith("en"):
            raise Unsupported(f"this engine speaks English only, not {utterance.language!r}")
        if not _SPEEDS[0] <= utterance.speed <= _SPEEDS[1]:
            raise BadMessage(f"speed must be from {_SPEEDS[0]} to {_SPEEDS[1]}")
        self._states[utterance.id] = self._model.create_state(utterance)

    def extend(self, utterance_id: str, release: Release) -> None:
        """See `Engine.extend`."""
        self._states[utterance_id].extend(release)

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        """Render one chunk of the first of `urgent` that is not idle."""
        for name in urgent:
            state = self._states.get(name)
            if state is not None and not state.is_idle:
                return [self._advance(name, state)]
        return []

    def abort(self, utterance_id: str) -> None:
        """See `Engine.abort`."""
        self._states.pop(utterance_id, None)

    def _advance(self, name: str, state: GrowingUtterance) -> Chunk | Failure:
        try:
            chunk = state.step()
        except Exception as error:  # noqa: BLE001  the engine boundary: fail only this utterance
            _log.exception("utterance %s could not be rendered", name)
            del self._states[name]
            return Failure(name, EngineFailed(f"could not be rendered ({type(error).__name__})"))
        if state.is_finished:
            del self._states[name]
        return chunk
