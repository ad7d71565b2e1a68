"""Is every character spoken exactly once? Random dialogues with the real server.

A dialogue is one context: a random text, split at random places, with pauses, retracts, flushes and
in the end `end` or `cancel`. What the server says it spoke must tile the text that stood.
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
PER_SESSION = 3  # dialogues side by side on one connection
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
    """What the server said about one context, checked as it comes."""

    at: int = 0
    audio_ms: float = 0.0
    chunks: int = 0
    violations: list[str] = field(default_factory=list)
    refused: int = 0  # times the dialogue was turned away before

    def audio(self, event: Audio, length: int) -> None:
        """A chunk must start where the last one ended, in text, time and number."""
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

    def done(self, event: Done, length: int) -> None:
        """All text was spoken, and the sums agree."""
        self._expect(self.at == length, f"done at {self.at} of {length}")
        self._expect(event.characters == self.at, f"done says {event.characters}, not {self.at}")
        self._expect(event.chunks == self.chunks, f"done says {event.chunks} chunks")
        self._sum(event.audio_ms)

    def cancelled(self, event: Cancelled) -> None:
        """What was spoken until then is told truly."""
        self._expect(event.text_to == self.at, f"cancelled at {event.text_to}, not {self.at}")
        self._sum(event.audio_ms)

    def retracted(self, event: Retracted, asked: int, length: int) -> None:
        """No more is taken back than was asked for, nothing that was spoken."""
        asked = min(asked, length)
        self._expect(asked <= event.to <= length, f"asked {asked}, got {event.to} of {length}")
        self._expect(event.to >= self.at, f"retracted to {event.to}, spoken to {self.at}")

    def _sum(self, audio_ms: float) -> None:
        near = abs(audio_ms - self.audio_ms) <= ROUNDING_MS * (self.chunks + 1)
        self._expect(near, f"the sum is {self.audio_ms} ms, the server says {audio_ms}")

    def _expect(self, kept: bool, otherwise: str) -> None:
        if not kept:
            self.violations.append(otherwise)


@dataclass(frozen=True, slots=True)
class Act:
    """One thing a writer does."""

    kind: Literal["push", "retract", "flush", "pause"]
    text: str = ""
    back: int = 0  # retract this many characters
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A writer's acts, and how it ends."""

    acts: list[Act]
    ending: Literal["end", "cancel"]
    mode: Literal["live", "batch"]
    seed: int


def compose(corpus: list[BenchText], seed: int) -> Dialogue:
    """A random dialogue; the same for the same seed."""
    rng = random.Random(seed)
    words = rng.choice(corpus).text.split(" ")
    for _ in range(rng.randrange(4)):
        words.insert(rng.randrange(len(words) + 1), rng.choice(ODDITIES))
    text = " ".join(words)[: rng.choice((20, 60, 120))]
    acts: list[Act] = []
    while text:
        size = rng.choice((1, 1, 2, 3, 5, 8, 20, 60))
        acts.append(Act("push", text=text[:size]))
        text = text[size:]
        luck = rng.random()
        if luck < 0.06:
            acts.append(Act("retract", back=rng.randrange(1, 30)))
        elif luck < 0.10:
            acts.append(Act("flush"))
        elif luck < 0.25:
            acts.append(Act("pause", pause_s=rng.choice((0.01, 0.05, 0.15))))
    ending: Literal["end", "cancel"] = "cancel" if rng.random() < 0.2 else "end"
    mode: Literal["live", "batch"] = "batch" if rng.random() < 0.4 else "live"
    return Dialogue(acts, ending, mode, seed)


async def measure(setup: Setup) -> Result:
    """Hold many random dialogues and count what was lost or repeated."""
    corpus = list(setup.corpus)
    waiting = [compose(corpus, setup.seed + n) for n in range(setup.effort.dialogues)]
    total, ledgers = len(waiting), dict[int, Ledger]()

    async def hold_some(session: Session) -> None:
        while waiting:
            dialogue = waiting.pop()
            ledgers[dialogue.seed] = await hold(session, dialogue)
            setup.progress(len(ledgers) / total)

    async def connect() -> None:
        async with Session.connect(setup.url) as session, asyncio.TaskGroup() as tasks:
            for _ in range(PER_SESSION):
                tasks.create_task(hold_some(session))

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


async def hold(session: Session, dialogue: Dialogue) -> Ledger:
    """Play one dialogue, again where the server was too busy for it: a refusal loses nothing."""
    for refused in range(RETRIES):
        ledger = await _hold_once(session, dialogue)
        ledger.refused = refused
        if not any("overloaded" in violation for violation in ledger.violations):
            break
        await asyncio.sleep(RETRY_AFTER_S)
    return ledger


async def _hold_once(session: Session, dialogue: Dialogue) -> Ledger:
    """Play one dialogue; a context that fails or never ends is a violation too."""
    context = await session.start(seed=dialogue.seed, mode=dialogue.mode)
    writer = Writer(context)
    try:
        async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.listen())
            tasks.create_task(writer.play(dialogue))
    except* (ClientError, ServerError) as errors:
        writer.ledger.violations.extend(repr(error) for error in errors.exceptions)
    except* TimeoutError:
        writer.ledger.violations.append(f"not ended after {TIMEOUT_S} s")
    return writer.ledger


class Writer:
    """Plays a dialogue in one context, and checks what comes back."""

    def __init__(self, context: Context) -> None:
        self.ledger = Ledger()
        self._context = context
        self._length = 0  # of the text that stands
        self._asked = 0
        self._answered = asyncio.Event()

    async def play(self, dialogue: Dialogue) -> None:
        """Do the acts in order, then end or cancel."""
        for act in dialogue.acts:
            if act.kind == "push":
                self._length += len(act.text)
                await self._context.push(act.text)
            elif act.kind == "retract":
                await self._retract(max(0, self._length - act.back))
            elif act.kind == "flush":
                await self._context.flush()
            else:
                await asyncio.sleep(act.pause_s)
        await (self._context.cancel() if dialogue.ending == "cancel" else self._context.end())

    async def _retract(self, to: int) -> None:
        """Take text back, and learn where the next piece will stand."""
        self._asked = to
        self._answered.clear()
        await self._context.retract(to)
        await self._answered.wait()

    async def listen(self) -> None:
        """Enter what the server says into the ledger. Raises `ServerError` when it refuses."""
        async for event in self._context:
            if isinstance(event, Audio):
                self.ledger.audio(event, self._length)
            elif isinstance(event, Retracted):
                self.ledger.retracted(event, self._asked, self._length)
                self._length = event.to
                self._answered.set()
            elif isinstance(event, Done):
                self.ledger.done(event, self._length)
            elif isinstance(event, Cancelled):
                self.ledger.cancelled(event)
            elif isinstance(event, Error):
                raise ServerError(event.code, event.message)
