"""Cuts the graph of a Piper voice (VITS) into three networks, by its structure.

Exports differ in their names, numbers and versions, but not in this: there is one `Ceil`, of the
durations. Two matrix products repeat the text's two encodings (mean and logarithm of the scale) for
these durations; a `RandomNormalLike` of the repeated mean makes the latent frames, which the flow
and the decoder turn into samples. A stochastic duration predictor has a `RandomNormalLike` of its
own, which does not depend on the durations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx

from backend.engines.onnx_graph import Shapes, cut_graph
from backend.engines.piper.windows import WindowPlan, crop_windows

IDS, LENGTHS, SCALES, SPEAKER = "input", "input_lengths", "scales", "sid"
_NAMES = {IDS, LENGTHS, SCALES, SPEAKER}


@dataclass(frozen=True, slots=True)
class GraphNames:
    """The values at which the graph is cut. `noise`: of the durations; None if they have none.
    `masks`: of the frames. `sound`: what the decoder makes samples of.
    """

    duration: str
    noise: str | None
    mean: str
    log_scale: str
    latent: str
    masks: tuple[str, ...]
    sound: str
    output: str


@dataclass(frozen=True, slots=True)
class WindowPart:
    """A network over frames, `source` to `target`, with its windows."""

    model: onnx.ModelProto
    source: str
    target: str
    plan: WindowPlan


class _Graph:
    """Which values depend on which."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self.maker = {name: node for node in graph.node for name in node.output}

    def after(self, names: Iterable[str]) -> set[str]:
        """`names` and all that depend on them."""
        found = set(names)
        for node in self.nodes:
            if found & set(node.input):
                found.update(node.output)
        return found

    def before(self, name: str) -> set[str]:
        """`name` and all that it depends on."""
        found, unseen = {name}, [name]
        while unseen:
            node = self.maker.get(unseen.pop())
            fresh = set(node.input) - found if node else set()
            found |= fresh
            unseen += fresh
        return found


def check_inputs(model: onnx.ModelProto) -> None:
    """Raises `ValueError` if it does not have the inputs and the output of a Piper voice."""
    inputs = {value.name for value in model.graph.input}
    if not {IDS, LENGTHS, SCALES} <= inputs <= _NAMES or len(model.graph.output) != 1:
        raise ValueError(f"not a Piper voice: its inputs are {', '.join(sorted(inputs))}")


def find_names(model: onnx.ModelProto) -> GraphNames:
    """Find the cuts. Raises `ValueError` if the graph is not that of a Piper voice."""
    graph = _Graph(model.graph)
    check_inputs(model)
    (rounding,) = _require([n for n in graph.nodes if n.op_type == "Ceil"], "rounded durations")
    timed = graph.after(rounding.output)
    random = [n for n in graph.nodes if n.op_type in ("RandomNormalLike", "RandomNormal")]
    (draw,) = _require([n for n in random if set(n.input) & timed], "latent noise")
    noises = [n.output[0] for n in random if not set(n.input) & timed]
    if len(noises) > 1:
        raise ValueError("not a Piper voice: its durations have several noises")
    mean, log_scale = _find_encodings(graph, timed, draw)
    drawn = graph.after(draw.output)
    latent = next(n for n in graph.nodes if n.op_type == "Add" and set(n.input) & drawn).output[0]
    output = model.graph.output[0].name
    while graph.maker[output].op_type in ("Unsqueeze", "Squeeze", "Reshape"):
        output = graph.maker[output].input[0]
    return GraphNames(
        rounding.input[0],
        noises[0] if noises else None,
        mean,
        log_scale,
        latent,
        _find_masks(graph, timed, latent),
        _find_sound(graph, latent),
        output,
    )


def _require(nodes: list[onnx.NodeProto], what: str) -> list[onnx.NodeProto]:
    if len(nodes) != 1:
        raise ValueError(f"not a Piper voice: its graph has {len(nodes)} {what}, not one")
    return nodes


def _find_encodings(graph: _Graph, timed: set[str], draw: onnx.NodeProto) -> tuple[str, str]:
    """Mean and log scale of the text, [1, length, channels], before they are repeated."""
    repeats = [n for n in graph.nodes if n.op_type == "MatMul" and len(set(n.input) & timed) == 1]
    if len(repeats) != 2:
        raise ValueError("not a Piper voice: it does not repeat two encodings")
    of_mean = graph.before(draw.input[0])
    means = [n for n in repeats if n.output[0] in of_mean]
    scales = [n for n in repeats if n.output[0] not in of_mean]
    if len(means) != 1 or len(scales) != 1:
        raise ValueError("not a Piper voice: its mean and scale cannot be told apart")
    mean, scale = (
        next(name for name in node.input if name not in timed) for node in (*means, *scales)
    )
    return mean, scale


def _find_masks(graph: _Graph, timed: set[str], latent: str) -> tuple[str, ...]:
    """What the networks behind `latent` take of the durations besides: masks of the frames."""
    behind = graph.after([latent])
    taken = {
        name
        for node in graph.nodes
        if behind & set(node.input)
        for name in node.input
        if name in timed - behind
    }
    return tuple(sorted(taken - {latent}))


def _find_sound(graph: _Graph, latent: str) -> str:
    """The input of the decoder: of the last convolution before its first upsampling."""
    behind = graph.after([latent])
    ups = [n for n in graph.nodes if n.op_type == "ConvTranspose" and n.input[0] in behind]
    if not ups:
        raise ValueError("not a Piper voice: its decoder does not upsample")
    node = ups[0]
    while True:
        name = next((name for name in node.input if name in behind), latent)
        if name == latent or name not in graph.maker:
            raise ValueError("not a Piper voice: its decoder does not begin with a convolution")
        node = graph.maker[name]
        if node.op_type == "Conv":
            return str(node.input[0])


def cut_text_part(model: onnx.ModelProto, names: GraphNames) -> onnx.ModelProto:
    """Everything up to mean, log scale and duration of each phoneme."""
    shapes: dict[str, list[int | str]] = {
        IDS: [1, "L"],
        LENGTHS: [1],
        SCALES: [3],
        **_speaker(model),
    }
    if names.noise:
        shapes[names.noise] = [1, 2, "L"]
    return _cut(model, shapes, [names.mean, names.log_scale, names.duration])


def cut_window_parts(model: onnx.ModelProto, names: GraphNames) -> tuple[WindowPart, WindowPart]:
    """The flow and the decoder, over windows of frames. Changes `model`."""
    for mask in names.masks:  # a window has no padding
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(np.ones((1, 1, 1), np.float32), mask)
        )
    flow = _cut_window_part(model, names.latent, names.sound)
    return flow, _cut_window_part(model, names.sound, names.output)


def _cut_window_part(model: onnx.ModelProto, source: str, target: str) -> WindowPart:
    part = _cut(model, {source: [1, "C", "T"], **_speaker(model)}, [target])
    return WindowPart(part, source, target, crop_windows(part, source, target))


def _speaker(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    return {SPEAKER: [1]} if any(i.name == SPEAKER for i in model.graph.input) else {}


def _cut(model: onnx.ModelProto, shapes: Shapes, outputs: list[str]) -> onnx.ModelProto:
    """As `cut_graph`, without the inputs that are not used."""
    part = cut_graph(model, shapes, outputs)
    used = {name for node in part.graph.node for name in node.input}
    inputs = [value for value in part.graph.input if value.name in used]
    del part.graph.input[:]
    part.graph.input.extend(inputs)
    return part
