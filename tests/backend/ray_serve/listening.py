"""A listener with the product's own client library, which follows its speech over replicas."""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from bench.harness.simulated_listener import SimulatedListener
from duplex_tts import Audio, Options, Session
from tests.support.engines.fake_engine import RATE_HZ, decode_pcm

_WRITING_S = 0.4  # for a sentence
_FORMAT = "pcm_f32le"
_PATIENT = Options(capacity_wait_s=60.0)  # a replica that begins may be full at first


def random_sentence(rng: random.Random) -> str:
    """About half a second of speech of the fake engine, different each time."""
    words = ("".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 7))) for _ in range(10))
    return f"{' '.join(words)}. "


@dataclass
class SessionListener:
    """Hears texts in one session. `replicas`: those that held it, in order."""

    session: Session
    rng: random.Random
    replicas: list[str] = field(default_factory=list)
    hearing: SimulatedListener = field(default_factory=lambda: SimulatedListener(RATE_HZ))

    @property
    def reconnects(self) -> int:
        """How often its connection broke or was closed; its move to a direct one does not count."""
        return self.session.stats().reconnects

    @property
    def longest_gap_s(self) -> float:
        """Of what it hears when it plays audio as it arrives."""
        return max((gap.length_s for gap in self.hearing.gaps), default=0.0)

    async def hear(self, sentences: int) -> None:
        """Hear so many sentences. Asserts what `hear_while` does."""
        left = iter(range(sentences))
        await self.hear_while(lambda: next(left, None) is not None)

    async def hear_while(self, goes_on: Callable[[], bool]) -> None:
        """Hear one text that is written while `goes_on`, somewhat faster than it is spoken. Asserts
        that each character and sample came exactly once and in order.
        """
        written: list[str] = []

        async def write() -> AsyncIterator[str]:
            while goes_on():
                written.append(random_sentence(self.rng))
                yield written[-1]
                await asyncio.sleep(_WRITING_S)

        self.hearing = SimulatedListener(RATE_HZ)
        heard = [self._take(audio) async for audio in self.session.speak(write(), format=_FORMAT)]
        self.note_replica()
        check_speech(heard, "".join(written))

    def _take(self, audio: Audio) -> Audio:
        pcm = np.frombuffer(audio.data, "<f4")
        self.hearing.play_audio(pcm, asyncio.get_running_loop().time())
        self.note_replica()
        return audio

    def note_replica(self) -> None:
        """Note which replica holds its session now."""
        replica = self.session.ready.token.partition(".")[2]
        if replica not in self.replicas[-1:]:
            self.replicas.append(replica)


def check_speech(heard: list[Audio], text: str) -> None:
    """Assert that spans of text and of samples tile, and that the samples say the text."""
    at_character, samples = 0, 0
    for audio in heard:
        assert audio.text[0] == at_character, f"{audio} after character {at_character}"
        assert round(audio.start_ms * RATE_HZ / 1000) == samples, f"{audio} after {samples}"
        at_character = audio.text[1]
        samples += len(audio.data) // 4
    assert at_character == len(text)
    pcm = np.frombuffer(b"".join(audio.data for audio in heard), "<f4")
    assert decode_pcm(pcm) == "".join(text.split())


@asynccontextmanager
async def listening(url: str, number: int = 0) -> AsyncIterator[SessionListener]:
    """Open a session. `number`: of the listener, its texts depend on it."""
    async with Session.connect(url, options=_PATIENT) as session:
        listener = SessionListener(session, random.Random(number))
        listener.note_replica()
        yield listener


@asynccontextmanager
async def many_listening(url: str, count: int) -> AsyncIterator[list[SessionListener]]:
    """Open so many sessions."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(listening(url, each)) for each in range(count)]
