from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hibari import Hibari
from hibari.voices import ASSETS

from backend.engines.hibari.network import FRAME_REACH, PITCH_REACH, UNIT_FRAMES, Network

BUNDLED = Path(ASSETS) / "hibari.onnx"
# Rounding error of the quantised weights, of values about 5, mostly natural logarithms of
# amplitudes: less than a decibel. It differs between processors.
SAME_FRAMES = 0.1


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(BUNDLED)


@pytest.fixture(scope="module")
def package() -> Hibari:
    return Hibari()


def test_the_stages_together_give_the_packages_output(network: Network, package: Hibari) -> None:
    ids = package.ids(package.g2p("The library opens at nine, but not on Sundays."))
    for speed in (1.0, 1.5):
        whole = package.sess.run(
            None,
            {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)},
        )
        encoding = network.encode(ids)
        units = np.maximum(np.round(encoding.duration / speed), 1).astype(int)
        f0, energy = network.pitch(encoding.prosody.repeat(units, 0))
        frames = network.frames(encoding.content.repeat(units, 0), f0, energy)
        assert np.abs(f0 - whole[5][0]).mean() < 0.5
        expected = np.concatenate([part[0].T for part in whole[:5]], axis=1)
        assert np.abs(frames - expected).mean() < SAME_FRAMES


def test_a_window_with_its_reach_gives_the_output_of_the_whole(
    network: Network, package: Hibari
) -> None:
    ids = package.ids(
        package.g2p("The library opens at nine, but not on any of the Sundays in May.")
    )
    encoding = network.encode(ids)
    units = np.maximum(np.round(encoding.duration), 1).astype(int)
    content, prosody = encoding.content.repeat(units, 0), encoding.prosody.repeat(units, 0)
    f0, energy = network.pitch(prosody)
    frames = network.frames(content, f0, energy)
    start, end = PITCH_REACH, PITCH_REACH + 12
    near = slice(start - PITCH_REACH, end + PITCH_REACH)
    part, _ = network.pitch(prosody[near])
    inner = slice(PITCH_REACH * UNIT_FRAMES, (PITCH_REACH + 12) * UNIT_FRAMES)
    assert np.abs(part[inner] - f0[start * UNIT_FRAMES : end * UNIT_FRAMES]).mean() < 2
    left, right = start - FRAME_REACH, end + FRAME_REACH
    window = slice(left * UNIT_FRAMES, right * UNIT_FRAMES)
    some = network.frames(content[left:right], f0[window], energy[window])
    inner = slice(FRAME_REACH * UNIT_FRAMES, (FRAME_REACH + 12) * UNIT_FRAMES)
    assert (
        np.abs(some[inner] - frames[start * UNIT_FRAMES : end * UNIT_FRAMES]).mean() < SAME_FRAMES
    )


def test_another_graph_is_refused(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, [1])
    node = onnx.helper.make_node("Identity", ["ids"], ["same"])
    out = onnx.helper.make_tensor_value_info("same", onnx.TensorProto.INT64, [1])
    graph = onnx.helper.make_graph([node], "other", [value], [out])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(ValueError, match="not a voice of this kind"):
        Network(tmp_path / "other.onnx")
