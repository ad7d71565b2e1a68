"""A small voice with random weights and the structure of Piper's graphs, for any language.

It makes noises, not speech, but has all that the engine cuts and counts: an attention over the text
(so that later words change earlier ones), durations, two encodings repeated for them, their noise,
a flow with masks, and a decoder that upsamples. A speaker conditions durations, flow and decoder.
Phonemes of any language are in its alphabet.

    python -m tests.support.piper.stand_in_voice FOLDER NAME [--language de_DE] [--speakers 2]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HOP = 256
CHANNELS, HIDDEN = 8, 16
# Letters, digits and marks, IPA, modifiers, accents: more than any Piper voice has.
_RANGES = ((0x20, 0x7F), (0xA1, 0x100), (0x250, 0x370), (0x3B1, 0x3CA), (0x1D00, 0x1DC0))
_EXTRA = "œŋħøæβθχᵻⱱ↓↑→↗↘"


@dataclass(frozen=True, slots=True)
class StandIn:
    """What the voice is like. `espeak`: "" for one that reads letters. `is_cuttable`: whether its
    decoder is of layers with a known reach.
    """

    language: str = "en_US"
    espeak: str = "en-us"
    speakers: int = 1
    sample_rate_hz: int = 22_050
    stochastic: bool = True
    is_cuttable: bool = True
    seed: int = 0


def write_voice(folder: Path, name: str, kind: StandIn | None = None) -> Path:
    """Write `name.onnx` and `name.onnx.json` to `folder`. Returns the former's path."""
    kind = kind or StandIn()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    onnx.save(_Builder(kind).build(), path)
    config = path.with_name(f"{path.name}.json")
    config.write_text(json.dumps(describe_voice(kind), ensure_ascii=False), encoding="utf-8")
    return path


def describe_voice(kind: StandIn) -> dict[str, Any]:
    """What stands in the file beside the voice."""
    characters = [chr(c) for first, behind in _RANGES for c in range(first, behind)]
    alphabet = dict.fromkeys("_^$" + "".join(characters) + _EXTRA)
    return {
        "audio": {"sample_rate": kind.sample_rate_hz, "quality": "medium"},
        "espeak": {"voice": kind.espeak or "en-us"},
        "phoneme_type": "espeak" if kind.espeak else "text",
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_id_map": {sound: [n] for n, sound in enumerate(alphabet)},
        "num_symbols": len(alphabet),
        "num_speakers": kind.speakers,
        "speaker_id_map": {f"s{n}": n for n in range(kind.speakers)} if kind.speakers > 1 else {},
        "language": {"code": kind.language},
    }


