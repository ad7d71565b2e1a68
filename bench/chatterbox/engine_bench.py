"""Chatterbox by itself, without a server: tokens, live streams, and upstream on the same sentence.

End of speech is forced at the length that a text takes, so random weights measure like real ones.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch

from backend.engines.base import Chunk, Release, Utterance
from backend.engines.chatterbox import passage
from backend.engines.chatterbox.decoder import TokenSession
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.sampling import Sampling
from backend.engines.chatterbox.text import expected_tokens
from bench.chatterbox.live_listeners import SENTENCES, Heard, listen
from bench.chatterbox.random_weights import quiet
from bench.harness.report import Figure, Result

_COPY_BYTES = 1 << 28
_GOALS = {  # on a card of the H100's class
    ("chatterbox-turbo", "token"): 1.5,
    ("chatterbox", "token"): 3.0,
    ("chatterbox-turbo", "first 1 p50"): 60.0,
    ("chatterbox-turbo", "first 32 p95"): 250.0,
    ("chatterbox-turbo", "streams"): 64.0,
}

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    batches: tuple[int, ...] = (1, 4, 16, 64)
    streams: tuple[int, ...] = (1, 4, 16, 32, 64)
    tokens: int = 64
    seconds: float = 12.0
    texts: tuple[str, ...] = SENTENCES
    warm_ups: int = 3  # graphs are captured when a shape comes for the third time


class ChatterboxBench:
    """Rows of one model with its weights; each blocks until it is measured."""

    def __init__(self, model: ChatterboxModel, upstream: Any, plan: Plan) -> None:
        self._model = model
        self._upstream = upstream
        self._plan = plan
        self._device = torch.device(upstream.device)
        with quiet():
            self._engine = model.create_engine()
        self._engine._parts.decoder.stop_token = -1  # random weights end at random

    def rows(self) -> dict[str, tuple[str, Callable[[Progress], Result]]]:
        """What can be measured: a label and how, by the row's name."""
        return {
            "tokens": ("speech tokens", self.tokens),
            "live": ("live streams", self.live),
            "upstream": ("against upstream's generate()", self.upstream),
        }

    # --- tokens -----------------------------------------------------------------------------------

    def tokens(self, progress: Progress) -> Result:
        """Milliseconds a token at several batches, and the share of the memory's bandwidth."""
        bandwidth = copied_per_s(self._device)
        figures, details = [], []
        batches = [n for n in self._plan.batches if n <= self._engine._parts.decoder.free_slots]
        for n, count in enumerate(batches, 1):
            token_ms, read_bytes = self._decode(count)
            share = read_bytes / (token_ms / 1000) / bandwidth
            goal = self._goal("token") if count == 1 else math.nan
            note = f"{share:.0%} of the memory's bandwidth"
            figures.append(Figure(f"a token, batch {count}", token_ms, goal, True, " ms", note))
            details.append({"batch": count, "token_ms": token_ms, "bandwidth_share": share})
            progress(n / len(batches))
        return Result(figures, {"batches": details, "copy_bytes_per_s": bandwidth})

    def _decode(self, count: int) -> tuple[float, float]:
        """Milliseconds a step and the bytes that it must read. Not the first time: libraries
        allocate, graphs are captured.
        """
        for _ in range(self._plan.warm_ups):
            self._decoded(count)
        return self._decoded(count)

    def _decoded(self, count: int) -> tuple[float, float]:
        parts, sessions = self._engine._parts, []
        voice = self._model.conditioning(self._model.default_voice)
        prefix = parts.voices.prefix(voice, 0.5)
        for seed in range(count):
            generator = torch.Generator(self._device).manual_seed(seed)
            session = TokenSession(Sampling(), generator)
            parts.decoder.join(session, prefix, parts.tokens(self._plan.texts[0]))
            sessions.append(session)
        start_s = time.perf_counter()
        for _ in range(self._plan.tokens):
            parts.decoder.advance(sessions)
        token_ms = (time.perf_counter() - start_s) * 1000 / self._plan.tokens
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

    # --- live streams -----------------------------------------------------------------------------

    def live(self, progress: Progress) -> Result:
        """First audio and underruns of several numbers of listeners at once."""
        figures: list[Figure] = []
        details: list[dict[str, float]] = []
        most = 0
        for n, count in enumerate(self._plan.streams, 1):
            heard = self._listen(count)
            details.append({"streams": count, "underruns": heard.underruns})
            measured = (
                ("first", "p50", "first audio p50", heard.first_ms),
                ("first", "p95", "first audio p95", heard.first_ms),
                ("cancel", "p95", "cancel p95, the step at hand included", heard.cancel_ms),
            )
            for what, p, label, values in measured:
                value = float(np.percentile(values, int(p[1:])))
                goal, note = self._goal(f"{what} {count} {p}"), f"{len(values)} times"
                figures.append(Figure(f"{label}, {count} live", value, goal, True, " ms", note))
                details[-1][f"{what}_{p}_ms"] = value
            most = count if not heard.underruns else most
            progress(n / len(self._plan.streams))
        figures.append(Figure("streams without an underrun", most, self._goal("streams"), False))
        figures.append(Figure("memory", self._memory_gb(), math.nan, True, " GB"))
        return Result(figures, {"live": details})

    def _listen(self, count: int) -> Heard:
        engine, plan = self._engine, self._plan
        with speech_of_forced_length():
            for _ in range(plan.warm_ups):
                listen(engine, count, plan.seconds / 4, plan.texts)
            return listen(engine, count, plan.seconds, plan.texts)

    def _memory_gb(self) -> float:
        if self._device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self._device)) / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

    # --- upstream ---------------------------------------------------------------------------------

    def upstream(self, progress: Progress) -> Result:
        """The same sentence through upstream's `generate()`: it is heard when all of it is done."""
        text = self._plan.texts[0]
        with speech_of_forced_length():
            for _ in range(self._plan.warm_ups):
                self._speak("warm-up")
            first_s, whole_s = self._speak("timed")
        progress(0.5)
        # It does not bring the voice into the model's precision.
        self._upstream.conds.t3.to(dtype=self._upstream.t3.speech_head.weight.dtype)
        on_cuda, theirs_s = self._device.type == "cuda", math.nan
        with upstream_of_length(self._upstream, expected_tokens(text)), quiet():
            for _ in range(2 if on_cuda else 1):  # the first one there is not fair
                start_s = time.perf_counter()
                self._upstream.generate(text)
                theirs_s = time.perf_counter() - start_s
        progress(1.0)
        sooner, faster = theirs_s / first_s, theirs_s / whole_s
        figures = [
            Figure("first audio, sooner than upstream", sooner, 20 if on_cuda else math.nan, False),
            Figure("a sentence, faster than upstream", faster, 4 if on_cuda else math.nan, False),
        ]
        times = {"first_s": first_s, "whole_s": whole_s, "upstream_s": theirs_s}
        return Result(figures, {"times": times})

    def _speak(self, name: str) -> tuple[float, float]:
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


def speech_of_forced_length() -> AbstractContextManager[Any]:
    """Every passage is as long as its text takes."""
    return mock.patch.object(passage, "max_tokens", expected_tokens)


@contextmanager
def upstream_of_length(upstream: Any, tokens: int) -> Iterator[None]:
    """Upstream's `generate` draws about so many tokens."""
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


def copied_per_s(device: torch.device) -> float:
    """Bytes that the device's memory reads and writes in a second, copying."""
    source = torch.ones(_COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best_s = math.inf
    for _ in range(5):
        _settle(device)
        start_s = time.perf_counter()
        target.copy_(source)
        _settle(device)
        best_s = min(best_s, time.perf_counter() - start_s)
    return 2 * _COPY_BYTES / best_s


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
