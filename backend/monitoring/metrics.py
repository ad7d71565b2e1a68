"""The server's metrics, for Prometheus and the status page.

Built once in `main` and passed down. The methods are called from the event loop, cost microseconds
and never block. No metric contains anything that a client has written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.samples import Sample

from backend.monitoring.gap_causes import CAUSES, Cause
from backend.monitoring.rolling_window import Distribution, RollingWindow

# From one engine step to a wait that users give up on; narrow around the goal of 150 ms.
_FIRST_SOUND_BUCKETS_S = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2),
    *(0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0),
)
# Below 1 the engine keeps up; the embedded voice alone on a core has 1/80.
_RTF_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 3.0)
_GAP_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# An idle event loop runs a timer up to 2 ms late; 20 ms is a frame of audio.
_LOOP_LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class GapFigures:
    """Number and total duration of the gaps of one cause."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The metrics' current values. Counters count from the start of the server; the distributions
    cover the last minutes. `underruns`: all `gaps` except those waiting for text.
    """

    connections: int
    contexts: int
    characters: int
    audio_s: float
    compute_s: float
    underruns: int
    gaps: dict[Cause, GapFigures]
    cancels: int
    errors: dict[str, int]
    memory_bytes: int
    first_sound_s: Distribution
    loop_lag_s: Distribution


class Metrics:
    """Counters, gauges and histograms. Exported as `duplex_tts_…`; times in seconds."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, for the distributions of the last minutes."""
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._connections = Gauge("duplex_tts_connections", "Open connections.", registry=registry)
        self._contexts = Gauge("duplex_tts_contexts", "Contexts alive.", registry=registry)
        self._queue_depth = Gauge(
            "duplex_tts_queue_depth",
            "Queue lengths: characters not yet rendered (text), utterances waiting for an engine "
            "(engine), messages waiting to be sent (outgoing).",
            ["queue"],
            registry=registry,
        )
        self._device_used = Gauge(
            "duplex_tts_device_memory_used_bytes",
            "GPU memory used by the server.",
            ["device"],
            registry=registry,
        )
        self._device_total = Gauge(
            "duplex_tts_device_memory_total_bytes",
            "Total GPU memory.",
            ["device"],
            registry=registry,
        )
        self._engine_memory = Gauge(
            "duplex_tts_engine_memory_bytes",
            "Device memory by use: weights, slots of utterances, pools of CUDA graphs, and what is "
            "free.",
            ["use"],
            registry=registry,
        )
        self._slots = Gauge(
            "duplex_tts_engine_slots",
            "Utterances that the engine advances (used), and can advance (total).",
            ["state"],
            registry=registry,
        )
        self._loaded = Gauge(
            "duplex_tts_engine_loaded", "0 while the weights are off the device.", registry=registry
        )
        self._loaded.set(1)
        self._up = Gauge(
            "duplex_tts_engine_up",
            "0 once the engine can render nothing more.",
            ["engine"],
            registry=registry,
        )
        self._healthy = Gauge(
            "duplex_tts_engine_healthy", "0 if the last health check failed.", registry=registry
        )
        self._healthy.set(1)
        self._recent_first_sound = RollingWindow(_FIRST_SOUND_BUCKETS_S, clock)
        self._recent_loop_lag = RollingWindow(_LOOP_LAG_BUCKETS_S, clock)
        self._create_histograms(registry)
        self._create_counters(registry)

    def _create_histograms(self, registry: CollectorRegistry) -> None:
        self._first_sound = Histogram(
            "duplex_tts_first_sound_seconds",
            "From a context's first speakable words to their first audible sample.",
            buckets=_FIRST_SOUND_BUCKETS_S,
            registry=registry,
        )
        self._rtf = Histogram(
            "duplex_tts_rtf",
            "Compute time per second of audio, by engine step.",
            buckets=_RTF_BUCKETS,
            registry=registry,
        )
        self._loop_lag = Histogram(
            "duplex_tts_event_loop_lag_seconds",
            "How late the event loop runs a timer.",
            buckets=_LOOP_LAG_BUCKETS_S,
            registry=registry,
        )

    def _create_counters(self, registry: CollectorRegistry) -> None:
        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(f"duplex_tts_{name}", documentation, labels, registry=registry)

        self._audio_s = counter("audio_seconds", "Audio rendered.")
        self._busy_s = counter("compute_seconds", "Time that engines took to render it.")
        self._characters = counter("characters", "Characters of text received.")
        self._underruns = counter("underruns", "Gaps that a live listener heard.", "cause")
        self._gap_s = Histogram(
            "duplex_tts_gap_seconds",
            "Duration of the gaps that live listeners heard.",
            ["cause"],
            buckets=_GAP_BUCKETS_S,
            registry=registry,
        )
        for cause in CAUSES:  # exported as 0 before the first gap, so that rates see it
            self._underruns.labels(cause)
            self._gap_s.labels(cause)
        self._cancels = counter("cancels", "Contexts cancelled.")
        self._errors = counter("errors", "Errors sent to clients, by code.", "code")
        self._lost_threads = counter("engine_threads_lost", "Engine threads given up: hanging.")
        self._health_checks = counter(
            "health_checks", "Renders that checked an idle engine: ok or failed.", "outcome"
        )
        self._resumes = counter(
            "resumes",
            "Attempts to resume a session: ok, with a gap, or failed.",
            "outcome",
        )

    def connection_opened(self) -> None:
        """Count an open connection."""
        self._connections.inc()

    def connection_closed(self) -> None:
        """Count a closed connection."""
        self._connections.dec()

    def context_opened(self) -> None:
        """Count a new context."""
        self._contexts.inc()

    def context_closed(self) -> None:
        """Count a context that is done, cancelled or gone with its connection."""
        self._contexts.dec()

    def set_queue_depths(self, *, text: int, engine: int, outgoing: int) -> None:
        """Set the number of characters not yet spoken, utterances waiting for an engine, and
        messages waiting to be sent.
        """
        self._queue_depth.labels("text").set(text)
        self._queue_depth.labels("engine").set(engine)
        self._queue_depth.labels("outgoing").set(outgoing)

    def set_device_memory(self, name: str, used_bytes: int, total_bytes: int) -> None:
        """Set the engine's GPU, and how much of its memory the server uses."""
        self._device_used.labels(name).set(used_bytes)
        self._device_total.labels(name).set(total_bytes)

    def set_engine_memory(self, bytes_by_use: Mapping[str, int | None]) -> None:
        """Set what the engine's memory is used for; None: unknown."""
        for use, amount in bytes_by_use.items():
            if amount is not None:
                self._engine_memory.labels(use).set(amount)

    def set_slots(self, *, used: int, total: int) -> None:
        """Set the engine's slots."""
        self._slots.labels("used").set(used)
        self._slots.labels("total").set(total)

    def set_engine_loaded(self, *, loaded: bool) -> None:
        """Set whether the engine's weights are on its device."""
        self._loaded.set(loaded)

    def set_engine_up(self, name: str, *, up: bool) -> None:
        """Set whether an engine can render: it is not dead."""
        self._up.labels(name).set(up)

    def count_text(self, characters: int) -> None:
        """Count characters received."""
        self._characters.inc(characters)

    def observe_first_sound(self, seconds: float) -> None:
        """Record the time from a context's first speakable words to its first audible sample."""
        self._first_sound.observe(seconds)
        self._recent_first_sound.observe(seconds)

    def count_step(self, audio_s: float, busy_s: float) -> None:
        """Count an engine step: `audio_s` of audio in `busy_s`. A step without audio has no RTF."""
        self._audio_s.inc(audio_s)
        self._busy_s.inc(busy_s)
        if audio_s > 0:
            self._rtf.observe(busy_s / audio_s)

    def count_gap(self, cause: Cause, seconds: float) -> None:
        """Count a gap that a live listener heard."""
        self._underruns.labels(cause).inc()
        self._gap_s.labels(cause).observe(seconds)

    def count_lost_thread(self) -> None:
        """Count an engine thread that hung and was abandoned."""
        self._lost_threads.inc()

    def count_health_check(self, *, ok: bool) -> None:
        """Count a render that checked an idle engine."""
        self._health_checks.labels("ok" if ok else "failed").inc()
        self._healthy.set(ok)

    def count_cancel(self) -> None:
        """Count a context cancelled by its client."""
        self._cancels.inc()

    def count_error(self, code: str) -> None:
        """Count an error sent with this code of `errors`."""
        self._errors.labels(code).inc()

    def count_resume(self, outcome: Literal["ok", "gap", "failed"]) -> None:
        """Count an attempt to resume a session."""
        self._resumes.labels(outcome).inc()

    def observe_loop_lag(self, seconds: float) -> None:
        """Record how late the event loop ran a timer."""
        self._loop_lag.observe(seconds)
        self._recent_loop_lag.observe(seconds)

    def figures(self) -> Figures:
        """The current values in one object."""
        samples = [sample for family in self._registry.collect() for sample in family.samples]
        values = {sample.name: sample.value for sample in samples}
        errors = "duplex_tts_errors_total"
        gaps = self._gaps(samples)
        return Figures(
            connections=int(values["duplex_tts_connections"]),
            contexts=int(values["duplex_tts_contexts"]),
            characters=int(values["duplex_tts_characters_total"]),
            audio_s=values["duplex_tts_audio_seconds_total"],
            compute_s=values["duplex_tts_compute_seconds_total"],
            underruns=sum(gap.count for cause, gap in gaps.items() if cause != "text_late"),
            gaps=gaps,
            cancels=int(values["duplex_tts_cancels_total"]),
            errors={s.labels["code"]: int(s.value) for s in samples if s.name == errors},
            memory_bytes=int(values.get("process_resident_memory_bytes", 0)),
            first_sound_s=self._recent_first_sound.distribution(),
            loop_lag_s=self._recent_loop_lag.distribution(),
        )

    @staticmethod
    def _gaps(samples: Sequence[Sample]) -> dict[Cause, GapFigures]:
        by_name = {(s.name, s.labels.get("cause")): s.value for s in samples}
        name = "duplex_tts_gap_seconds"
        return {
            cause: GapFigures(int(by_name[f"{name}_count", cause]), by_name[f"{name}_sum", cause])
            for cause in CAUSES
        }

    def render(self) -> bytes:
        """The metrics in Prometheus' text format; its HTTP type is `content_type`."""
        return generate_latest(self._registry)
