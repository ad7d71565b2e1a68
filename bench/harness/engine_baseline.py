"""The embedded voice without a server around it: the yardstick of the server's figures."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence

from backend.engines.base import Chunk, Engine, Failure, Model, Release, Utterance
from backend.engines.hibari.engine import HibariModel
from bench.harness.corpus import BenchText
from bench.harness.hearing import audible_from_s

_ids = itertools.count(1)


def load_model() -> Model:
    """The model with its default voice ready. Blocks for about a second."""
    model = HibariModel()
    model.load_voice(model.default_voice)
    return model


def speak(
    engine: Engine, voice: str, release: Release, seed: int = 0, chunk_characters: int = 25
) -> Iterator[Chunk]:
    """Render one release of a fresh utterance, chunk by chunk; forgets it when left.

    Blocks while the engine computes. Raises the `DuplexError` with which the engine failed.
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


def first_audible_chunk(
    engine: Engine, voice: str, release: Release, seed: int
) -> tuple[float, Chunk]:
    """The first chunk with an audible sample (else the last one), and the seconds from `begin` to
    it.
    """
    started_s = time.perf_counter()
    for chunk in speak(engine, voice, release, seed):
        if audible_from_s(chunk.pcm, engine.info.sample_rate_hz) is not None:
            break
    return time.perf_counter() - started_s, chunk


def realtime_limit(model: Model, texts: Sequence[BenchText], threads: int, for_s: float) -> float:
    """Seconds of speech per second that `threads` engines render together, each text whole.

    Blocks for `for_s` seconds. This many listeners could be served if nothing else cost anything.
    """
    rendered_s = [0.0] * threads
    started = threading.Barrier(threads + 1)
    stop = threading.Event()

    def work(mine: int) -> None:
        engine = model.create_engine()
        releases = [Release(each.text, len(each.text), final=True) for each in texts]
        _speech_s(engine, model, releases[0])  # the first call pays for what libraries load late
        started.wait()
        for release in itertools.cycle(releases):
            if stop.is_set():
                return
            rendered_s[mine] += _speech_s(engine, model, release)

    workers = [threading.Thread(target=work, args=(mine,)) for mine in range(threads)]
    for worker in workers:
        worker.start()
    started.wait()
    started_s = time.perf_counter()
    stop.wait(for_s)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(rendered_s) / (time.perf_counter() - started_s)


def _speech_s(engine: Engine, model: Model, release: Release) -> float:
    chunks = speak(engine, model.default_voice, release, chunk_characters=0)
    return sum(len(chunk.pcm) for chunk in chunks) / model.info.sample_rate_hz
