"""Speaks with a graph that cannot be cut: whole sentences, each in one run.

The first sound comes when a sentence is complete, or must be spoken as far as it is known. The
graph draws its own noise, so a seed does not fix the sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import onnx

from backend.engines.base import Chunk, Pcm, Release, Utterance
from backend.engines.incremental.plan import SpeechPlan, make_plan
from backend.engines.incremental.units import UnitReader
from backend.engines.onnx_graph import create_session
from backend.engines.piper.graph_parts import IDS, LENGTHS, SCALES, SPEAKER, check_inputs
from backend.engines.piper.timeline import Manner
from backend.engines.piper.voice_config import group_ids
from backend.events import Word

_MOST_PHONEMES = 120  # of a step: about 8 s of speech
_SILENCE: Pcm = np.zeros(0, np.float32)


class WholeNetwork:
    """A voice's own graph. Thread-safe; computes on the calling thread."""

    def __init__(self, model: onnx.ModelProto, ids: Mapping[str, tuple[int, ...]]) -> None:
        """Raises `ValueError` if it does not have the inputs of a Piper voice."""
        check_inputs(model)
        self._session = create_session(model)
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._ids = ids

    def speak(self, phonemes: str, manner: Manner) -> Pcm:
        """Samples for the phonemes."""
        ids = [i for group in group_ids(self._ids, phonemes) for i in group]
        scales = [manner.noise_scale, manner.length_scale, manner.noise_w]
        inputs = {
            IDS: np.asarray([ids], np.int64),
            LENGTHS: np.asarray([len(ids)], np.int64),
            SCALES: np.asarray(scales, np.float32),
            SPEAKER: np.asarray([manner.speaker], np.int64),
        }
        used = {name: value for name, value in inputs.items() if name in self._inputs}
        samples: Pcm = self._session.run(None, used)[0].reshape(-1)
        return np.clip(samples, -1.0, 1.0)


class WholeUtterance:
    """The state of one utterance, with the methods of `GrowingUtterance`. Owned by one thread."""

    def __init__(
        self,
        utterance: Utterance,
        speak: Callable[[str], Pcm],
        reader: UnitReader,
        sample_rate_hz: int,
    ) -> None:
        self._id = utterance.id
        self._speak = speak
        self._reader = reader
        self._sample_rate_hz = sample_rate_hz
        self._release: Release | None = None
        self._spoken_to = 0
        self._samples = 0
        self.is_finished = False

    @property
    def is_idle(self) -> bool:
        """See `GrowingUtterance.is_idle`."""
        return self._release is None

    def extend(self, release: Release) -> None:
        """See `GrowingUtterance.extend`."""
        given = {at: self._reader.read_ipa(ipa) for at, ipa in release.pronunciations.items()}
        self._release = replace(release, pronunciations=given)

    def step(self) -> Chunk:
        """Render the next part of the release, if it is complete. Raises `ValueError` if
        `is_idle`.
        """
        release, start = self._release, self._spoken_to
        if release is None:
            raise ValueError("no release to render")
        if not (release.final or release.must_reach):
            self._release = None
            return Chunk(self._id, _SILENCE, start, start, (), caught_up=True)
        plan = make_plan(release, start, self._reader, _MOST_PHONEMES)
        phonemes = " ".join(unit.phonemes for unit in plan.units if unit.phonemes)
        pcm = self._speak(phonemes) if plan.is_voiced else _SILENCE
        words = self._time_words(plan, len(pcm))
        self._spoken_to = plan.reach
        self._samples += len(pcm)
        if not plan.has_more:
            self._release = None
            self.is_finished = release.final
        return Chunk(self._id, pcm, start, plan.reach, words, caught_up=not plan.has_more)

    def _time_words(self, plan: SpeechPlan, samples: int) -> tuple[Word, ...]:
        """The words, with as much of the time as they have of the phonemes."""
        lengths = [len(unit.phonemes) + bool(unit.phonemes) for unit in plan.units]
        ends = self._samples + samples * np.cumsum([0, *lengths]) / max(1, sum(lengths))
        times = (1000 * ends / self._sample_rate_hz).tolist()
        return tuple(
            Word(unit.start, unit.end, begun, ended)
            for unit, begun, ended in zip(plan.units, times[:-1], times[1:], strict=True)
            if unit.is_voiced
        )
