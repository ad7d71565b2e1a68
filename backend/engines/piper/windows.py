"""Windows of a convolutional network that are exact: how far it reaches, and where to crop.

An output of the network depends on a bounded part of its input. So a part of the output can be
rendered from a part of the input, and equals that part of the whole. What the window's edges spoil
is cropped inside the network, as soon as nothing further depends on it, and not computed again by
every later layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

_POINTWISE = frozenset(
    {"Abs", "Add", "Cast", "Clip", "Div", "Dropout", "Erf", "Exp", "Expand", "Greater", "Identity"}
    | {"LeakyRelu", "Less", "Log", "Max", "Min", "Mul", "Neg", "Not", "Pow", "Relu", "Sigmoid"}
    | {"Softplus", "Sqrt", "Sub", "Tanh", "Where"}
)
_BY_CHANNEL = frozenset(["Concat", "Split", "Slice", "Gather"])
_SHAPES = frozenset(["Shape", "ConstantOfShape", "Size"])
_GAIN = 0.5  # input steps that a crop must save
STARTS, ENDS = "crop_starts", "crop_ends"


@dataclass(frozen=True, slots=True)
class Margin:
    """The reach of a value: `steps` of it to each side, `rate` of which make an input step."""

    steps: int
    rate: int


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The input's `reach` in steps, the output's samples for each (`rate`), and the margin at each
    crop, in order.
    """

    reach: int
    rate: int
    margins: tuple[Margin, ...]

    def window(self, start: int, end: int, length: int) -> tuple[int, int]:
        """The input steps needed for the output of the steps [start, end) of `length`."""
        return max(0, start - self.reach), min(length, end + self.reach)

    def crops(self, span: tuple[int, int], length: int) -> dict[str, NDArray[np.int64]]:
        """The network's inputs that crop it to the steps `span` of `length`."""
        left, right = self.window(*span, length)
        starts, ends, before = [], [], (left, right, 1)
        for margin in (*self.margins, Margin(0, self.rate)):
            scale = margin.rate // before[2]
            begin, behind = before[0] * scale, before[1] * scale
            first = max(begin, span[0] * margin.rate - margin.steps, 0)
            last = min(behind, span[1] * margin.rate + margin.steps, length * margin.rate)
            starts.append(first - begin)
            ends.append(last - begin)
            before = (first, last, margin.rate)
        return {STARTS: np.asarray(starts, np.int64), ENDS: np.asarray(ends, np.int64)}


def crop_windows(part: onnx.ModelProto, source: str, target: str) -> WindowPlan:
    """Add crops to the network that computes `target` from `source`, both [1, channels, steps].
    Raises `ValueError` if it has a layer whose reach is not known.
    """
    graph = part.graph
    dependent = _list_dependent(graph, source)
    constants = _read_constants(graph)
    rates = _find_rates(graph, dependent, source, constants)
    reach = _find_reach(graph, dependent, (source, target), constants)
    margins: list[Margin] = []
    crops: list[str] = []
    last = float(reach[source])
    for name in _list_bottlenecks(graph, dependent, source):
        if name in (source, target) or name not in reach:
            continue
        steps = reach[name] / rates[name]
        if last - steps >= _GAIN:
            margins.append(Margin(reach[name], rates[name]))
            crops.append(name)
            last = steps
    _insert_crops(graph, [*crops, target])
    return WindowPlan(reach[source], rates[target], tuple(margins))


def _list_dependent(graph: onnx.GraphProto, source: str) -> set[str]:
    """Names of the values that depend on the content of `source`, not only on its shape."""
    dependent = {source}
    for node in graph.node:
        if node.op_type not in _SHAPES and dependent & set(node.input):
            dependent.update(node.output)
    return dependent


