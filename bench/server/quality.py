"""Compare the quality of streamed speech with that of whole texts.

The server speaks each text in both modes with the same seeds; the same judge scores both. For
scale: whole texts from the voice's own package, and the streamed pieces each spoken separately (as
peers do).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hibari import Hibari
from numpy.typing import NDArray

from bench.harness import recording_client
from bench.harness.corpus import WORDS_PER_S, BenchText, split_word_groups
from bench.harness.judge import Judge, Verdict
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from duplex_tts import Session

WORDS_AT_A_TIME = 3
WHOLE, STREAMED = "whole text known", f"streamed {WORDS_AT_A_TIME} words at a time"
AT_ONCE = 6  # concurrent contexts while recording
RESAMPLES = 2000

GOAL_WER_POINTS = 0.5
GOAL_PLCMOS = 0.05
GOAL_DURATION_PERCENT = 5.0

Pcm = NDArray[np.float32]
Speak = Callable[[Session, BenchText, int], Coroutine[Any, Any, Pcm]]


@dataclass(frozen=True, slots=True)
class SpeakingMode:
    """A way to speak all texts, and how many times, each with its own seed."""

    name: str
    speak: Speak
    replicates: int


async def measure(setup: Setup) -> Result:
    """Score all modes on all texts; the goals compare `STREAMED` with `WHOLE`."""
    texts, modes = setup.speakable, _speaking_modes(setup)
    judge = Judge()
    verdicts: dict[str, list[list[Verdict]]] = {}
    judged, total = 0, sum(mode.replicates for mode in modes) * len(texts)
    for mode in modes:
        rounds = verdicts[mode.name] = []
        for replicate in range(mode.replicates):
            recordings = await _record_all(setup, mode.speak, texts, setup.seed + replicate)
            rounds.append([])
            for pcm, each in zip(recordings, texts, strict=True):
                # DNSMOS has no goal and takes as long as the rest: one round is enough.
                rate_hz = setup.model.info.sample_rate_hz
                rounds[-1].append(judge.judge(pcm, rate_hz, each.text, dnsmos=replicate == 0))
                judged += 1
                setup.progress(judged / total)
    return _result(texts, verdicts, setup.seed)


def _speaking_modes(setup: Setup) -> list[SpeakingMode]:
    voice = Hibari(voice=setup.model.default_voice)

    async def whole(session: Session, text: BenchText, seed: int) -> Pcm:
        recording = recording_client.retry_while_busy(
            lambda: recording_client.speak_whole(session, text.text, seed)
        )
        return (await recording).pcm

    def streamed(words: int) -> Speak:
        async def speak(session: Session, text: BenchText, seed: int) -> Pcm:
            pieces, period_s = split_word_groups(text.text, words), words / WORDS_PER_S
            recording = recording_client.retry_while_busy(
                lambda: recording_client.speak_streamed(session, pieces, period_s, seed)
            )
            return (await recording).pcm

        return speak

    async def package(_: Session, text: BenchText, seed: int) -> Pcm:
        return np.asarray(voice(text.text, seed=seed), dtype=np.float32)

    async def alone(_: Session, text: BenchText, seed: int) -> Pcm:
        groups = split_word_groups(text.text, WORDS_AT_A_TIME)
        return np.concatenate([voice(group.strip(), seed=seed) for group in groups])

    replicates = setup.effort.replicates
    return [
        SpeakingMode(WHOLE, whole, replicates),
        SpeakingMode(STREAMED, streamed(WORDS_AT_A_TIME), replicates),
        SpeakingMode("streamed 1 word at a time", streamed(1), 1),
        SpeakingMode(f"each {WORDS_AT_A_TIME} words alone", alone, 1),
        SpeakingMode("whole, the voice's own package", package, 1),
    ]


async def _record_all(
    setup: Setup, speak: Speak, texts: Sequence[BenchText], seed: int
) -> list[Pcm]:
    room = asyncio.Semaphore(AT_ONCE)
    async with Session.connect(setup.url) as session:

        async def record_text(text: BenchText) -> Pcm:
            async with room:
                return await speak(session, text, seed)

        async with asyncio.TaskGroup() as tasks:
            recordings = [tasks.create_task(record_text(text)) for text in texts]
    return [recording.result() for recording in recordings]


# --- sums and confidence intervals ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scores:
    """A mode's measures, one array element per text, averaged over its replicates."""

    errors: NDArray[np.float64]
    words: NDArray[np.float64]
    plcmos: NDArray[np.float64]
    duration_s: NDArray[np.float64]

    def summary(self, picked: NDArray[np.intp]) -> NDArray[np.float64]:
        """WER in percent, mean PLCMOS and total seconds over the picked texts."""
        wer = 100 * self.errors[picked].sum() / self.words[picked].sum()
        return np.array([wer, self.plcmos[picked].mean(), self.duration_s[picked].sum()])


