"""Set up the Chatterbox benchmark, with real or random weights, and plot its results."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure as Canvas

from backend.config import ChatterboxSettings
from backend.doctor.machine import machine_name
from backend.engines.weights import WEIGHTS, weights_folder
from bench.harness.plots import OURS, THEIRS
from bench.harness.report import BenchReport

if TYPE_CHECKING:
    from bench.chatterbox.engine_bench import ChatterboxBench

ENGINES = tuple(WEIGHTS)


class MissingPrerequisite(Exception):
    """A package, device or download is missing; the message says what to run."""


def prepare(engine: str, device: str, *, random_weights: bool) -> tuple[str, ChatterboxBench]:
    """The machine's name (on CUDA the GPU's) and the benchmark. Blocks (half a minute). Raises
    `MissingPrerequisite`.
    """
    try:
        import torch

        from backend.engines.chatterbox.model import ChatterboxModel
        from backend.engines.chatterbox.upstream import load_upstream
        from bench.chatterbox.engine_bench import BenchPlan, ChatterboxBench
        from bench.chatterbox.random_weights import random_upstream
    except ImportError as error:
        raise MissingPrerequisite(
            f"{engine} needs {error.name}: make install-chatterbox"
        ) from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise MissingPrerequisite("torch finds no CUDA device; use --device cpu")
    folder = weights_folder(engine)
    if not random_weights and WEIGHTS[engine].missing_files(folder):
        raise MissingPrerequisite(
            f"no weights found; run duplex-tts download {engine}, or use --random-weights"
        )
    upstream = random_upstream(engine, device) if random_weights else load_upstream(folder, device)
    voices = Path(tempfile.gettempdir()) / "no voices"
    on_cuda = device.startswith("cuda")
    slots = max(BenchPlan().streams) if on_cuda else 4
    model = ChatterboxModel(upstream, ChatterboxSettings(slots=slots), voices)
    name = str(torch.cuda.get_device_name(device)) if on_cuda else machine_name()
    text = "Good day to you."
    small = BenchPlan((1, 4), (1,), tokens=8, seconds=4.0, texts=(text,), warm_ups=1)
    return name, ChatterboxBench(model, upstream, BenchPlan() if on_cuda else small)


def plot_results(report: BenchReport, path: Path) -> None:
    """Plot time per token by batch size, and first audio by live streams."""
    tokens = report.results["tokens"].details["batches"]
    live = report.results["live"].details["live"]
    canvas = Canvas(figsize=(9.6, 3.8), layout="constrained")
    left, right = canvas.subplots(1, 2)
    left.plot([each["batch"] for each in tokens], [each["token_ms"] for each in tokens], "o-")
    left.set_xlabel("concurrent sessions")
    left.set_ylabel("ms per token")
    counts = np.array([each["streams"] for each in live])
    for name, colour in (("p50", OURS), ("p95", THEIRS)):
        values = [each[f"first_{name}_ms"] for each in live]
        right.plot(counts, values, "o-", color=colour, label=name)
    right.set_xlabel("live streams")
    right.set_ylabel("first audio (ms)")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.set_ylim(bottom=0)
    canvas.suptitle(f"Chatterbox on {report.machine}", fontsize=11)
    canvas.savefig(path, dpi=120)
