"""The voices of Piper that lie on this machine, and those of them that are in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import onnx
import structlog

from backend.engines.piper.espeak import load_espeak
from backend.engines.piper.network import PiperNetwork
from backend.engines.piper.phonemes import PhonemeReader
from backend.engines.piper.voice_config import VoiceConfig, read_config
from backend.engines.piper.whole_sentences import WholeNetwork
from backend.errors import UnknownVoice, VoiceUnavailable

log = structlog.get_logger(__name__)

SPEAKER_MARK = "#"


@dataclass(frozen=True, slots=True)
class VoiceFile:
    """A voice's files: `path` (`.onnx`) and what the one beside it says."""

    name: str
    path: Path
    config: VoiceConfig


class LoadedVoice:
    """A voice in memory, for all its speakers."""

    def __init__(self, file: VoiceFile) -> None:
        """Load it. Blocks (a second). Raises `VoiceUnavailable` with the remedy."""
        self.config = file.config
        espeak = load_espeak() if file.config.espeak else None
        self.reader = PhonemeReader(file.config, espeak)
        try:
            self.network = _load_network(file)
        except Exception as error:
            log.debug("voice.not_loaded", voice=file.name, exc_info=error)
            why = " ".join(str(error).split())[:200]
            raise VoiceUnavailable(
                f"voice {file.name!r} could not be loaded ({why}); fetch it again, or remove "
                f"{file.path}"
            ) from error
        self.size_bytes = file.path.stat().st_size


def _load_network(file: VoiceFile) -> PiperNetwork | WholeNetwork:
    """The networks; the whole graph, with a warning, if it cannot be cut."""
    try:
        return PiperNetwork(file.path)
    except Exception as error:  # noqa: BLE001  also what ONNX Runtime raises
        network = WholeNetwork(onnx.load(file.path), file.config.ids)
        log.warning("voice.whole_sentences_only", voice=file.name, why=str(error)[:200])
        return network


class VoiceFolder:
    """The voices in a folder, and others by their files. Thread-safe."""

    def __init__(self, folder: Path, files: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._files = tuple(files)
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[tuple[int, int], VoiceFile | None]] = {}

    def list(self) -> dict[str, VoiceFile]:
        """The voices by name, sorted; new files are found, broken ones left out with a warning."""
        paths = set(self._files)
        with suppress(OSError):
            paths |= set(self._folder.glob("*.onnx"))
        with self._lock:
            found = [self._read(path) for path in sorted(paths)]
        return {voice.name: voice for voice in found if voice}

    def _read(self, path: Path) -> VoiceFile | None:
        config = path.with_name(path.name + ".json")
        try:
            stamps = (path.stat().st_mtime_ns, config.stat().st_mtime_ns)
        except OSError:
            return None  # not complete
        stored = self._known.get(path)
        if stored is None or stored[0] != stamps:
            stored = stamps, self._parse(path, config)
            self._known[path] = stored
        return stored[1]

    @staticmethod
    def _parse(path: Path, config: Path) -> VoiceFile | None:
        try:
            return VoiceFile(path.stem, path, read_config(config))
        except (ValueError, OSError) as error:
            log.warning("voice.unusable", voice=path.stem, why=str(error)[:200])
            return None


class VoiceMemory:
    """Voices in memory, up to a limit. Evicts the least recently used one that no utterance uses.
    Thread-safe.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}
        self._loaded: OrderedDict[str, LoadedVoice] = OrderedDict()
        self._users: dict[str, int] = {}

    def load(self, file: VoiceFile) -> LoadedVoice:
        """The voice, from memory or the disk. Blocks (a second) if it has to be loaded. Raises
        `VoiceUnavailable`.
        """
        with self._lock:
            loading = self._loading.setdefault(file.name, threading.Lock())
        with loading:
            voice = self._find(file.name)
            if voice is None:
                voice = LoadedVoice(file)
                with self._lock:
                    self._loaded[file.name] = voice
                    self._evict(file.name)
            return voice

    def acquire(self, file: VoiceFile) -> LoadedVoice:
        """As `load`; the voice stays in memory until `release`."""
        with self._lock:
            self._users[file.name] = self._users.get(file.name, 0) + 1
        try:
            return self.load(file)
        except BaseException:
            self.release(file.name)
            raise

    def release(self, name: str) -> None:
        """One user of the voice less."""
        with self._lock:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]
            self._evict(name)

    def names(self) -> list[str]:
        """The voices in memory, the least recently used first."""
        with self._lock:
            return list(self._loaded)

    def _find(self, name: str) -> LoadedVoice | None:
        with self._lock:
            if name in self._loaded:
                self._loaded.move_to_end(name)
            return self._loaded.get(name)

    def _evict(self, newest: str) -> None:
        """Drop voices until the limit holds, but none in use nor the newest."""
        for name in list(self._loaded):
            if sum(voice.size_bytes for voice in self._loaded.values()) <= self._limit_bytes:
                return
            if name != newest and name not in self._users:
                del self._loaded[name]
                log.info("voice.evicted", voice=name)


def find_speaker(files: dict[str, VoiceFile], name: str) -> tuple[VoiceFile, int]:
    """The file and the number of the speaker that a voice's name means. Raises `UnknownVoice`."""
    stem, _, speaker = name.partition(SPEAKER_MARK)
    file = files.get(stem)
    if file is None:
        known = ", ".join(files) or "none"
        raise UnknownVoice(
            f"no voice {name!r}; available: {known[:500]}; others come with: duplex-tts voices get"
        )
    if not speaker and SPEAKER_MARK not in name:
        return file, 0
    if speaker not in file.config.speakers:
        known = ", ".join(file.config.speakers) or "none"
        raise UnknownVoice(f"voice {stem!r} has no speaker {speaker!r}; it has: {known[:500]}")
    return file, file.config.speakers[speaker]
