"""Plots of a run: time to first sound, quality, and typed against spoken text over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bench.harness.report import BenchReport

matplotlib.use("Agg")

OURS, THEIRS, PALE, INK = "#0072b2", "#d55e00", "#b8c4cc", "#333333"  # colour-blind safe


def plot_first_audio(report: BenchReport, path: Path) -> None:
    """Plot the time to the first audible sound against the peer and against the engine alone."""
    found = {row: result.details for row, result in report.results.items() if result.details}
    wanted = [row for row in ("peer", "latency") if row in found]
    canvas = Canvas(figsize=(5.6 * len(wanted), 4.2), layout="constrained")
    for axes, row in zip(np.atleast_1d(canvas.subplots(1, len(wanted))), wanted, strict=True):
        if row == "peer":
            _draw_peer_comparison(axes, found[row]["texts"])
        else:
            _draw_engine_comparison(axes, found[row]["samples"])
    _save_canvas(canvas, "Time to the first audible sound", report, path)


def plot_quality(report: BenchReport, path: Path) -> None:
    """Plot word errors, PLCMOS and duration of each speaking mode on the same texts."""
    ways = report.results["quality"].details["ways"]
    names = list(ways)
    canvas = Canvas(figsize=(11.2, 3.4), layout="constrained")
    left, middle, right = canvas.subplots(1, 3, sharey=True)
    _draw_bars(left, ways, "wer_percent", "word errors (%), lower is better")
    _draw_dots(middle, ways, "plcmos", "PLCMOS (1 to 5), higher is better")
    _draw_bars(right, ways, "duration_s", "audio (s)")
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    _save_canvas(canvas, "The same texts, whole or streamed while they were written", report, path)


def plot_typing(report: BenchReport, path: Path) -> None:
    """Plot one text at each typing speed: keys and speech over time."""
    takes = sorted(report.results["typing"].details["picture"], key=lambda take: -take["speed"])
    canvas = Canvas(figsize=(14, 1.5 * len(takes) + 0.6), layout="constrained")
    for axes, take in zip(np.atleast_1d(canvas.subplots(len(takes))), takes, strict=True):
        _draw_typing(axes, take)
    axes.set_xlabel("seconds from the first key (each speed has its own scale)")
    _save_canvas(canvas, "Typed and heard text over time", report, path)


def _draw_typing(axes: Axes, take: dict[str, Any]) -> None:
    """Keys above (backspaces as arrows, predicted words raised), speech below."""
    for at_s, key in take["keys"]:
        if key is None:
            shown, height, colour = "←", 1.0, THEIRS
        elif len(key) > 1:
            shown, height, colour = key, 1.25, OURS
        else:
            shown, height, colour = key, 1.0, INK
        axes.text(at_s, height, shown, size=6, color=colour, va="center")
    for number, (starts_s, ends_s, words) in enumerate(take["heard"]):
        axes.barh(0.3, ends_s - starts_s, left=starts_s, height=0.3, color=OURS, edgecolor="white")
        axes.text(starts_s, -0.1 - 0.25 * (number % 2), words, size=6, color=INK, va="center")
    last_s = max(take["keys"][-1][0], take["heard"][-1][1])
    axes.set_xlim(-0.01 * last_s, 1.06 * last_s)
    axes.set_ylim(-0.6, 1.5)
    axes.tick_params(labelsize=8)
    axes.set_yticks([0.3, 1], ["heard", "typed"])
    axes.set_title(f"{take['speed']:g} characters/s", fontsize=9, color=INK, loc="left")


def _draw_peer_comparison(axes: Axes, texts: list[dict[str, Any]]) -> None:
    ours, peer = (np.array([text[key] for text in texts]) for key in ("ours_ms", "peer_ms"))
    order = np.argsort(peer)
    rows = np.arange(len(order))
    axes.hlines(rows, ours[order], peer[order], color=PALE, linewidth=1.5, zorder=1)
    for key, label in (("ours_message_ms", "first message of either"), ("peer_message_ms", None)):
        messages = np.array([text[key] for text in texts])[order]
        axes.plot(messages, rows, "|", color=INK, markersize=6, label=label)
    axes.plot(ours[order], rows, "o", color=OURS, markersize=4.5, label="Duplex TTS")
    axes.plot(peer[order], rows, "s", color=THEIRS, markersize=4.5, label="clause-splitting peer")
    axes.set_xlim(left=0)
    axes.set_yticks([])
    axes.set_ylabel(f"{len(texts)} texts, the peer's fastest first")
    axes.set_xlabel("from the first token to the first audible sound (ms), 30 tokens/s")
    axes.legend(frameon=False, loc="lower right")
    axes.set_title("Same voice, same token stream", fontsize=10, color=INK)


def _draw_engine_comparison(axes: Axes, samples: dict[str, list[float]]) -> None:
    for key, label, colour in (
        ("engine_ms", "the engine alone", PALE),
        ("client_ms", "through the server", OURS),
    ):
        values = np.sort(samples[key])
        share = np.arange(1, len(values) + 1) / len(values) * 100
        label += f": median {np.median(values):.1f} ms"
        axes.step(values, share, where="post", color=colour, linewidth=2, label=label)
    axes.set_xlim(0, float(np.percentile(samples["client_ms"], 98)) * 1.15)
    axes.set_ylim(0, 100)
    axes.set_xlabel("from the releasing token to its audio (ms)")
    axes.set_ylabel("share of openings (%)")
    axes.legend(frameon=False, loc="upper left")
    axes.set_title("Server overhead", fontsize=10, color=INK)


def _draw_bars(axes: Axes, ways: dict[str, dict[str, float]], key: str, label: str) -> None:
    values = [way[key] for way in ways.values()]
    bars = axes.barh(range(len(values)), values, color=_bar_colours(ways), height=0.62)
    axes.bar_label(bars, fmt="%.2f" if max(values) < 20 else "%.0f", padding=3, fontsize=9)
    axes.margins(x=0.16)
    axes.set_xlabel(label)


def _draw_dots(axes: Axes, ways: dict[str, dict[str, float]], key: str, label: str) -> None:
    """Draw points instead of bars: the scale does not start at zero."""
    values = [way[key] for way in ways.values()]
    axes.scatter(values, range(len(values)), color=_bar_colours(ways), s=70, zorder=2)
    for row, value in enumerate(values):
        axes.annotate(
            f"{value:.2f}", (value, row), (0, 7), textcoords="offset points", ha="center", size=9
        )
    axes.set_xlim(np.floor(min(values) * 5) / 5 - 0.2, 5.0)
    axes.grid(axis="y", color=PALE, linewidth=0.5)
    axes.set_xlabel(label)


def _bar_colours(ways: dict[str, dict[str, float]]) -> list[str]:
    return [
        THEIRS if "alone" in name else OURS if name.startswith("streamed") else PALE
        for name in ways
    ]


def _save_canvas(canvas: Canvas, title: str, report: BenchReport, path: Path) -> None:
    for axes in canvas.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
    canvas.suptitle(f"{title} ({report.machine})", fontsize=11, color=INK)
    canvas.savefig(path, dpi=150)
