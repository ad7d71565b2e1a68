"""Loads an engine as the server does, renders a sentence, and judges it; on a card, measures it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from backend.config import Settings
from backend.doctor.benchmark import measure
from backend.doctor.findings import CheckInputs, Finding, Status
from backend.doctor.log_events import LogEvents, keeping_log_events
from backend.doctor.random_model import load_random_model
from backend.doctor.rendering import (
    LONG_TEXT,
    SHORT_TEXT,
    Rendering,
    Speaker,
    TimeIsUp,
    sound_problems,
)
from backend.engines.base import Model
from backend.engines.loader import load_model
from backend.errors import DuplexError

_MARGIN_S = 5.0  # before the process is ended: for the report
_INSTEAD = "or use the embedded voice: duplex-tts serve --engine hibari"


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """Each step of it: the choice, the voice, the sound, the figures."""
    until_s = time.monotonic() + inputs.budget_s - _MARGIN_S
    with keeping_log_events() as log:
        try:
            yield from _test(inputs, log, until_s)
        except DuplexError as error:
            yield _explain(inputs, error)
        except TimeIsUp:
            text = f"did not end within {inputs.budget_s:.0f} s"
            remedy = f"give it more time: --timeout {2 * inputs.budget_s:.0f}, {_INSTEAD}"
            yield Finding("speech", _bad(inputs), text, remedy)
        for text in log.warnings():
            yield Finding("log", Status.WARNING, text, "see docs/chatterbox.md")


def _bad(inputs: CheckInputs) -> Status:
    """The status of a failure: only the engine that the settings choose must work."""
    return Status.WARNING if inputs.engine else Status.ERROR


def _explain(inputs: CheckInputs, error: DuplexError) -> Finding:
    text, _, remedy = error.message.rpartition("; ")
    remedy = remedy if text else _INSTEAD.removeprefix("or ")
    return Finding("engine", _bad(inputs), text or error.message, remedy)


def _test(inputs: CheckInputs, log: LogEvents, until_s: float) -> Iterator[Finding]:
    settings = _settings(inputs)
    started_s = time.monotonic()
    model = _load(inputs, settings)
    chosen = log.find("engine.chosen") or {"why": "random weights: it says no words"}
    yield Finding("engine", Status.OK, f"{model.info.name}: {chosen['why']}")
    voice = (settings.engine.voice if not inputs.engine else "") or model.default_voice
    if not _is_ready(model, voice):
        text = f"{voice} is not on this machine: the server downloads it when it starts"
        remedy = "start it with a network once, or choose the voice heart"
        yield Finding("voice", Status.WARNING, text, remedy)
        voice = model.default_voice
    model.load_voice(voice)
    speaker = Speaker(model, model.create_engine(), voice, until_s)
    seconds = time.monotonic() - started_s
    text = f"ready after {seconds:.1f} s, voice {voice}"
    yield Finding("start", Status.OK, text, values={"seconds": seconds})
    yield from _speak(inputs, model, speaker)
    if model.device is not None:
        yield from measure(model, speaker, log)


def _settings(inputs: CheckInputs) -> Settings:
    if not inputs.engine:
        return inputs.settings
    engine = inputs.settings.engine.model_copy(update={"name": inputs.engine})
    return inputs.settings.model_copy(update={"engine": engine})


def _load(inputs: CheckInputs, settings: Settings) -> Model:
    if inputs.random_weights:
        return load_random_model(settings, Path("no voices"))
    return load_model(settings, inputs.models)


def _is_ready(model: Model, voice: str) -> bool:
    """False for a voice that would be fetched: the doctor uses no network."""
    return all(each.ready for each in model.voices() if each.name == voice)


def _speak(inputs: CheckInputs, model: Model, speaker: Speaker) -> Iterator[Finding]:
    """The sound and the speed of a sentence. The second one counts: the first also loads."""
    is_slow = model.info.max_batch > 1 and model.device is None
    text = SHORT_TEXT if is_slow else LONG_TEXT
    (spoken,) = speaker.speak(text)
    if not is_slow:
        (spoken,) = speaker.speak(text)
    yield _judge(inputs, spoken, speaker.rate_hz, text)
    duration_s = len(spoken.pcm) / speaker.rate_hz
    if duration_s:
        yield _rate_speed(spoken, duration_s)


def _judge(inputs: CheckInputs, spoken: Rendering, rate_hz: int, text: str) -> Finding:
    duration_s = len(spoken.pcm) / rate_hz
    values = {"text": text, "seconds": duration_s}
    problems = sound_problems(spoken.pcm, rate_hz, text)
    if problems and inputs.random_weights:  # any sound will do, but it must be one
        problems = [each for each in problems if "not numbers" in each or "no sound" in each]
    if not problems:
        judged = "its length means nothing" if inputs.random_weights else "as expected"
        return Finding("sound", Status.OK, f"{duration_s:.1f} s, {judged}", values=values)
    remedy = f"check the weights with `duplex-tts download`, {_INSTEAD}"
    return Finding("sound", _bad(inputs), "; ".join(problems), remedy, values=values)


def _rate_speed(spoken: Rendering, duration_s: float) -> Finding:
    factor = spoken.whole_s / duration_s
    values = {"real_time_factor": factor, "first_sound_ms": spoken.first_s * 1000}
    text = f"first sound {spoken.first_s * 1000:.0f} ms, real-time factor {factor:.3f}"
    if factor < 1:
        return Finding("speed", Status.OK, text, values=values)
    remedy = f"slower than real time: listeners hear gaps. End other programs, {_INSTEAD}"
    return Finding("speed", Status.WARNING, text, remedy, values=values)
