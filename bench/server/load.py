"""A load generator: listeners who hear speech in real time while its text is being written.

A process of its own (`python -m bench.server.load URL`), so that its work is not the server's nor
the measurer's. Each listener has a connection and hears one answer after another; an answer's text
comes at the speed of a language model. Prints one JSON object.
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

from bench.harness.corpus import DEFAULT_TEXTS, TOKENS_PER_S, load_corpus, tokens
from bench.harness.hearing import Hearing, decode_pcm
from bench.harness.machine import core_count
from duplex_tts import Audio, ClientError, Context, Error, Refused, Session

TEXTS_PER_ANSWER = 3
RAMP_S = 15.0  # about an answer's time: answers begin as often at first as they will later
WRITTEN_BEFORE_S = 0.1  # text that is at hand this long before silence is the server's to speak


@dataclass(slots=True)
class Heard:
    """What all listeners together met. Sounds are audible; gaps count from the first one on."""

    streams: int
    answers: int = 0
    audio_s: float = 0.0
    underruns_ms: list[float] = field(default_factory=list)
    waits_for_text: int = 0  # gaps when the text itself had not come
    first_message_ms: list[float] = field(default_factory=list)
    first_sound_ms: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    client_cpu_share: float = 0.0  # of all cores


class Listener:
    """The clock of somebody who hears one answer: when the sound that came runs out."""

    def __init__(self, heard: Heard, now_s: float, rate_hz: int) -> None:
        self.heard = heard
        self.started_s = now_s
        self._hearing = Hearing(rate_hz)
        self._written: list[tuple[float, int]] = []  # when, and how many characters by then

    def wrote(self, characters: int, now_s: float) -> None:
        """The text now has this many characters."""
        self._written.append((now_s, characters))

    def hears(self, audio: Audio, now_s: float) -> None:
        """Audio arrived; a gap before it counts when its text had long been written."""
        if not audio.data:
            return
        hearing = self._hearing
        is_first, was_silent = hearing.first_message_s is None, hearing.first_sound_s is None
        self.gap(now_s, audio.text[1])
        hearing.hear(decode_pcm(audio.data), now_s)
        if is_first:
            self.heard.first_message_ms.append((now_s - self.started_s) * 1000)
        if was_silent and hearing.first_sound_s is not None:
            self.heard.first_sound_ms.append((hearing.first_sound_s - self.started_s) * 1000)
        self.heard.audio_s += audio.duration_ms / 1000

    @property
    def dry_at_s(self) -> float:
        """When everything that came is heard; 0 before anything came."""
        return self._hearing.dry_at_s or 0.0

    def gap(self, now_s: float, spoken_to: int) -> None:
        """Count the silence between the last audio and now, if there was any."""
        gap = self._hearing.gap(now_s)
        if gap is None:
            return
        due_s = gap.at_s - WRITTEN_BEFORE_S
        written = max((n for at_s, n in self._written if at_s <= due_s), default=0)
        if written >= spoken_to:
            self.heard.underruns_ms.append(gap.length_s * 1000)
        else:
            self.heard.waits_for_text += 1


async def listen(url: str, texts: list[str], heard: Heard, until_s: float, seed: int) -> None:
    """Hear one answer after another until the clock says `until_s`."""
    rng = random.Random(seed)
    async with Session.connect(url) as session:
        while time.perf_counter() < until_s:
            answer = " ".join(rng.choices(texts, k=TEXTS_PER_ANSWER))
            context = await session.start(seed=seed)
            listener = Listener(heard, time.perf_counter(), session.ready.sample_rate)
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(_write(context, answer, listener))
                finished = await _hear(context, listener, until_s)
                writer.cancel()
            heard.answers += finished
            if not finished:
                return
            await asyncio.sleep(listener.dry_at_s - time.perf_counter())


async def _write(context: Context, answer: str, listener: Listener) -> None:
    started_s, characters = time.perf_counter(), 0
    for number, piece in enumerate(tokens(answer)):
        await asyncio.sleep(started_s + number / TOKENS_PER_S - time.perf_counter())
        await context.push(piece)
        characters += len(piece)
        listener.wrote(characters, time.perf_counter())
    await context.end()


async def _hear(context: Context, listener: Listener, until_s: float) -> bool:
    """Hear the answer; False when the time is up or the server refused."""
    try:
        async with asyncio.timeout(until_s - time.perf_counter()):
            async for event in context:
                if isinstance(event, Error):
                    errors = listener.heard.errors
                    errors[event.code] = errors.get(event.code, 0) + 1
                    return False
                if isinstance(event, Audio):
                    listener.hears(event, time.perf_counter())
    except TimeoutError:
        listener.gap(time.perf_counter(), 0)  # starved to the end: no audio came to show it
        return False
    return True


async def run(url: str, texts: list[str], streams: int, for_s: float) -> Heard:
    """Let `streams` listeners hear speech for `for_s` seconds."""
    heard = Heard(streams)
    cpu_s, started_s = time.process_time(), time.perf_counter()
    until_s = started_s + for_s

    async def one(number: int) -> None:
        await asyncio.sleep(min(RAMP_S, for_s * 0.6) * number / streams)
        try:
            await listen(url, texts, heard, until_s, seed=number)
        except ClientError as error:
            code = error.code if isinstance(error, Refused) else type(error).__name__
            heard.errors[code] = heard.errors.get(code, 0) + 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(streams):
            tasks.create_task(one(number))
    busy_s = time.process_time() - cpu_s
    heard.client_cpu_share = busy_s / (time.perf_counter() - started_s) / core_count()
    return heard


def main(
    url: str,
    streams: Annotated[int, typer.Option(min=1, help="Listeners at the same time.")] = 10,
    seconds: Annotated[float, typer.Option(min=1, help="How long they listen.")] = 20.0,
    texts: Annotated[Path, typer.Option(help="JSON lines with a `text` each.")] = DEFAULT_TEXTS,
) -> None:
    """Let many listeners hear streamed speech from the server at URL in real time."""
    corpus = [each.text for each in load_corpus(texts) if each.speakable]
    print(json.dumps(asdict(asyncio.run(run(url, corpus, streams, seconds)))))


if __name__ == "__main__":
    typer.run(main)
