from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hibari import voices
from numpy.typing import NDArray

from backend.engines.onnx_graph import Shapes, add_shape_constants, cut_graph

INPUTS: Shapes = {"ids": [1, "L"]}
OUTPUTS = ["/Transpose_22_output_0", "/Sub_output_0"]  # encodings and durations


@pytest.fixture(scope="module")
def text_stage() -> onnx.ModelProto:
    path = Path(voices.ASSETS, voices.VOICES[voices.DEFAULT]["file"])
    return cut_graph(onnx.load(path), INPUTS, OUTPUTS)


def run(model: onnx.ModelProto, ids: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    session = ort.InferenceSession(
        model.SerializeToString(),
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["MatMulScaleFusion"],
    )
    outputs: list[NDArray[np.float32]] = session.run(None, {"ids": ids})
    return outputs


@pytest.mark.slow
def test_shape_constants_leave_out_operations_and_change_no_bit_at_any_length(
    text_stage: onnx.ModelProto,
) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(text_stage)
    add_shape_constants(changed, lambda length: {"ids": np.ones((1, length), np.int64)})
    changed = cut_graph(changed, INPUTS, OUTPUTS)
    assert len(changed.graph.node) < len(text_stage.graph.node) - 100
    for length in (1, 17, 80):
        ids = np.arange(length)[None] % 40
        for output, expected in zip(run(changed, ids), run(text_stage, ids), strict=True):
            assert np.array_equal(output, expected)


def test_a_graph_without_the_output_is_refused(text_stage: onnx.ModelProto) -> None:
    with pytest.raises(ValueError, match="not a voice of this kind"):
        cut_graph(text_stage, INPUTS, ["nothing"])
