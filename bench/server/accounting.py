"""Check that every character is spoken exactly once, in random dialogues with the real server.

A dialogue is one context: a random text, split at random places, with pauses, retracts, flushes and
a final `end` or `cancel`. The reported spans must tile the final text.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Literal

from bench.harness.corpus import BenchText
from bench.harness.recording_client import ServerError
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from duplex_tts import (
    Audio,
    Cancelled,
    ClientError,
    Context,
    Done,
    Error,
    Retracted,
    Session,
)

SESSIONS = 4
PER_SESSION = 3  # concurrent dialogues per connection
BYTES_PER_MS = 48  # 24 kHz, 16 bit
ROUNDING_MS = 0.5
TIMEOUT_S = 60.0
RETRIES, RETRY_AFTER_S = 100, 0.1
ODDITIES = (
    *("", "   ", "\n", "\t", "\u200b", "\u202e", "...", "**", "\u2014", "3.14", "e\u0301"),
    *("\U0001f642", "\U0001f469\u200d\U0001f467", "\u65e5\u672c\u8a9e\u3002", "\u0645\u061f"),
)


@dataclass(slots=True)
class Ledger:
    """Running totals of one context; checks every event on arrival."""

    at: int = 0
    audio_ms: float = 0.0
    chunks: int = 0
    violations: list[str] = field(default_factory=list)
    refused: int = 0  # attempts refused as overloaded

    def check_audio(self, event: Audio, length: int) -> None:
        """Check that the chunk continues the last one in text and time."""
        start, end = event.text
        self._expect(start == self.at, f"text {event.text} after {self.at}")
        self._expect(start <= end <= length, f"text {event.text} of {length} characters")
        self._expect(
            abs(event.start_ms - self.audio_ms) < ROUNDING_MS * (self.chunks + 1),
            f"audio at {event.start_ms} ms after {self.audio_ms} ms",
        )
        self._expect(
            abs(len(event.data) / BYTES_PER_MS - event.duration_ms) < ROUNDING_MS,
            f"{len(event.data)} bytes for {event.duration_ms} ms",
        )
        for word in event.words:
            inside = start <= word.start < word.end <= end
            self._expect(inside, f"word {word} in text {event.text}")
        self.at, self.chunks = end, self.chunks + 1
        self.audio_ms += event.duration_ms

    def check_done(self, event: Done, length: int) -> None:
        """Check that all text was spoken and that the sums agree."""
        self._expect(self.at == length, f"done at {self.at} of {length}")
        self._expect(event.characters == self.at, f"done says {event.characters}, not {self.at}")
        self._expect(event.chunks == self.chunks, f"done says {event.chunks} chunks")
        self._check_sum(event.audio_ms)

    def check_cancelled(self, event: Cancelled) -> None:
        """Check the reported text position and sum."""
        self._expect(event.text_to == self.at, f"cancelled at {event.text_to}, not {self.at}")
        self._check_sum(event.audio_ms)

    def check_retracted(self, event: Retracted, asked: int, length: int) -> None:
        """Check that no more was retracted than asked, and nothing already spoken."""
        asked = min(asked, length)
        self._expect(asked <= event.to <= length, f"asked {asked}, got {event.to} of {length}")
        self._expect(event.to >= self.at, f"retracted to {event.to}, spoken to {self.at}")

    def _check_sum(self, audio_ms: float) -> None:
        near = abs(audio_ms - self.audio_ms) <= ROUNDING_MS * (self.chunks + 1)
        self._expect(near, f"the sum is {self.audio_ms} ms, the server says {audio_ms}")

    def _expect(self, condition: bool, violation: str) -> None:
        if not condition:
            self.violations.append(violation)


@dataclass(frozen=True, slots=True)
class DialogueStep:
    """One action of the client."""

    kind: Literal["push", "retract", "flush", "pause"]
    text: str = ""
    back: int = 0  # retract this many characters
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The client's steps, and how the context ends."""

    steps: list[DialogueStep]
    ending: Literal["end", "cancel"]
    mode: Literal["live", "batch"]
    seed: int


