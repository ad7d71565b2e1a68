"""A short benchmark of an engine on a card, through its contract only."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from backend.doctor.findings import Finding, Status
from backend.doctor.log_events import LogEvents
from backend.doctor.rendering import LONG_TEXT, Speaker, TimeIsUp
from backend.engines.base import Model

BATCHES = (1, 16, 64)
TOKENS_PER_S = 25  # speech tokens of Chatterbox
_WARM_UPS = 2  # a shape is captured in its third run
_SINGLE_RUNS = 10


def measure(model: Model, speaker: Speaker, log: LogEvents) -> Iterator[Finding]:
    """First sounds, time per token at several batch sizes, memory, graphs. Blocks (a minute)."""
    try:
        yield _time_single(speaker)
        for count in BATCHES:
            if count <= model.info.max_batch:
                yield _time_batch(speaker, count)
    except TimeIsUp:
        yield Finding("batches", Status.WARNING, "no time was left", "use a longer --timeout")
    yield _describe_memory(model)
    yield _describe_graphs(log)


def _time_single(speaker: Speaker) -> Finding:
    for _ in range(_WARM_UPS):
        speaker.speak(LONG_TEXT)
    spoken = [speaker.speak(LONG_TEXT)[0] for _ in range(_SINGLE_RUNS)]
    first_ms = sorted(each.first_s * 1000 for each in spoken)
    p50, worst = statistics.median(first_ms), first_ms[-1]
    text = f"p50 {p50:.0f} ms, worst {worst:.0f} ms of {len(spoken)}, one stream"
    return Finding("first sound", Status.OK, text, values={"p50_ms": p50, "worst_ms": worst})


def _time_batch(speaker: Speaker, count: int) -> Finding:
    """Sound included: tokens, flow, vocoder and watermark. For the tokens alone see `bench`."""
    for _ in range(_WARM_UPS):
        speaker.speak(LONG_TEXT, count)
    start_s = time.monotonic()
    spoken = speaker.speak(LONG_TEXT, count)
    wall_s = time.monotonic() - start_s
    audio_s = sum(len(each.pcm) for each in spoken) / speaker.rate_hz
    first_ms = statistics.median(each.first_s for each in spoken) * 1000
    token_ms = wall_s * 1000 / (TOKENS_PER_S * audio_s / count)
    values = {"token_ms": token_ms, "first_p50_ms": first_ms, "speech_per_s": audio_s / wall_s}
    text = (
        f"{token_ms:.2f} ms a token with its sound, {audio_s / wall_s:.1f} s of speech a second, "
        f"first sound p50 {first_ms:.0f} ms"
    )
    return Finding(f"batch {count}", Status.OK, text, values=values)


def _describe_memory(model: Model) -> Finding:
    device = model.device
    assert device is not None
    used, total = device.memory_used_bytes, device.memory_total_bytes
    text = f"{used / 1e9:.1f} of {total / 1e9:.1f} GB of {device.name} used"
    return Finding("memory", Status.OK, text, values={"used_bytes": used, "total_bytes": total})


def _describe_graphs(log: LogEvents) -> Finding:
    """By the log, which says what could not be captured (docs/chatterbox.md)."""
    failed = log.find("graph.not_captured")
    if failed is not None:
        remedy = "these steps run without graphs, more slowly; please report this line"
        return Finding("graphs", Status.WARNING, f"not captured: {failed.get('why')}", remedy)
    if log.find("engine.warm") is None:
        text = "not used: nothing was captured at the start"
        return Finding("graphs", Status.WARNING, text, "please report this line")
    return Finding("graphs", Status.OK, "captured, none failed")
