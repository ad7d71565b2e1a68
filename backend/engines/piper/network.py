"""The networks of a Piper voice: text encoder with durations, flow, decoder.

The voice's graph goes from phonemes to the samples of a whole sentence in one run. Only its first
part, an eighth of the cost, depends on the whole sentence; flow and decoder are convolutions with a
bounded reach. Cut apart, a new word costs the first part and a window of the others, and spoken
samples never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from backend.engines.onnx_graph import create_session
from backend.engines.piper.graph_parts import (
    IDS,
    LENGTHS,
    SCALES,
    SPEAKER,
    WindowPart,
    cut_text_part,
    cut_window_parts,
    find_names,
)

FloatArray = NDArray[np.float32]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """Of each id: `mean` and `scale` [L, channels] of its frames, and `duration` [L] in frames
    (real numbers, at length scale 1).
    """

    mean: FloatArray
    scale: FloatArray
    duration: FloatArray


class PiperNetwork:
    """The networks of one voice. Thread-safe; each call computes on the calling thread."""

    def __init__(self, path: Path) -> None:
        """Load and cut the graph at `path`. Raises `ValueError` if it is not a Piper voice."""
        model = onnx.load(path)
        names = find_names(model)
        self._noise_name = names.noise
        self._text = create_session(cut_text_part(model, names))
        flow, decoder = cut_window_parts(model, names)
        del model
        self.flow = WindowNetwork(flow)
        self.decoder = WindowNetwork(decoder)
        self._text_inputs = {value.name for value in self._text.get_inputs()}
        self._try()

    @property
    def hop(self) -> int:
        """Samples of a frame."""
        return self.decoder.plan.rate

    def _try(self) -> None:
        """Run each network once: a graph of another kind may fail only then."""
        text = self.encode([0, 0, 0], 0, np.zeros((2, 3), np.float32), 0.0)
        sound = self.flow.run(text.mean.T, (0, 3), 3, 0)
        samples = self.decoder.run(sound, (0, 3), 3, 0)
        if samples.size != 3 * self.hop or len(text.duration) != 3:
            raise ValueError("not a Piper voice: its networks do not fit together")

    def encode(
        self, ids: Sequence[int], speaker: int, noise: FloatArray, noise_w: float
    ) -> TextEncoding:
        """Encode phonemes. `noise` [2, L]: of the durations."""
        inputs = {
            IDS: np.asarray([ids], np.int64),
            LENGTHS: np.asarray([len(ids)], np.int64),
            SCALES: np.asarray([0, 1, noise_w], np.float32),
            SPEAKER: np.asarray([speaker], np.int64),
        }
        if self._noise_name:
            inputs[self._noise_name] = noise[None]
        used = {name: value for name, value in inputs.items() if name in self._text_inputs}
        mean, log_scale, duration = self._text.run(None, used)
        return TextEncoding(mean[0], np.exp(log_scale[0]), duration.reshape(-1))


class WindowNetwork:
    """A network over frames, computed in exact windows. Thread-safe."""

    def __init__(self, part: WindowPart) -> None:
        self.plan = part.plan
        self._source = part.source
        self._session = create_session(part.model)
        self._has_speaker = any(i.name == SPEAKER for i in self._session.get_inputs())

    def run(self, frames: FloatArray, span: Span, length: int, speaker: int) -> FloatArray:
        """The output [channels, steps] of the frames `span` of a sequence of `length` frames.
        `frames` [channels, n]: those of `plan.window(*span, length)`.
        """
        inputs: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {self._source: frames[None]}
        inputs |= self.plan.crops(span, length)
        if self._has_speaker:
            inputs[SPEAKER] = np.asarray([speaker], np.int64)
        output: FloatArray = self._session.run(None, inputs)[0][0]
        return output
