"""The embedded voice without a server: the baseline of the server's figures."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence

from backend.engines.base import Chunk, Engine, Failure, Model, Release, Utterance
from backend.engines.hibari.engine import HibariModel
from bench.harness.corpus import BenchText
from bench.harness.simulated_listener import audible_from_s

_ids = itertools.count(1)


def load_model() -> Model:
    """Load the model and its default voice. Blocks for about a second."""
    model = HibariModel()
    model.load_voice(model.default_voice)
    return model


def render_release(
    engine: Engine, voice: str, release: Release, seed: int = 0, chunk_characters: int = 25
) -> Iterator[Chunk]:
    """Render one release of a new utterance, chunk by chunk; aborts it on exit.

    Blocks while the engine computes. Raises the engine's `DuplexError`.
    """
    id_ = f"bench-{next(_ids)}"
    engine.begin(Utterance(id_, voice, seed=seed, chunk_characters=chunk_characters))
    try:
        engine.extend(id_, release)
        while True:
            for chunk in engine.step([id_]):
                if isinstance(chunk, Failure):
                    raise chunk.error
                yield chunk
                if chunk.caught_up:
                    return
    finally:
        engine.abort(id_)


def time_first_audible_chunk(
    engine: Engine, voice: str, release: Release, seed: int
) -> tuple[float, Chunk]:
    """Seconds from `begin` to the first audible chunk, and that chunk (or the last)."""
    started_s = time.perf_counter()
    for chunk in render_release(engine, voice, release, seed):
        if audible_from_s(chunk.pcm, engine.info.sample_rate_hz) is not None:
            break
    return time.perf_counter() - started_s, chunk


def measure_realtime_limit(
    model: Model, texts: Sequence[BenchText], threads: int, for_s: float
) -> float:
    """Seconds of speech per second that `threads` engines render in parallel, from whole texts.

    Blocks for `for_s` seconds. The upper bound of real-time listeners, without other costs.
    """
    rendered_s = [0.0] * threads
    started = threading.Barrier(threads + 1)
    stop = threading.Event()

    def render_loop(index: int) -> None:
        engine = model.create_engine()
        releases = [Release(each.text, len(each.text), final=True) for each in texts]
        _render_s(engine, model, releases[0])  # warm up libraries
        started.wait()
        for release in itertools.cycle(releases):
            if stop.is_set():
                return
            rendered_s[index] += _render_s(engine, model, release)

    workers = [threading.Thread(target=render_loop, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    started.wait()
    started_s = time.perf_counter()
    stop.wait(for_s)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(rendered_s) / (time.perf_counter() - started_s)


def _render_s(engine: Engine, model: Model, release: Release) -> float:
    chunks = render_release(engine, model.default_voice, release, chunk_characters=0)
    return sum(len(chunk.pcm) for chunk in chunks) / model.info.sample_rate_hz
