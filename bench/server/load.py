"""A load generator: real-time listeners to speech whose text is still being written.

Runs as a separate process (`python -m bench.server.load URL`), so that its work affects neither the
server nor the measurement. Each listener has its own connection and plays one answer after another;
text arrives at the rate of a language model. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from backend.cores import core_count
from bench.harness.corpus import DEFAULT_TEXTS, TOKENS_PER_S, load_corpus, split_tokens
from bench.harness.simulated_listener import SimulatedListener, decode_pcm
from duplex_tts import Audio, ClientError, Context, Error, Refused, Session

TEXTS_PER_ANSWER = 3
RAMP_S = 15.0  # about an answer's duration, so that answers start at a constant rate
WRITTEN_BEFORE_S = 0.1  # a gap is the server's if its text was sent this long before


@dataclass(slots=True)
class LoadResult:
    """Totals over all listeners. Gaps count from the first audible sound on."""

    streams: int
    answers: int = 0
    audio_s: float = 0.0
    underruns_ms: list[float] = field(default_factory=list)
    waits_for_text: int = 0  # gaps because the text was not written yet
    first_message_ms: list[float] = field(default_factory=list)
    first_sound_ms: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    client_cpu_share: float = 0.0  # of all cores


class LoadListener:
    """Playback of one answer; counts gaps and first sounds."""

    def __init__(self, totals: LoadResult, now_s: float, rate_hz: int) -> None:
        self.totals = totals
        self.started_s = now_s
        self._hearing = SimulatedListener(rate_hz)
        self._written: list[tuple[float, int]] = []  # time, characters so far

    def note_text(self, characters: int, now_s: float) -> None:
        """Note that the text now has this many characters."""
        self._written.append((now_s, characters))

    def note_audio(self, audio: Audio, now_s: float) -> None:
        """Receive audio; counts a gap before it."""
        if not audio.data:
            return
        hearing = self._hearing
        is_first, was_silent = hearing.first_message_s is None, hearing.first_sound_s is None
        self.count_gap(now_s, audio.text[1])
        hearing.play_audio(decode_pcm(audio.data), now_s)
        if is_first:
            self.totals.first_message_ms.append((now_s - self.started_s) * 1000)
        if was_silent and hearing.first_sound_s is not None:
            self.totals.first_sound_ms.append((hearing.first_sound_s - self.started_s) * 1000)
        self.totals.audio_s += audio.duration_ms / 1000

    @property
    def dry_at_s(self) -> float:
        """When all received audio has been played; 0 before the first."""
        return self._hearing.dry_at_s or 0.0

    def count_gap(self, now_s: float, spoken_to: int) -> None:
        """Count a current gap as an underrun, or as a wait if its text was not written in time."""
        gap = self._hearing.current_gap(now_s)
        if gap is None:
            return
        due_s = gap.at_s - WRITTEN_BEFORE_S
        written = max((n for at_s, n in self._written if at_s <= due_s), default=0)
        if written >= spoken_to:
            self.totals.underruns_ms.append(gap.length_s * 1000)
        else:
            self.totals.waits_for_text += 1


async def listen_until(
    url: str, texts: list[str], totals: LoadResult, until_s: float, seed: int
) -> None:
    """Play one answer after another until `until_s` (`time.perf_counter`)."""
    rng = random.Random(seed)
    async with Session.connect(url) as session:
        while time.perf_counter() < until_s:
            answer = " ".join(rng.choices(texts, k=TEXTS_PER_ANSWER))
            context = await session.start(seed=seed)
            listener = LoadListener(totals, time.perf_counter(), session.ready.sample_rate)
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(_send_text(context, answer, listener))
                finished = await _play_answer(context, listener, until_s)
                writer.cancel()
            totals.answers += finished
            if not finished:
                return
            await asyncio.sleep(listener.dry_at_s - time.perf_counter())


async def _send_text(context: Context, answer: str, listener: LoadListener) -> None:
    started_s, characters = time.perf_counter(), 0
    for number, piece in enumerate(split_tokens(answer)):
        await asyncio.sleep(started_s + number / TOKENS_PER_S - time.perf_counter())
        await context.push(piece)
        characters += len(piece)
        listener.note_text(characters, time.perf_counter())
    await context.end()


async def _play_answer(context: Context, listener: LoadListener, until_s: float) -> bool:
    """Play the answer; returns False if time ran out or the server sent an error."""
    try:
        async with asyncio.timeout(until_s - time.perf_counter()):
            async for event in context:
                if isinstance(event, Error):
                    errors = listener.totals.errors
                    errors[event.code] = errors.get(event.code, 0) + 1
                    return False
                if isinstance(event, Audio):
                    listener.note_audio(event, time.perf_counter())
    except TimeoutError:
        listener.count_gap(time.perf_counter(), 0)  # a gap that no later audio ended
        return False
    return True


async def run_load(
    url: str, texts: list[str], streams: int, for_s: float, within_s: float | None = None
) -> LoadResult:
    """Run `streams` listeners for `for_s` seconds; they arrive within `within_s`."""
    arrive_s = min(RAMP_S, for_s * 0.6) if within_s is None else within_s
    totals = LoadResult(streams)
    cpu_s, started_s = time.process_time(), time.perf_counter()
    until_s = started_s + for_s

    async def start_listener(number: int) -> None:
        await asyncio.sleep(arrive_s * number / streams)
        try:
            await listen_until(url, texts, totals, until_s, seed=number)
        except ClientError as error:
            code = error.code if isinstance(error, Refused) else type(error).__name__
            totals.errors[code] = totals.errors.get(code, 0) + 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(streams):
            tasks.create_task(start_listener(number))
    busy_s = time.process_time() - cpu_s
    totals.client_cpu_share = busy_s / (time.perf_counter() - started_s) / core_count()
    return totals


def main(
    url: str,
    streams: Annotated[int, typer.Option(min=1, help="Concurrent listeners.")] = 10,
    seconds: Annotated[float, typer.Option(min=1, help="How long they listen.")] = 20.0,
    within: Annotated[
        float | None,
        typer.Option(min=0, help="They arrive within so many seconds.", show_default="a ramp"),
    ] = None,
    texts: Annotated[
        Path, typer.Option(help="JSON lines with `id`, `kind`, `text`.")
    ] = DEFAULT_TEXTS,
) -> None:
    """Run many real-time listeners against the server at URL."""
    corpus = [text.text for text in load_corpus(texts) if text.speakable]
    print(json.dumps(asdict(asyncio.run(run_load(url, corpus, streams, seconds, within)))))


if __name__ == "__main__":
    typer.run(main)
