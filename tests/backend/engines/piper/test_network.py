from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backend.engines.piper.graph_parts import find_names
from backend.engines.piper.network import PiperNetwork, WindowNetwork
from tests.support.piper.piper_model import joe_path
from tests.support.piper.stand_in_voice import StandIn, write_voice

LENGTH = 120


@pytest.fixture(scope="module", params=["joe", "stand-in"])
def network(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> PiperNetwork:
    if request.param == "joe":
        return PiperNetwork(joe_path())
    return PiperNetwork(write_voice(tmp_path_factory.mktemp("voice"), "small", StandIn(speakers=2)))


@pytest.mark.parametrize("part", ["flow", "decoder"])
@pytest.mark.parametrize("span", [(0, 1), (0, 40), (30, 75), (60, 61), (90, LENGTH)])
def test_a_window_equals_that_part_of_the_whole(
    network: PiperNetwork, part: str, span: tuple[int, int]
) -> None:
    stage: WindowNetwork = getattr(network, part)
    channels = 192 if network.hop == 256 and network.flow.plan.reach == 32 else 8
    frames = np.random.default_rng(0).standard_normal((channels, LENGTH), dtype=np.float32)
    whole = stage.run(frames, (0, LENGTH), LENGTH, 1)
    left, right = stage.plan.window(*span, LENGTH)
    window = stage.run(frames[:, left:right], span, LENGTH, 1)
    rate = stage.plan.rate
    np.testing.assert_allclose(window, whole[:, span[0] * rate : span[1] * rate], atol=2e-4)


def test_a_narrower_window_would_not_do(network: PiperNetwork) -> None:
    """The reach is not only safe: without a few frames of it the output differs."""
    frames = np.random.default_rng(0).standard_normal((192, LENGTH), dtype=np.float32)
    if network.flow.plan.reach != 32:
        pytest.skip("the stand-in has other channels")
    changed = frames.copy()
    changed[:, 60 - 30] += 5
    outputs = [network.flow.run(x, (0, LENGTH), LENGTH, 0)[:, 60] for x in (frames, changed)]
    assert np.abs(outputs[0] - outputs[1]).max() > 0


def test_names_do_not_matter(tmp_path: Path) -> None:
    """The cuts are found by structure: no node of the stand-in has a name of Piper's."""
    names = find_names(onnx.load(write_voice(tmp_path, "small")))
    assert names.noise
    assert len(names.masks) == 1
    plain = StandIn(stochastic=False)
    assert find_names(onnx.load(write_voice(tmp_path, "plain", plain))).noise is None


@pytest.mark.parametrize(
    ("removed", "why"), [("Ceil", "rounded durations"), ("RandomNormalLike", "latent noise")]
)
def test_a_graph_without_the_structure_is_refused(tmp_path: Path, removed: str, why: str) -> None:
    model = onnx.load(write_voice(tmp_path, "small"))
    for node in model.graph.node:
        if node.op_type == removed:
            node.op_type = "Identity"
    with pytest.raises(ValueError, match=why):
        find_names(model)


def test_a_layer_of_unknown_reach_is_refused(tmp_path: Path) -> None:
    path = write_voice(tmp_path, "small")
    model = onnx.load(path)
    last = next(n for n in reversed(model.graph.node) if n.op_type == "LeakyRelu")
    last.op_type = "Softmax"
    del last.attribute[:]
    onnx.save(model, path)
    with pytest.raises(ValueError, match="Softmax whose reach is not known"):
        PiperNetwork(path)
