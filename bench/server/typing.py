"""Speech while somebody types, against the same texts known as a whole.

Typed in real time it would take hours: the server's own contexts and the real voice speak in
virtual time (`virtual_speech`), on two processes.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import structlog

from backend.events import Audio, Command, Retract, Retracted, Start, Text
from bench.harness import engine_baseline
from bench.harness.corpus import BenchText, load_corpus
from bench.harness.hearing import cut_pauses
from bench.harness.judge import Judge, word_errors
from bench.harness.report import Result
from bench.harness.setup import Setup
from bench.harness.timeline import Listened, listen
from bench.harness.typists import SPEEDS, Stroke, Typist, type_text, write_down
from bench.harness.virtual_speech import VirtualTTS, converse
from bench.server.typing_figures import Take, by_speed, figures, lanes, summarise, text_row

TYPED_TEXTS = Path(__file__).parents[1] / "texts" / "typed.jsonl"
PROCESSES = 2
LONGEST_PAUSE_S = 0.6  # the judge dreams in longer ones
_CONTEXT = "typed"


@dataclass(frozen=True, slots=True)
class Job:
    """A text to be spoken and judged; `speed` in characters a second, None: known as a whole."""

    text: BenchText
    speed: float | None
    seed: int

    @property
    def strokes(self) -> list[Stroke]:
        """How it is written."""
        if self.speed is None:
            return [Stroke(0.0, self.text.text)]
        return type_text(self.text.text, Typist(self.speed), self.seed)


async def measure(setup: Setup) -> Result:
    """All texts whole and typed at all speeds."""
    texts = load_corpus(TYPED_TEXTS, setup.effort.typed_texts)
    jobs = [
        Job(text, speed, setup.seed + replicate * len(texts) + number)
        for replicate in range(setup.effort.replicates)
        for number, text in enumerate(texts)
        for speed in (None, *SPEEDS)
    ]
    loop, takes = asyncio.get_running_loop(), list[Take]()
    spawn = multiprocessing.get_context("spawn")  # a fork would share the models' threads
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn, initializer=_be_quiet) as pool:
        try:
            running = [loop.run_in_executor(pool, perform, job) for job in jobs]
            for take in asyncio.as_completed(running):
                takes.append(await take)
                setup.progress(len(takes) / len(jobs))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return result(takes)


def result(takes: Sequence[Take]) -> Result:
    """The figures, each text, and the most eventful one for the picture."""
    summaries = {speed: summarise(some) for speed, some in by_speed(takes).items()}
    typed = [take for take in takes if take.speed is not None]
    shown = max(typed, key=lambda take: (take.events, take.text_id)).seed
    details = {
        "speeds": {f"{speed or 'whole'}": summary.row() for speed, summary in summaries.items()},
        "texts": [text_row(take) for take in takes],
        "picture": [lanes(take) for take in typed if take.seed == shown],
    }
    return Result(figures(takes), details)


def perform(job: Job) -> Take:
    """Speak the text and judge it. Blocks for seconds."""
    tts, judge = _tools()
    rate_hz = tts.info.sample_rate_hz
    listened = speak(tts, job)
    verdict = judge.judge(listened.dry, rate_hz, job.text.text, dnsmos=False)
    heard = verdict.heard
    if listened.timeline.gaps:
        heard = judge.hear(cut_pauses(listened.heard, rate_hz, LONGEST_PAUSE_S), rate_hz)
    words = word_errors(job.text.text, heard)
    return Take(
        job.text.id, job.speed, job.seed, verdict, heard, words, listened.timeline, job.strokes
    )


def speak(tts: VirtualTTS, job: Job) -> Listened:
    """Let the server speak the text as it is typed, or whole."""
    start = Start(_CONTEXT, seed=job.seed, mode="batch" if job.speed is None else "live")
    strokes = job.strokes
    answers = converse(tts, start, [(stroke.at_s, to_command(stroke)) for stroke in strokes])
    ends = [event.to for _, event in answers if isinstance(event, Retracted)]
    audio = [(at_s, event) for at_s, event in answers if isinstance(event, Audio)]
    return listen(write_down(strokes, ends), audio, tts.info.sample_rate_hz)


def to_command(stroke: Stroke) -> Command:
    """What the client of this typist sends."""
    if stroke.retract_to is not None:
        return Retract(_CONTEXT, stroke.retract_to)
    return Text(_CONTEXT, stroke.text)


@cache
def _tools() -> tuple[VirtualTTS, Judge]:
    """Loaded once in each process."""
    return VirtualTTS(engine_baseline.load_model()), Judge(threads=1)


def _be_quiet() -> None:
    """What the server logs of each context is of no interest here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