def _read_constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    constants = {weight.name: weight for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and (value := _attributes(node).get("value")) is not None:
            constants[node.output[0]] = value
    return constants


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _kernel(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> tuple[int, int, int]:
    """Kernel size, dilation and stride of a convolution over one axis."""
    given = _attributes(node)
    shape = given.get("kernel_shape") or list(constants[node.input[1]].dims[2:])
    if len(shape) != 1:
        raise ValueError(f"{node.name}: a convolution over {len(shape)} axes")
    dilation, stride = given.get("dilations", [1])[0], given.get("strides", [1])[0]
    return int(shape[0]), int(dilation), int(stride)


def _find_rates(
    graph: onnx.GraphProto,
    dependent: set[str],
    source: str,
    constants: dict[str, onnx.TensorProto],
) -> dict[str, int]:
    rates = {source: 1}
    for node in graph.node:
        known = [rates[name] for name in node.input if name in dependent and name in rates]
        if known and node.op_type not in _SHAPES:
            scale = _kernel(node, constants)[2] if node.op_type == "ConvTranspose" else 1
            rates.update(dict.fromkeys(node.output, max(known) * scale))
    return rates


def _find_reach(
    graph: onnx.GraphProto,
    dependent: set[str],
    ends: tuple[str, str],
    constants: dict[str, onnx.TensorProto],
) -> dict[str, int]:
    """For each value on the way to the target, how many of its steps to each side matter there."""
    source, target = ends
    reach = {target: 0}
    for node in reversed(graph.node):
        known = [reach[name] for name in node.output if name in reach]
        if not known or node.op_type in _SHAPES:
            continue
        steps = _reach_through(node, max(known), constants)
        for name in node.input:
            if name in dependent:
                reach[name] = max(reach.get(name, 0), steps)
    if source not in reach:
        raise ValueError(f"{target} does not depend on {source}")
    return reach


def _reach_through(node: onnx.NodeProto, steps: int, constants: dict[str, onnx.TensorProto]) -> int:
    if node.op_type in _POINTWISE:
        return steps
    if node.op_type == "Conv":
        size, dilation, stride = _kernel(node, constants)
        pads = _attributes(node).get("pads", [0, 0])
        before, behind = pads[0], dilation * (size - 1) - pads[0]
        if stride == 1 and sum(pads) == dilation * (size - 1):
            return steps + int(max(before, behind))
    if node.op_type == "ConvTranspose":
        size, _, stride = _kernel(node, constants)
        given = _attributes(node)
        pads, extra = given.get("pads", [0, 0]), int(given.get("output_padding", [0])[0])
        before, behind = int(pads[0]), int(pads[1])
        if size - before - behind + extra == stride:
            return ceil((steps + max(size - 1 - before, before)) / stride)
    if node.op_type in _BY_CHANNEL and _axis(node, constants) in (1, -2):
        return steps
    raise ValueError(f"{node.name}: a layer {node.op_type} whose reach is not known")


def _axis(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> int | None:
    given = _attributes(node)
    if node.op_type != "Slice":
        return int(given.get("axis", 0))
    if len(node.input) > 3 and node.input[3] in constants:
        axes = onnx.numpy_helper.to_array(constants[node.input[3]]).reshape(-1)
        return int(axes[0]) if len(axes) == 1 else None
    return None


def _list_bottlenecks(graph: onnx.GraphProto, dependent: set[str], source: str) -> Iterator[str]:
    """The values that all later ones depend on alone, in order. Values made from shapes count,
    since a crop would not reach them.
    """
    by_shape = _add_shapes(graph, dependent)
    last_use = {
        name: n for n, node in enumerate(graph.node) for name in node.input if name in by_shape
    }
    live = {source}
    for n, node in enumerate(graph.node):
        live.update(name for name in node.output if name in by_shape and last_use.get(name, -1) > n)
        live -= {name for name in node.input if last_use.get(name) == n}
        if len(live) == 1 and len(node.output) == 1 and node.output[0] in live & dependent:
            yield node.output[0]


def _add_shapes(graph: onnx.GraphProto, dependent: set[str]) -> set[str]:
    found = set(dependent)
    for node in graph.node:
        if found & set(node.input):
            found.update(node.output)
    return found


def _insert_crops(graph: onnx.GraphProto, names: list[str]) -> None:
    """Crop the values `names`; the last, which is the output, keeps its name."""
    nodes = list(graph.node)
    axis = onnx.numpy_helper.from_array(np.array([2], np.int64), "crop_axis")
    graph.initializer.append(axis)
    for n, name in enumerate(names):
        cropped, whole = f"{name}/cropped", name
        if n == len(names) - 1:
            cropped, whole = name, f"{name}/whole"
        for node in nodes:
            if whole is name:
                node.input[:] = [cropped if i == name else i for i in node.input]
            else:
                node.output[:] = [whole if o == name else o for o in node.output]
        at = next(i for i, node in enumerate(nodes) if whole in node.output) + 1
        nodes[at:at] = _crop_nodes(graph, n, whole, cropped)
    del graph.node[:]
    graph.node.extend(nodes)
    for name in (STARTS, ENDS):
        graph.input.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [len(names)])
        )


def _crop_nodes(graph: onnx.GraphProto, n: int, whole: str, cropped: str) -> list[onnx.NodeProto]:
    index = onnx.numpy_helper.from_array(np.array([n], np.int64), f"crop_index_{n}")
    graph.initializer.append(index)
    make = onnx.helper.make_node
    start, end = f"crop_start_{n}", f"crop_end_{n}"
    return [
        make("Gather", [STARTS, index.name], [start], axis=0),
        make("Gather", [ENDS, index.name], [end], axis=0),
        make("Slice", [whole, start, end, "crop_axis"], [cropped]),
    ]