def compose_dialogue(corpus: list[BenchText], seed: int) -> Dialogue:
    """A random dialogue, determined by the seed."""
    rng = random.Random(seed)
    words = rng.choice(corpus).text.split(" ")
    for _ in range(rng.randrange(4)):
        words.insert(rng.randrange(len(words) + 1), rng.choice(ODDITIES))
    text = " ".join(words)[: rng.choice((20, 60, 120))]
    steps: list[DialogueStep] = []
    while text:
        size = rng.choice((1, 1, 2, 3, 5, 8, 20, 60))
        steps.append(DialogueStep("push", text=text[:size]))
        text = text[size:]
        luck = rng.random()
        if luck < 0.06:
            steps.append(DialogueStep("retract", back=rng.randrange(1, 30)))
        elif luck < 0.10:
            steps.append(DialogueStep("flush"))
        elif luck < 0.25:
            steps.append(DialogueStep("pause", pause_s=rng.choice((0.01, 0.05, 0.15))))
    ending: Literal["end", "cancel"] = "cancel" if rng.random() < 0.2 else "end"
    mode: Literal["live", "batch"] = "batch" if rng.random() < 0.4 else "live"
    return Dialogue(steps, ending, mode, seed)


async def measure(setup: Setup) -> Result:
    """Run many random dialogues and count violations."""
    corpus = list(setup.corpus)
    waiting = [compose_dialogue(corpus, setup.seed + n) for n in range(setup.effort.dialogues)]
    total, ledgers = len(waiting), dict[int, Ledger]()

    async def run_some(session: Session) -> None:
        while waiting:
            dialogue = waiting.pop()
            ledgers[dialogue.seed] = await run_dialogue(session, dialogue)
            setup.progress(len(ledgers) / total)

    async def connect() -> None:
        async with Session.connect(setup.url) as session, asyncio.TaskGroup() as tasks:
            for _ in range(PER_SESSION):
                tasks.create_task(run_some(session))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(SESSIONS):
            tasks.create_task(connect())
    found = [f"dialogue {n}: {v}" for n, each in sorted(ledgers.items()) for v in each.violations]
    characters = sum(ledger.at for ledger in ledgers.values())
    note = f"{total} random dialogues, {characters} characters spoken"
    figure = Figure("characters lost or repeated: violations", len(found), 0, True, note=note)
    refused = sum(ledger.refused for ledger in ledgers.values())
    details = {"violations": found[:50], "first_seed": setup.seed, "refused_overloaded": refused}
    return Result([figure], details)


async def run_dialogue(session: Session, dialogue: Dialogue) -> Ledger:
    """Run one dialogue; retries while the server is overloaded."""
    for refused in range(RETRIES):
        ledger = await _run_once(session, dialogue)
        ledger.refused = refused
        if not any("overloaded" in violation for violation in ledger.violations):
            break
        await asyncio.sleep(RETRY_AFTER_S)
    return ledger


async def _run_once(session: Session, dialogue: Dialogue) -> Ledger:
    """Run one dialogue; a context that fails or times out is a violation."""
    context = await session.start(seed=dialogue.seed, mode=dialogue.mode)
    runner = DialogueRunner(context)
    try:
        async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(runner.check_events())
            tasks.create_task(runner.run_steps(dialogue))
    except* (ClientError, ServerError) as errors:
        runner.ledger.violations.extend(repr(error) for error in errors.exceptions)
    except* TimeoutError:
        runner.ledger.violations.append(f"not ended after {TIMEOUT_S} s")
    return runner.ledger


class DialogueRunner:
    """Runs a dialogue in one context and checks its events."""

    def __init__(self, context: Context) -> None:
        self.ledger = Ledger()
        self._context = context
        self._length = 0  # of the current text
        self._asked = 0
        self._answered = asyncio.Event()

    async def run_steps(self, dialogue: Dialogue) -> None:
        """Run the steps in order, then end or cancel."""
        for step in dialogue.steps:
            if step.kind == "push":
                self._length += len(step.text)
                await self._context.push(step.text)
            elif step.kind == "retract":
                await self._retract(max(0, self._length - step.back))
            elif step.kind == "flush":
                await self._context.flush()
            else:
                await asyncio.sleep(step.pause_s)
        await (self._context.cancel() if dialogue.ending == "cancel" else self._context.end())

    async def _retract(self, to: int) -> None:
        """Retract text and wait for the answer, which sets the new length."""
        self._asked = to
        self._answered.clear()
        await self._context.retract(to)
        await self._answered.wait()

    async def check_events(self) -> None:
        """Check the server's events with the ledger. Raises `ServerError` on an error event."""
        async for event in self._context:
            if isinstance(event, Audio):
                self.ledger.check_audio(event, self._length)
            elif isinstance(event, Retracted):
                self.ledger.check_retracted(event, self._asked, self._length)
                self._length = event.to
                self._answered.set()
            elif isinstance(event, Done):
                self.ledger.check_done(event, self._length)
            elif isinstance(event, Cancelled):
                self.ledger.check_cancelled(event)
            elif isinstance(event, Error):
                raise ServerError(event.code, event.message)
