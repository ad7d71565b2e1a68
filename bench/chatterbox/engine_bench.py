"""Chatterbox without a server: tokens, live streams, and upstream on the same sentence.

Speech is ended at the expected length of its text, so random weights measure like real ones.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch

from backend.engines.base import Chunk, Release, Utterance
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.speech_tokens import speech_limits
from backend.engines.chatterbox.speech_tokens.decoder import BURST, TokenSession
from backend.engines.chatterbox.speech_tokens.sampling import Sampling
from backend.engines.chatterbox.text.speech_length import expected_tokens
from bench.chatterbox.live_listeners import SENTENCES, LiveResult, run_listeners, run_requests
from bench.chatterbox.random_weights import quiet
from bench.harness.report import Figure, Result

_COPY_BYTES = 1 << 28
_ENDLESS = 1 << 30
_SOUNDS = 6561  # ids of speech tokens from here on are not sound
_GOALS = {  # for an H100-class GPU
    ("chatterbox-turbo", "token"): 1.3,
    ("chatterbox", "token"): 2.0,
    ("chatterbox-turbo", "first 1 p50"): 40.0,
    ("chatterbox-turbo", "first 32 p50"): 65.0,
    ("chatterbox", "first 32 p50"): 150.0,
    ("chatterbox-turbo", "requests p95"): 120.0,
    ("chatterbox-turbo", "interrupted"): 1.0,
    ("chatterbox-turbo", "streams"): 128.0,
}

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """How much to measure."""

    batches: tuple[int, ...] = (1, 4, 16, 64)
    streams: tuple[int, ...] = (1, 16, 32, 64, 128, 256)
    requests_per_s: float = 20.0
    tokens: int = 64
    seconds: float = 8.0
    texts: tuple[str, ...] = SENTENCES
    warm_ups: int = 2  # a shape is captured at its second run


class ChatterboxBench:
    """The benchmark's rows for one model; each blocks until measured."""

    def __init__(self, model: ChatterboxModel, upstream: Any, plan: BenchPlan) -> None:
        self._model = model
        self._upstream = upstream
        self._plan = plan
        self._device = torch.device(upstream.device)
        with quiet():
            self._engine = model.create_engine()

    def rows(self) -> dict[str, tuple[str, Callable[[Progress], Result]]]:
        """Label and measuring function of each row, by name."""
        return {
            "tokens": ("speech tokens", self.measure_tokens),
            "requests": ("requests by a clock", self.measure_requests),
            "live": ("live streams", self.measure_live),
            "upstream": ("against upstream's generate()", self.measure_upstream),
        }

    # --- tokens -----------------------------------------------------------------------------------

    def measure_tokens(self, progress: Progress) -> Result:
        """Milliseconds per token at several batch sizes, and the share of memory bandwidth."""
        bandwidth = measure_bandwidth(self._device)
        figures, details = [], []
        batches = [n for n in self._plan.batches if n <= self._engine._parts.decoder.free_slots]
        for n, count in enumerate(batches, 1):
            token_ms, read_bytes = self._time_decoding(count)
            share = read_bytes / (token_ms / 1000) / bandwidth
            goal = self._goal("token") if count == 1 else math.nan
            note = f"{share:.0%} of the memory bandwidth"
            name = f"time per token, batch {count}"
            figures.append(Figure(name, token_ms, goal, True, " ms", note))
            details.append({"batch": count, "token_ms": token_ms, "bandwidth_share": share})
            progress(n / len(batches))
        return Result(figures, {"batches": details, "copy_bytes_per_s": bandwidth})

    def _time_decoding(self, count: int) -> tuple[float, float]:
        """Milliseconds per step and the bytes it must read, after warm-up: libraries allocate and
        graphs are captured in the first runs.
        """
        for _ in range(self._plan.warm_ups):
            self._time_steps(count)
        return self._time_steps(count)

    def _time_steps(self, count: int) -> tuple[float, float]:
        parts, sessions = self._engine._parts, []
        voice = self._model.conditioning(self._model.default_voice)
        prefix = parts.voices.prefix(voice, 0.5)
        for seed in range(count):
            generator = torch.Generator(self._device).manual_seed(seed)
            session = TokenSession(Sampling(), generator, min_tokens=_ENDLESS)
            parts.decoder.join(session, prefix, parts.tokens(self._plan.texts[0]).tokens)
            sessions.append(session)
        start_s = time.perf_counter()
        for _ in range(0, self._plan.tokens, BURST):
            parts.decoder.advance(sessions, [BURST] * count)
        token_ms = (time.perf_counter() - start_s) * 1000 / len(sessions[0].tokens)
        read_bytes = self._read_bytes(sessions)
        for session in sessions:
            parts.decoder.leave(session)
        return token_ms, read_bytes

    def _read_bytes(self, sessions: list[TokenSession]) -> float:
        t3 = self._upstream.t3
        weights = [*t3.tfmr.parameters(), *t3.speech_head.parameters()]
        size = weights[0].element_size()
        rows = 1 if t3.is_gpt else 2
        layers = len(t3.tfmr.h if t3.is_gpt else t3.tfmr.layers)
        positions = sum(session.position for session in sessions) * rows
        cached = 2 * layers * positions * t3.cfg.hidden_size
        return float(size * (sum(each.numel() for each in weights) + cached))

    # --- requests ---------------------------------------------------------------------------------

    def measure_requests(self, progress: Progress) -> Result:
        """First sound and underruns of requests that come by a clock."""
        plan, per_s = self._plan, self._plan.requests_per_s
        with force_speech_length():
            run_requests(self._engine, per_s, plan.seconds / 4, plan.texts)
            live = run_requests(self._engine, per_s, plan.seconds, plan.texts)
        progress(1.0)
        p50_ms, p95_ms = (float(np.percentile(live.first_ms, p)) for p in (50, 95))
        interrupted = 100 * len(live.interrupted) / len(live.first_ms)
        label, note = f"{per_s:g} requests a second", f"{len(live.first_ms)} requests"
        unit, late = " ms", "requests with an underrun"
        figures = [
            Figure(f"first sound p50, {label}", p50_ms, math.nan, True, unit, note),
            Figure(f"first sound p95, {label}", p95_ms, self._goal("requests p95"), True, unit),
            Figure(f"{late}, {label}", interrupted, self._goal("interrupted"), True, " %"),
        ]
        details = {"per_s": per_s, "first_ms": live.first_ms, "interrupted": interrupted}
        return Result(figures, {"requests": details})

    # --- live streams -----------------------------------------------------------------------------

    def measure_live(self, progress: Progress) -> Result:
        """First sound and underruns at several numbers of concurrent listeners."""
        figures: list[Figure] = []
        details: list[dict[str, float]] = []
        most = 0
        for n, count in enumerate(self._plan.streams, 1):
            if count > self._engine._parts.decoder.free_slots:
                break
            live = self._run_listeners(count)
            details.append({"streams": count, "underruns": live.underruns})
            measured = (
                ("first", "p50", "first sound p50", live.first_ms),
                ("first", "p95", "first sound p95", live.first_ms),
                ("cancel", "p95", "cancel p95, including the current step", live.cancel_ms),
            )
            for what, p, label, values in measured:
                value = float(np.percentile(values, int(p[1:])))
                goal, note = self._goal(f"{what} {count} {p}"), f"{len(values)} samples"
                figures.append(Figure(f"{label}, {count} live", value, goal, True, " ms", note))
                details[-1][f"{what}_{p}_ms"] = value
            most = count if not live.underruns else most
            progress(n / len(self._plan.streams))
        figures.append(Figure("streams without an underrun", most, self._goal("streams"), False))
        figures.append(Figure("memory", self._memory_gb(), math.nan, True, " GB"))
        return Result(figures, {"live": details})

    def _run_listeners(self, count: int) -> LiveResult:
        engine, plan = self._engine, self._plan
        with force_speech_length():
            for _ in range(plan.warm_ups):
                run_listeners(engine, count, plan.seconds / 4, plan.texts)
            return run_listeners(engine, count, plan.seconds, plan.texts)

    def _memory_gb(self) -> float:
        if self._device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self._device)) / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

    # --- upstream ---------------------------------------------------------------------------------

    def measure_upstream(self, progress: Progress) -> Result:
        """The same sentence through upstream's `generate()`, which returns it as a whole."""
        text = self._plan.texts[0]
        with force_speech_length():
            for _ in range(self._plan.warm_ups):
                self._time_sentence("warm-up")
            first_s, whole_s = self._time_sentence("timed")
        progress(0.5)
        # Upstream does not convert the voice to the model's precision.
        self._upstream.conds.t3.to(dtype=self._upstream.t3.speech_head.weight.dtype)
        on_cuda, theirs_s = self._device.type == "cuda", math.nan
        with limit_upstream_length(self._upstream, expected_tokens(text)), quiet():
            for _ in range(2 if on_cuda else 1):  # the first run on CUDA is a warm-up
                start_s = time.perf_counter()
                generate_upstream(self._upstream, text)
                theirs_s = time.perf_counter() - start_s
        progress(1.0)
        sooner, faster = theirs_s / first_s, theirs_s / whole_s
        figures = [
            Figure("first audio, sooner than upstream", sooner, 20 if on_cuda else math.nan, False),
            Figure(
                "whole sentence, faster than upstream", faster, 4 if on_cuda else math.nan, False
            ),
        ]
        times = {"first_s": first_s, "whole_s": whole_s, "upstream_s": theirs_s}
        return Result(figures, {"times": times})

    def _time_sentence(self, name: str) -> tuple[float, float]:
        """Seconds to the first and to the last audio."""
        engine, text = self._engine, self._plan.texts[0]
        start_s, first_s = time.perf_counter(), 0.0
        engine.begin(Utterance(name, self._model.default_voice))
        engine.extend(name, Release(text, len(text), final=True))
        while True:
            for result in engine.step([name]):
                if not isinstance(result, Chunk):
                    raise result.error
                first_s = first_s or time.perf_counter() - start_s
                if result.caught_up:
                    engine.abort(name)
                    return first_s, time.perf_counter() - start_s

    def _goal(self, what: str) -> float:
        on_cuda = self._device.type == "cuda"
        return _GOALS.get((self._model.info.name, what), math.nan) if on_cuda else math.nan