class _Builder:
    """Adds one layer after another to a graph."""

    def __init__(self, kind: StandIn) -> None:
        self._kind = kind
        self._random = np.random.default_rng(kind.seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._speaker = ""

    def build(self) -> onnx.ModelProto:
        inputs = [
            helper.make_tensor_value_info("input", TensorProto.INT64, ["batch", "phonemes"]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ]
        if self._kind.speakers > 1:
            inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, ["batch"]))
        self._add_graph()
        output = helper.make_tensor_value_info(
            "output", TensorProto.FLOAT, ["batch", 1, 1, "samples"]
        )
        graph = helper.make_graph(self._nodes, "stand-in", inputs, [output], self._weights)
        opset = helper.make_opsetid("", 15)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        onnx.checker.check_model(model)
        return model

    def _add_graph(self) -> None:
        if self._kind.speakers > 1:
            voice = self.op("Gather", self.weight((self._kind.speakers, HIDDEN), 1.0), "sid")
            self._speaker = self.op("Unsqueeze", voice, self.integers([2]))
        scale = [self.op("Gather", "scales", self.integer(n)) for n in range(3)]
        hidden = self._encode_text()
        stats = self.conv(hidden, HIDDEN, 2 * CHANNELS, 1)
        mean, log_scale = self.ops("Split", 2, stats, axis=1)
        duration = self.op("Mul", self._find_durations(hidden, scale[2]), scale[1])
        path, mask = self._repeat(self.op("Ceil", duration))
        latents = [
            self.op("Transpose", self.op("MatMul", path, turned), perm=[0, 2, 1])
            for turned in (self.op("Transpose", x, perm=[0, 2, 1]) for x in (mean, log_scale))
        ]
        noise = self.op("RandomNormalLike", latents[0])
        noise = self.op("Mul", self.op("Mul", noise, self.op("Exp", latents[1])), scale[0])
        sound = self.op("Mul", self._flow(self.op("Add", latents[0], noise), mask), mask)
        samples = self._decode(sound)
        self._nodes.append(helper.make_node("Unsqueeze", [samples, self.integers([1])], ["output"]))

    def _encode_text(self) -> str:
        symbols = self.weight((1024, HIDDEN), 1.0)
        x = self.op("Gather", symbols, "input")
        attention = self.op("MatMul", x, self.op("Transpose", x, perm=[0, 2, 1]))
        attention = self.op("Softmax", self.op("Mul", attention, self.real(0.2)), axis=-1)
        x = self.op("Add", x, self.op("Mul", self.op("MatMul", attention, x), self.real(0.1)))
        return self.conv(self.op("Transpose", x, perm=[0, 2, 1]), HIDDEN, HIDDEN, 3)

    def _find_durations(self, hidden: str, noise_w: str) -> str:
        hidden = self._condition(hidden, HIDDEN)
        log_duration = self.op("Add", self.conv(hidden, HIDDEN, 1, 1, 0.05), self.real(0.9))
        if self._kind.stochastic:
            both = self.conv(hidden, HIDDEN, 2, 1)
            noise = self.op("Mul", self.op("RandomNormalLike", both), noise_w)
            drawn = self.op("ReduceMean", noise, axes=[1], keepdims=1)
            log_duration = self.op("Add", log_duration, self.op("Mul", drawn, self.real(0.3)))
        return self.op("Exp", log_duration)

    def _repeat(self, duration: str) -> tuple[str, str]:
        """The path [1, frames, phonemes] that repeats each phoneme, and the mask of the frames."""
        ends = self.op("CumSum", duration, self.integer(2))
        starts = self.op("Sub", ends, duration)
        total = self.op("ReduceSum", duration, keepdims=0)
        frames = self.op("Range", self.real(0.0), total, self.real(1.0))
        frames = self.op("Unsqueeze", frames, self.integers([0, 2]))
        begun = self.op("GreaterOrEqual", frames, starts)
        inside = self.op("And", begun, self.op("Less", frames, ends))
        path = self.op("Cast", inside, to=TensorProto.FLOAT)
        mask = self.op("Less", self.op("Transpose", frames, perm=[0, 2, 1]), total)
        return path, self.op("Cast", mask, to=TensorProto.FLOAT)

    def _flow(self, x: str, mask: str) -> str:
        for _ in range(2):
            kept, changed = self.ops("Split", 2, x, axis=1)
            shift = self._gate(self.conv(self.op("Mul", kept, mask), CHANNELS // 2, 2 * HIDDEN, 5))
            shift = self.op("Mul", self.conv(shift, HIDDEN, CHANNELS // 2, 1), mask)
            x = self.op("Concat", kept, self.op("Sub", changed, shift), axis=1)
            ends = (
                self.integers([-1]),
                self.integers([-(2**31)]),
                self.integers([1]),
                self.integers([-1]),
            )
            x = self.op("Slice", x, *ends)
        return x

    def _condition(self, x: str, channels: int) -> str:
        """`x`, moved by what the speaker is like."""
        if not self._speaker:
            return x
        return self.op("Add", x, self.conv(self._speaker, HIDDEN, channels, 1))

    def _gate(self, x: str) -> str:
        """As WaveNet's layers: the speaker is cut in two, too."""
        x = self._condition(x, 2 * HIDDEN)
        halves = [
            self.op("Slice", x, *(self.integers([n]) for n in (start, start + HIDDEN, 1)))
            for start in (0, HIDDEN)
        ]
        return self.op("Mul", self.op("Tanh", halves[0]), self.op("Sigmoid", halves[1]))

    def _decode(self, x: str) -> str:
        x = self._condition(self.conv(x, CHANNELS, HIDDEN, 7), HIDDEN)
        for _ in range(4):
            up = self.weight((HIDDEN, HIDDEN, 8), 0.35)
            x = self.op("LeakyRelu", x, alpha=0.1)
            x = self.op("ConvTranspose", x, up, strides=[4], pads=[2, 2], kernel_shape=[8])
            x = self.op("Add", x, self.conv(self.op("LeakyRelu", x), HIDDEN, HIDDEN, 3, dilation=2))
        if not self._kind.is_cuttable:
            x = self.op("Softmax", x, axis=1)
        return self.op("Tanh", self.conv(x, HIDDEN, 1, 7, 0.1))

    def conv(
        self, x: str, channels: int, out: int, size: int, scale: float = 1.0, *, dilation: int = 1
    ) -> str:
        weight = self.weight((out, channels, size), scale / (channels * size) ** 0.5)
        pad = dilation * (size - 1) // 2
        return self.op(
            "Conv", x, weight, kernel_shape=[size], pads=[pad, pad], dilations=[dilation]
        )

    def weight(self, shape: Sequence[int], scale: float) -> str:
        return self._store(self._random.normal(0, scale, shape).astype(np.float32))

    def integer(self, value: int) -> str:
        return self._store(np.asarray(value, np.int64))

    def integers(self, values: Sequence[int]) -> str:
        return self._store(np.asarray(values, np.int64))

    def real(self, value: float) -> str:
        return self._store(np.asarray(value, np.float32))

    def _store(self, value: Any) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(value, name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        outputs = [f"v{len(self._nodes)}_{n}" for n in range(count)]
        self._nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a stand-in voice.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--language", default="en_US")
    parser.add_argument("--espeak", default="en-us")
    parser.add_argument("--speakers", type=int, default=1)
    given = parser.parse_args()
    kind = StandIn(given.language, given.espeak, given.speakers)
    print(write_voice(given.folder, given.name, kind))


if __name__ == "__main__":
    main()