def average_scores(rounds: Sequence[Sequence[Verdict]]) -> Scores:
    """Average the replicates of one mode per text."""

    def mean(value: Callable[[Verdict], float]) -> NDArray[np.float64]:
        table = np.array([[value(verdict) for verdict in row] for row in rounds], dtype=float)
        return np.asarray(table.mean(axis=0))

    return Scores(
        mean(lambda v: v.words.errors),
        mean(lambda v: v.words.words),
        mean(lambda v: v.plcmos),
        mean(lambda v: v.duration_s),
    )


def compute_differences(
    whole: Scores, streamed: Scores, picked: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Streamed minus whole: WER in points, PLCMOS, duration in %."""
    before, after = whole.summary(picked), streamed.summary(picked)
    return np.array([after[0] - before[0], after[1] - before[1], 100 * (after[2] / before[2] - 1)])


def bootstrap_interval(whole: Scores, streamed: Scores, seed: int) -> NDArray[np.float64]:
    """95 % bootstrap interval over the texts of `compute_differences`, shape (2, 3)."""
    size, rng = len(whole.words), np.random.default_rng(seed)
    drawn = [
        compute_differences(whole, streamed, rng.integers(0, size, size)) for _ in range(RESAMPLES)
    ]
    return np.asarray(np.percentile(drawn, [2.5, 97.5], axis=0))


def _result(
    texts: Sequence[BenchText], verdicts: dict[str, list[list[Verdict]]], seed: int
) -> Result:
    whole, streamed = average_scores(verdicts[WHOLE]), average_scores(verdicts[STREAMED])
    everything = np.arange(len(texts))
    wer, plcmos, duration = compute_differences(whole, streamed, everything)
    (wer_low, plcmos_low, duration_low), (wer_high, plcmos_high, duration_high) = (
        bootstrap_interval(whole, streamed, seed)
    )
    was, now = whole.summary(everything), streamed.summary(everything)
    rounds = len(verdicts[WHOLE])
    figures = [
        Figure(
            "streamed against whole text: word errors",
            wer,
            GOAL_WER_POINTS,
            True,
            " points",
            f"{was[0]:.2f} % -> {now[0]:.2f} % of {whole.words.sum():.0f} words, {rounds} seeds; "
            f"95 %: {wer_low:+.2f} to {wer_high:+.2f}",
        ),
        Figure(
            "streamed against whole text: PLCMOS lost",
            -plcmos,
            GOAL_PLCMOS,
            True,
            "",
            f"{was[1]:.3f} -> {now[1]:.3f}; 95 %: {-plcmos_high:+.3f} to {-plcmos_low:+.3f}",
        ),
        Figure(
            "streamed against whole text: duration",
            abs(duration),
            GOAL_DURATION_PERCENT,
            True,
            " %",
            f"{was[2]:.1f} s -> {now[2]:.1f} s ({duration:+.1f} %); "
            f"95 %: {duration_low:+.1f} to {duration_high:+.1f}",
        ),
    ]
    table = {name: _summary_row(rounds) for name, rounds in verdicts.items()}
    return Result(figures, {"ways": table, "texts": _per_text(texts, verdicts)})


def _summary_row(rounds: Sequence[Sequence[Verdict]]) -> dict[str, float]:
    found = average_scores(rounds)
    wer, plcmos, duration_s = found.summary(np.arange(len(found.words)))
    dnsmos = [v.dnsmos for row in rounds for v in row if v.dnsmos is not None]
    return {
        "wer_percent": round(float(wer), 3),
        "plcmos": round(float(plcmos), 4),
        "dnsmos": round(float(np.mean(dnsmos)), 4),
        "duration_s": round(float(duration_s), 3),
        "replicates": len(rounds),
    }


def _per_text(
    texts: Sequence[BenchText], verdicts: dict[str, list[list[Verdict]]]
) -> list[dict[str, Any]]:
    def spoken(verdict: Verdict) -> dict[str, Any]:
        return {
            "errors": verdict.words.errors,
            "plcmos": round(verdict.plcmos, 3),
            "duration_s": round(verdict.duration_s, 3),
            "heard": verdict.transcript,
        }

    return [
        {"id": text.id}
        | {name: [spoken(row[i]) for row in rounds] for name, rounds in verdicts.items()}
        for i, text in enumerate(texts)
    ]