@contextmanager
def force_speech_length() -> Iterator[None]:
    """End every passage at the expected length of its text: random weights stop at random."""
    with (
        mock.patch.object(speech_limits, "min_tokens", expected_tokens),
        mock.patch.object(speech_limits, "max_tokens", lambda expected, _: expected),
    ):
        yield


def generate_upstream(upstream: Any, text: str) -> Any:
    """Upstream's `generate`, in English. The multilingual model without `AlignmentStreamAnalyzer`,
    which ends speech by rules of its own and is gone from later versions, and without ids that are
    no sound: random weights draw them, and unlike the standard model it fails at them.
    """
    hp = upstream.t3.hp
    if not hp.is_multilingual:
        return upstream.generate(text)
    from chatterbox import mtl_tts

    drop = mtl_tts.drop_invalid_tokens
    with (
        mock.patch.object(type(hp), "is_multilingual", new=False),
        mock.patch.object(mtl_tts, "drop_invalid_tokens", lambda ids: drop(ids[ids < _SOUNDS])),
    ):
        return upstream.generate(text, language_id="en", repetition_penalty=1.2)


@contextmanager
def limit_upstream_length(upstream: Any, tokens: int) -> Iterator[None]:
    """Limit upstream's `generate` to about `tokens` speech tokens."""
    t3 = upstream.t3
    name, option = (
        ("inference_turbo", "max_gen_len") if t3.is_gpt else ("inference", "max_new_tokens")
    )
    generate = getattr(t3, name)
    setattr(t3, name, lambda *given, **wishes: generate(*given, **{**wishes, option: tokens}))
    try:
        yield
    finally:
        delattr(t3, name)


def measure_bandwidth(device: torch.device) -> float:
    """Bytes per second that the device reads and writes when copying memory."""
    source = torch.ones(_COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best_s = math.inf
    for _ in range(5):
        _synchronize(device)
        start_s = time.perf_counter()
        target.copy_(source)
        _synchronize(device)
        best_s = min(best_s, time.perf_counter() - start_s)
    return 2 * _COPY_BYTES / best_s


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
