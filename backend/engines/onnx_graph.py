"""Parts of an ONNX graph, and what can be computed before it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

Array = NDArray[Any]

_LENGTHS = (17, 29)  # any two

Shapes = Mapping[str, Sequence[int | str]]


def cut_graph(model: onnx.ModelProto, inputs: Shapes, outputs: list[str]) -> onnx.ModelProto:
    """The part of the graph that computes the floats `outputs` from `inputs`, in graph order.
    Inputs of the whole graph keep their types, others are floats. Raises `ValueError` if there is
    no such part.
    """
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    weights = {weight.name: weight for weight in graph.initializer}
    needed_nodes: set[str] = set()
    needed_weights: dict[str, onnx.TensorProto] = {}
    open_names = list(outputs)
    while open_names:
        name = open_names.pop()
        if name in weights:
            needed_weights[name] = weights[name]
        elif name and name not in inputs:
            if name not in maker:
                raise ValueError(f"not a voice of this kind: its graph has no {name}")
            if maker[name].output[0] not in needed_nodes:
                needed_nodes.add(maker[name].output[0])
                open_names.extend(maker[name].input)
    return onnx.helper.make_model(
        onnx.helper.make_graph(
            [node for node in graph.node if node.output[0] in needed_nodes],
            graph.name,
            [_declare(graph, name, shape) for name, shape in inputs.items()],
            [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in outputs],
            list(needed_weights.values()),
        ),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )


def add_shape_constants(model: onnx.ModelProto, feed: Callable[[int], dict[str, Array]]) -> None:
    """Add weights for the values that the graph computes from the shapes of its tensors only, where
    these do not depend on the length of its input. `cut_graph` then leaves out their nodes.

    `feed`: inputs of a given length. The length itself within the shape that a `Reshape` makes
    becomes -1, which means the same there.
    """
    names = _list_shape_values(model.graph)
    users: dict[str, set[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    short, long = (_evaluate(model, names, feed(length)) for length in _LENGTHS)
    for name, value, other in zip(names, short, long, strict=True):
        changes = value != other
        is_new_shape = users[name] == {"Reshape"} and np.count_nonzero(changes) == 1
        if is_new_shape or not np.any(changes):
            constant = np.where(changes, np.array(-1, value.dtype), value)
            model.graph.initializer.append(onnx.numpy_helper.from_array(constant, name))


def _list_shape_values(graph: onnx.GraphProto) -> list[str]:
    """Names of the values that depend on nothing but shapes and constants."""
    constant = {weight.name for weight in graph.initializer}
    derived: set[str] = set()
    for node in graph.node:
        if node.op_type == "Constant":
            constant.update(node.output)
        elif node.op_type == "Shape" or (
            derived & set(node.input) and derived | constant >= set(node.input)
        ):
            derived.update(node.output)
    return [name for node in graph.node for name in node.output if name in derived]


def _evaluate(
    model: onnx.ModelProto, names: list[str], inputs: dict[str, Array]
) -> Sequence[Array]:
    with_values = onnx.ModelProto()
    with_values.CopyFrom(model)
    with_values.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        with_values.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    values: Sequence[Array] = session.run(names, inputs)
    return values


def _declare(graph: onnx.GraphProto, name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    kinds = (i.type.tensor_type.elem_type for i in graph.input if i.name == name)
    kind = next(kinds, onnx.TensorProto.FLOAT)
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def create_session(
    part: onnx.ModelProto, disabled_optimizers: Sequence[str] = ()
) -> ort.InferenceSession:
    """A session that computes on the calling thread. `disabled_optimizers`: of ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Every length is a new shape: an arena would keep the largest block of each kind forever.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    session = ort.InferenceSession(
        part.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(disabled_optimizers),
    )
    session._model_bytes = b""  # kept for other providers: the weights a second time
    return session
