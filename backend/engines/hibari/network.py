"""The network of a hibari voice, split into three stages.

The package's graph goes from phonemes to the frames of a whole sentence in one run. It has three
stages, and only the first one depends on the whole sentence:

1. phonemes -> two encodings and a duration each (attention over the sentence; a tenth of the cost)
2. encodings, repeated for their duration -> pitch and energy (convolutions)
3. encodings, pitch and energy -> spectral frames (convolutions)

With separate stages and access to the durations, a new word costs the first stage and a window of
the others, and spoken frames never change. The weights are quantised and each run chooses its own
scale, so frames of a window differ from those of the whole by rounding only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from backend.engines.onnx_graph import Shapes, add_shape_constants, create_session, cut_graph

FloatArray = NDArray[np.float32]

# It would round differently from the package's graph, whose divisors are not constant.
_INEXACT = ["MatMulScaleFusion"]

UNIT_FRAMES = 2  # durations count units of two frames: 25 ms
PITCH_REACH = 54  # units that pitch and energy see to each side
FRAME_REACH = 8  # units that the spectral frames need to each side; all 14 change nothing audible

_CONTENT, _CONTENT_UNITS = "/Transpose_22_output_0", "/Gather_32_output_0"
_PROSODY, _PROSODY_UNITS = "/Transpose_55_output_0", "/Gather_33_output_0"
_DURATION = "/Sub_output_0"
_F0, _ENERGY = "f0", "/Mul_62_output_0"
_FRAMES = "/head/Add_output_0"
_SHAPES: Shapes = {
    "ids": [1, "L"],
    _CONTENT_UNITS: [1, 128, "U"],
    _PROSODY_UNITS: [1, 192, "U"],
    _F0: [1, "F"],
    _ENERGY: [1, "F"],
}


@dataclass(frozen=True, slots=True)
class PhonemeEncoding:
    """The text stage's output for each phoneme: `content` [L, 128], `prosody` [L, 192], and
    `duration` [L] in units (real numbers, at speed 1).
    """

    content: FloatArray
    prosody: FloatArray
    duration: FloatArray


class Network:
    """The three stages of one voice. Thread-safe; each call computes on the calling thread."""

    def __init__(self, path: Path) -> None:
        """Load and split the graph at `path`. Raises `ValueError` if it is not a hibari voice."""
        model = onnx.load(path)
        pitch = _cut(model, [_PROSODY_UNITS], [_F0, _ENERGY])
        spectrum = _cut(model, [_CONTENT_UNITS, _F0, _ENERGY], [_FRAMES])
        self._text, self._pitch, self._spectrum = (
            create_session(part, disabled_optimizers=_INEXACT)
            for part in (_cut_text_stage(model), pitch, spectrum)
        )

    def encode(self, ids: list[int]) -> PhonemeEncoding:
        """Encodings and durations of the phonemes `ids`, padded with 0 at both ends."""
        content, prosody, duration = self._text.run(None, {"ids": np.asarray([ids], np.int64)})
        return PhonemeEncoding(content[0].T, prosody[0].T, duration)

    def pitch(self, prosody: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Pitch in Hz and energy, each [2 U], for the units' encodings `prosody` [U, 192]."""
        f0, energy = self._pitch.run(None, {_PROSODY_UNITS: prosody.T[None]})
        return f0[0], energy[0]

    def frames(self, content: FloatArray, f0: FloatArray, energy: FloatArray) -> FloatArray:
        """Spectral frames [2 U, 5 * 601] for units with `content` [U, 128]."""
        inputs = {_CONTENT_UNITS: content.T[None], _F0: f0[None], _ENERGY: energy[None]}
        frames: FloatArray = self._spectrum.run(None, inputs)[0][0]
        return frames


def _cut(model: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    return cut_graph(model, {name: _SHAPES[name] for name in inputs}, outputs)


def _cut_text_stage(model: onnx.ModelProto) -> onnx.ModelProto:
    """The text stage, without the 170 operations that compute shapes in each run."""
    inputs, outputs = ["ids"], [_CONTENT, _PROSODY, _DURATION]
    part = _cut(model, inputs, outputs)
    add_shape_constants(part, lambda length: {"ids": np.ones((1, length), np.int64)})
    return _cut(part, inputs, outputs)
