"""Adaptive Opus over lines that become thin: the real server, the embedded voice, a real clock."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import av
import pytest

from duplex_tts import Advice, Audio, Done, Options, Session
from duplex_tts.local_server import local_server
from duplex_tts.utterance import Utterance
from tests.support.thin_line import FREE, ThinLine, thin_line

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

THIN = 24_000  # bits per second, all bytes
GAP_S = 0.02
FULL_BITS = 45_000  # of speech at 64,000, pauses included
TEXT = (
    "The quick brown fox jumps over the lazy dog, and the dog sleeps on. Then it wakes up. "
    "She sells sea shells by the shore, which are surely seashore shells. Nobody had expected the "
    "weather to turn so quickly, and yet by the evening the whole valley was covered in snow. They "
    "walked home slowly, telling each other stories about the old house on the hill. "
) * 2
Plan = list[tuple[float, float | None]]


@dataclass
class Heard:
    """What a listener without a jitter buffer received, and when; seconds from the first text."""

    audio: list[tuple[float, Audio]] = field(default_factory=list)
    done: Done | None = None

    @property
    def data(self) -> bytes:
        return b"".join(audio.data for _, audio in self.audio)

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """When, and for how long."""
        gaps, dry_s = [], None
        for at_s, audio in self.audio:
            if not audio.duration_ms:
                continue
            if dry_s is not None and at_s > dry_s + GAP_S:
                gaps.append((round(at_s, 2), round(at_s - dry_s, 3)))
            dry_s = max(dry_s or at_s, at_s) + audio.duration_ms / 1000
        return gaps

    def bits_per_s(self, from_s: float, to_s: float) -> float:
        """Of the packets that arrived then, per second of their audio."""
        parts = [audio for at_s, audio in self.audio if from_s <= at_s < to_s]
        seconds = sum(audio.duration_ms for audio in parts) / 1000
        return sum(len(audio.data) * 8 for audio in parts) / seconds if seconds else 0.0

    def assert_complete(self) -> None:
        assert self.done is not None
        spans = [audio.text for _, audio in self.audio]
        assert spans[0][0] == 0
        assert all(before[1] == after[0] for before, after in pairwise(spans))
        assert spans[-1][1] == self.done.characters
        with av.open(io.BytesIO(self.data), "r") as reader:
            samples = sum(frame.samples for frame in reader.decode(audio=0))
        assert samples == pytest.approx(self.done.audio_ms * 48, abs=48)


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with local_server() as url:
        yield url


async def like_a_model(text: str) -> AsyncIterator[str]:
    for word in text.split(" "):
        yield word + " "
        await asyncio.sleep(0.05)


async def follow(line: ThinLine, plan: Plan) -> None:
    begun_s = time.perf_counter()
    for at_s, bits_per_s in plan:
        await asyncio.sleep(max(0.0, begun_s + at_s - time.perf_counter()))
        line.bits_per_s = bits_per_s


async def hear(utterance: Utterance, *, reports: bool) -> Heard:
    heard, begun_s, first_s = Heard(), time.perf_counter(), None
    async for audio in utterance:
        at_s = time.perf_counter() - begun_s
        first_s = first_s or (at_s if audio.duration_ms else None)
        heard.audio.append((at_s, audio))
        if reports and first_s:
            utterance.played(min((at_s - first_s) * 1000, utterance.audio_ms))
    done = await utterance.done()
    assert isinstance(done, Done)
    heard.done = done
    return heard


async def speak_over(url: str, plan: Plan, *, reports: bool = False) -> Heard:
    async with thin_line(url) as line:
        line.bits_per_s = plan[0][1]
        async with Session.connect(line.url) as session:
            changes = asyncio.create_task(follow(line, plan))
            speech = session.speak(like_a_model(TEXT), format="opus", bit_rate="auto", seed=1)
            heard = await hear(speech, reports=reports)
            changes.cancel()
    return heard


@pytest.mark.parametrize("reports", [False, True])
async def test_ten_thin_seconds_make_no_gap(server_url: str, reports: bool) -> None:
    heard = await speak_over(server_url, [(0.0, FREE), (2.0, THIN), (12.0, FREE)], reports=reports)
    heard.assert_complete()
    assert heard.gaps == []
    assert heard.bits_per_s(5.0, 12.0) < THIN
    assert heard.bits_per_s(17.0, 60.0) > FULL_BITS or heard.audio[-1][0] < 17.0
    assert heard.bits_per_s(12.0, 17.0) > FULL_BITS


async def test_a_line_thin_from_the_start_has_no_gap(server_url: str) -> None:
    heard = await speak_over(server_url, [(0.0, THIN)])
    heard.assert_complete()
    assert heard.gaps == []


async def test_twice_thin_makes_no_gap(server_url: str) -> None:
    plan: Plan = [(0.0, FREE), (2.0, THIN), (6.0, FREE), (9.0, THIN), (14.0, FREE)]
    heard = await speak_over(server_url, plan)
    heard.assert_complete()
    assert heard.gaps == []


async def test_a_resumed_session_loses_nothing(server_url: str) -> None:
    async with thin_line(server_url) as line:
        line.bits_per_s = THIN
        async with Session.connect(line.url) as session:
            speech = session.speak(TEXT, format="opus", bit_rate="auto", seed=1)
            hearing = asyncio.create_task(hear(speech, reports=False))
            await asyncio.sleep(5)
            line.cut()
            await asyncio.sleep(3)
            line.bits_per_s = FREE
            heard = await hearing
            assert session.stats().resumes == 1
    heard.assert_complete()


async def test_two_utterances_of_a_session_follow_without_a_gap(server_url: str) -> None:
    async with thin_line(server_url) as line:
        line.bits_per_s = THIN
        async with Session.connect(line.url) as session:
            text = TEXT[: len(TEXT) // 4]
            speech = [session.speak(text, format="opus", bit_rate="auto", seed=1) for _ in range(2)]
            both = await asyncio.gather(*(hear(each, reports=False) for each in speech))
    for heard in both:
        heard.assert_complete()
    assert Heard(sorted(both[0].audio + both[1].audio, key=lambda each: each[0])).gaps == []


async def test_a_pcm_listener_is_advised_once(server_url: str) -> None:
    advice: list[object] = []

    def note(event: object) -> None:
        if isinstance(event, Advice):
            advice.append(event)

    options = Options(on_event=note)
    async with (
        thin_line(server_url) as line,
        Session.connect(line.url, options=options) as session,
    ):
        await session.speak("A free line needs no advice.", seed=1).done()
        assert advice == []
        line.bits_per_s = THIN * 4
        for text in ("The first sentence is late.", "So is the second one."):
            await session.speak(text, seed=1).done()
    (only,) = advice
    assert isinstance(only, Advice)
    assert (only.code, only.format, only.bit_rate) == ("thin_line", "opus", "auto")
    assert only.context == "utterance-2"
