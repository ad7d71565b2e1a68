"""Speech while a person types, against the same texts spoken as a whole.

In real time it would take hours: the server's contexts and the real voice run in virtual time
(`virtual_speech`), in two processes.
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
from bench.harness.judge import Judge, word_errors
from bench.harness.report import Result
from bench.harness.setup import Setup
from bench.harness.simulated_listener import cut_pauses
from bench.harness.timeline import ListenedRecording, play_messages
from bench.harness.typists import SPEEDS, KeyStroke, Typist, apply_strokes, simulate_typing
from bench.server.typing_figures import (
    Take,
    build_figures,
    group_by_speed,
    picture_row,
    summarise,
    text_row,
)
from bench.simulation.virtual_speech import VirtualTTSManager, run_context

TYPED_TEXTS = Path(__file__).parents[1] / "texts" / "typed.jsonl"
PROCESSES = 2
LONGEST_PAUSE_S = 0.6  # the judge invents words in longer ones
_CONTEXT = "typed"


@dataclass(frozen=True, slots=True)
class TypingJob:
    """A text to speak and judge; `speed` in characters/s, None: as a whole."""

    text: BenchText
    speed: float | None
    seed: int

    @property
    def strokes(self) -> list[KeyStroke]:
        """The keystrokes of the text."""
        if self.speed is None:
            return [KeyStroke(0.0, self.text.text)]
        return simulate_typing(self.text.text, Typist(self.speed), self.seed)


async def measure(setup: Setup) -> Result:
    """Speak all texts as a whole and typed at all speeds."""
    texts = load_corpus(TYPED_TEXTS, setup.effort.typed_texts)
    jobs = [
        TypingJob(text, speed, setup.seed + replicate * len(texts) + number)
        for replicate in range(setup.effort.replicates)
        for number, text in enumerate(texts)
        for speed in (None, *SPEEDS)
    ]
    loop, takes = asyncio.get_running_loop(), list[Take]()
    spawn = multiprocessing.get_context("spawn")  # a fork breaks the models' threads
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn, initializer=_silence_logs) as pool:
        try:
            running = [loop.run_in_executor(pool, run_job, job) for job in jobs]
            for take in asyncio.as_completed(running):
                takes.append(await take)
                setup.progress(len(takes) / len(jobs))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return build_result(takes)


def build_result(takes: Sequence[Take]) -> Result:
    """The figures, a row per text, and the most eventful text for the plot."""
    summaries = {speed: summarise(some) for speed, some in group_by_speed(takes).items()}
    typed = [take for take in takes if take.speed is not None]
    shown = max(typed, key=lambda take: (take.events, take.text_id)).seed
    details = {
        "speeds": {f"{speed or 'whole'}": summary.row() for speed, summary in summaries.items()},
        "texts": [text_row(take) for take in takes],
        "picture": [picture_row(take) for take in typed if take.seed == shown],
    }
    return Result(build_figures(takes), details)


def run_job(job: TypingJob) -> Take:
    """Speak and judge the text. Blocks for seconds."""
    tts, judge = _load_models()
    rate_hz = tts.info.sample_rate_hz
    listened = speak_job(tts, job)
    verdict = judge.judge(listened.dry, rate_hz, job.text.text, dnsmos=False)
    transcript = verdict.transcript
    if listened.timeline.gaps:
        transcript = judge.transcribe_pcm(
            cut_pauses(listened.heard, rate_hz, LONGEST_PAUSE_S), rate_hz
        )
    words = word_errors(job.text.text, transcript)
    return Take(
        job.text.id, job.speed, job.seed, verdict, transcript, words, listened.timeline, job.strokes
    )


def speak_job(tts: VirtualTTSManager, job: TypingJob) -> ListenedRecording:
    """Let the server speak the text as it is typed, or as a whole."""
    start = Start(_CONTEXT, seed=job.seed, mode="batch" if job.speed is None else "live")
    strokes = job.strokes
    answers = run_context(tts, start, [(stroke.at_s, to_command(stroke)) for stroke in strokes])
    ends = [event.to for _, event in answers if isinstance(event, Retracted)]
    audio = [(at_s, event) for at_s, event in answers if isinstance(event, Audio)]
    return play_messages(apply_strokes(strokes, ends), audio, tts.info.sample_rate_hz)


def to_command(stroke: KeyStroke) -> Command:
    """The client's command for a keystroke."""
    if stroke.retract_to is not None:
        return Retract(_CONTEXT, stroke.retract_to)
    return Text(_CONTEXT, stroke.text)


@cache
def _load_models() -> tuple[VirtualTTSManager, Judge]:
    """Load the models once per process."""
    return VirtualTTSManager(engine_baseline.load_model()), Judge(threads=1)


def _silence_logs() -> None:
    """Suppress the server's log lines per context."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
