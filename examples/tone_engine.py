"""A whole engine in one file: it speaks each word as a tone. `python examples/tone_engine.py`.

It serves at 127.0.0.1:8000 (`--port` changes that). docs/adding-an-engine.md explains it part by
part; a real engine replaces `_render_word`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.config import Settings
from backend.engines.base import Chunk, Device, Engine, EngineInfo, Failure, Pcm, Release, Utterance
from backend.errors import UnknownVoice
from backend.events import Voice, Word
from backend.main import serve
from backend.text.words import word_ends

RATE_HZ = 24_000
INFO = EngineInfo(
    name="tones",
    sample_rate_hz=RATE_HZ,
    languages=("en",),
    incremental=True,  # it renders words of a sentence that is still being written
    max_batch=1,
)
_BASE_HZ = {"low": 220.0, "high": 440.0}
_LETTER_S, _FADE_S, _LEVEL = 0.06, 0.008, 0.2


@dataclass
class _OpenUtterance:
    utterance: Utterance
    release: Release | None = None
    spoken_to: int = 0  # characters of the text
    audio_ms: float = 0.0


class ToneEngine:
    """Renders one word a step; owned by one thread."""

    def __init__(self) -> None:
        self.info = INFO
        self._open: dict[str, _OpenUtterance] = {}

    def begin(self, utterance: Utterance) -> None:
        """Open an utterance. Raises `UnknownVoice`."""
        if utterance.voice not in _BASE_HZ:
            raise UnknownVoice(utterance.voice)
        self._open[utterance.id] = _OpenUtterance(utterance)

    def extend(self, utterance_id: str, release: Release) -> None:
        """Keep the release; rendering happens in `step`."""
        self._open[utterance_id].release = release

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        """Render the next word of the most urgent utterance."""
        state = self._open[urgent[0]]
        release = state.release
        assert release is not None, "`step` names utterances that have a release"
        start = state.spoken_to
        ends = [end for end in word_ends(release.text) if start < end <= release.speak_to]
        end = ends[0] if ends else release.speak_to
        pcm, words = self._render(state, release.text[start:end], start)
        state.spoken_to = end
        state.audio_ms += 1000 * len(pcm) / RATE_HZ
        caught_up = end == release.speak_to
        if caught_up and release.final:
            del self._open[urgent[0]]
        return [Chunk(urgent[0], pcm, start, end, words, caught_up)]

    def abort(self, utterance_id: str) -> None:
        """Forget the utterance; unknown ids are fine."""
        self._open.pop(utterance_id, None)

    def _render(self, state: _OpenUtterance, text: str, start: int) -> tuple[Pcm, tuple[Word, ...]]:
        letters = [letter for letter in text if letter.isalnum()]
        if not letters:  # a span without sound still accounts for its characters
            return np.zeros(0, np.float32), ()
        pcm = _render_word(letters, _BASE_HZ[state.utterance.voice], state.utterance.speed)
        begin_ms = state.audio_ms
        end_ms = begin_ms + 1000 * len(pcm) / RATE_HZ
        return pcm, (Word(start, start + len(text), begin_ms, end_ms),)


def _render_word(letters: Sequence[str], base_hz: float, speed: float) -> Pcm:
    """Mono float32 at `RATE_HZ`; the pitch follows the first letter, the length their number."""
    size = round(len(letters) * _LETTER_S / speed * RATE_HZ)
    hz = base_hz * 2 ** ((ord(letters[0].lower()) % 12) / 12)
    tone = _LEVEL * np.sin(2 * np.pi * hz * np.arange(size) / RATE_HZ)
    fade = np.linspace(0, 1, round(_FADE_S * RATE_HZ))
    tone[: len(fade)] *= fade
    tone[-len(fade) :] *= fade[::-1]
    return tone.astype(np.float32)


class ToneModel:
    """What all engine threads share: here only the names of the voices."""

    info = INFO
    default_voice = "low"
    device: Device | None = None  # no card

    def voices(self) -> tuple[Voice, ...]:
        """The voices that can be asked for."""
        return tuple(Voice(name, "en", f"{name} tones", True) for name in _BASE_HZ)

    def is_whole_word(self, word: str) -> bool:
        """Tones have no dictionary."""
        return False

    def load_voice(self, name: str) -> None:
        """Nothing to load. Raises `UnknownVoice`."""
        if name not in _BASE_HZ:
            raise UnknownVoice(name)

    def create_engine(self) -> Engine:
        """A new engine for the calling thread."""
        return ToneEngine()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    serve(Settings.model_validate({"server": {"port": options.port}}), model=ToneModel())
