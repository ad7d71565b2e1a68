"""First sounds and gaps: what a listener hears, and the rows that say so."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import numpy as np
import pytest

from backend.config import Settings
from backend.engines.base import Release
from backend.events import Command, Ping, Start, Text
from backend.sessions.context import create_pacing
from backend.tts_manager import VoiceParams
from bench.harness.corpus import BenchText, load_corpus, tokens
from bench.harness.hearing import Gap, Hearing, cut_pauses, decode_pcm
from bench.harness.recording_client import ServerError, first_sound
from bench.harness.setup import QUICK, Setup
from bench.harness.virtual_speech import VirtualTTS, converse
from bench.server import clause_peer, latency, rates
from duplex_tts import Audio, Context, Done, Event
from tests.support.engines.fake_engine import FakeModel

RATE_HZ = 24_000


def loud(seconds: float) -> np.ndarray:
    return np.full(round(seconds * RATE_HZ), 0.1, np.float32)


def silent(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


# --- a listener -----------------------------------------------------------------------------------


def test_the_first_sound_is_the_first_audible_sample() -> None:
    hearing = Hearing(RATE_HZ)
    hearing.hear(np.concatenate([silent(0.3), loud(0.1)]), 1.0)
    assert hearing.first_message_s == 1.0
    assert hearing.first_sound_s == pytest.approx(1.3)


def test_a_message_that_waits_for_its_turn_is_heard_after_the_one_before() -> None:
    hearing = Hearing(RATE_HZ)
    assert hearing.hear(silent(0.5), 1.0) == 1.0
    assert hearing.hear(loud(0.5), 1.2) == pytest.approx(1.5)
    assert hearing.first_sound_s == pytest.approx(1.5)
    assert hearing.gaps == []


def test_a_gap_counts_from_the_first_audible_sound_on() -> None:
    hearing = Hearing(RATE_HZ)
    hearing.hear(silent(0.1), 0.0)
    hearing.hear(loud(0.1), 1.0)
    assert hearing.gaps == []
    hearing.hear(loud(0.1), 1.5)
    assert [(gap.at_s, gap.length_s) for gap in hearing.gaps] == [pytest.approx((1.1, 0.4))]


def test_a_message_without_audio_is_neither_heard_nor_ends_a_gap() -> None:
    hearing = Hearing(RATE_HZ)
    hearing.hear(silent(0), 0.5)
    assert hearing.first_message_s is None
    hearing.hear(loud(0.1), 1.0)
    hearing.hear(silent(0), 2.0)
    assert hearing.gaps == []


def test_pauses_are_cut_and_sounds_are_not() -> None:
    pcm = np.concatenate([loud(0.2), silent(2.0), loud(0.3), silent(0.5), loud(0.1)])
    cut = cut_pauses(pcm, RATE_HZ, 0.6)
    assert len(cut) / RATE_HZ == pytest.approx(0.2 + 0.6 + 0.3 + 0.5 + 0.1, abs=0.006)
    assert np.count_nonzero(cut) == np.count_nonzero(pcm)


class TextBuffer:
    """A context that answers with these events."""

    def __init__(self, *events: Event) -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[Event]:
        for event in self._events:
            yield event


def message(pcm: np.ndarray) -> Audio:
    data = (pcm * 32768).astype("<i2").tobytes()
    return Audio("c", 0, 0.0, len(pcm) / 24, (0, 4), (), data)


async def test_a_message_of_silence_is_not_yet_the_first_sound() -> None:
    events = message(silent(0.3)), message(np.concatenate([silent(0.05), loud(0.1)]))
    found = await first_sound(cast(Context, TextBuffer(*events)), RATE_HZ)
    assert found.audio is events[1]
    assert found.sound_s - found.message_s == pytest.approx(0.35, abs=0.001)
    assert found.message_s <= found.audible_message_s < found.message_s + 0.35


async def test_a_context_that_is_never_audible_is_no_measurement() -> None:
    script = TextBuffer(message(silent(0.3)), Done("c", 300.0, 4, 1))
    with pytest.raises(ServerError, match="silent"):
        await first_sound(cast(Context, script), RATE_HZ)


def test_an_error_survives_the_way_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(ServerError("overloaded", "try again")))
    assert error.code == "overloaded"
    assert str(error) == "overloaded: try again"


def test_samples_are_decoded_as_they_were() -> None:
    assert decode_pcm(b"\x00\x40\x00\xc0").tolist() == [0.5, -0.5]


# --- over the engine's own time -------------------------------------------------------------------


class Watched(VirtualTTS):
    """Writes down what its engine is asked for."""

    def __init__(self) -> None:
        super().__init__(FakeModel())
        self.releases: list[Release] = []

    def open_utterance(self, params: VoiceParams, *more: Any) -> Any:
        speech = super().open_utterance(params, *more)
        extend = speech.extend

        def watch(release: Release, deadline_s: float) -> None:
            self.releases.append(release)
            extend(release, deadline_s)

        speech.extend = watch
        return speech


def test_the_engine_is_asked_for_what_the_server_asks_for() -> None:
    tts = Watched()
    pacing = create_pacing(Settings(), Start("a"), tts)
    openings = [latency.find_opening(tokens(each.text), pacing) for each in load_corpus()]
    found = [opening for opening in openings if opening is not None]
    assert len(found) > len(openings) / 2
    for number, opening in enumerate(found):
        commands: list[tuple[float, Command]] = [
            (0.0, Text(str(number), opening.before)),
            (latency.IDLE_S, Text(str(number), opening.trigger)),
            (latency.IDLE_S + 0.005, Ping()),  # so that the end comes later
        ]
        tts.releases.clear()
        converse(tts, Start(str(number)), commands)
        assert tts.releases[0] == opening.release


def test_half_a_word_behind_the_first_one_is_lookahead() -> None:
    pacing = create_pacing(Settings(), Start("a"), Watched())
    opening = latency.find_opening(["Some", "body", " kno", "ws", " it."], pacing)
    assert opening == latency.Opening("Somebody", " kno", Release("Somebody kno", 9))


def test_a_text_that_only_its_end_lets_be_spoken_has_no_opening() -> None:
    pacing = create_pacing(Settings(), Start("a"), Watched())
    assert latency.find_opening(["No"], pacing) is None


def test_the_ratio_is_of_messages_and_what_differs_is_not_compared() -> None:
    samples = [latency.Sample(0.024, 0.030, 0.020, (4, 4))] * 3
    different = latency.Sample(0.5, 0.5, 0.001, (9, 4))
    result = latency.result([*samples, different])
    assert result.figures[0].value == pytest.approx(1.2)
    assert "sound p50 30.0 ms" in result.figures[0].note
    assert "1 more spoke other words" in result.figures[0].note


def test_without_anything_to_compare_there_is_no_ratio() -> None:
    with pytest.raises(ServerError, match="same words"):
        latency.result([latency.Sample(0.5, 0.5, 0.001, (9, 4))])


# --- a peer, and rates of tokens ------------------------------------------------------------------


def test_message_and_sound_of_both_stand_side_by_side() -> None:
    texts = [BenchText(str(n), "plain", "Yes.") for n in range(2)]
    ours, theirs = clause_peer.Beginning(0.08, 0.1), clause_peer.Beginning(0.4, 0.7)
    begins, sooner = clause_peer.result(texts, [ours] * 2, [theirs] * 2).figures
    assert begins.value == pytest.approx(100)
    assert begins.met
    assert sooner.value == pytest.approx(7)
    assert "first message p50 80 ms, first audible sound p50 100 ms" in sooner.note
    assert "the peer's 400 ms, 700 ms" in sooner.note


@pytest.mark.parametrize(("seconds", "met"), [(0.11, True), (0.112, False)])
def test_the_first_sound_has_a_goal(seconds: float, met: bool) -> None:
    beginning = clause_peer.Beginning(0.01, seconds)
    begins, _ = clause_peer.result(
        [BenchText("a", "plain", "Yes.")], [beginning], [beginning]
    ).figures
    assert begins.met is met


def test_gaps_are_counted_at_each_rate() -> None:
    def heard(*lengths_s: float) -> rates.Heard:
        return rates.Heard(0.1, 0.12, [Gap(1.0, length_s) for length_s in lengths_s])

    slow, fast = rates.result({10.0: [heard(0.2, 0.05), heard()], 30.0: [heard()]}).figures
    assert (slow.value, fast.value) == (2, 0)
    assert "10 tokens/s" in slow.name
    assert "worst 200 ms, in 1 of 2 texts" in slow.note
    assert "first audible sound p50 120 ms" in fast.note


async def test_a_listener_hears_a_real_server_at_every_rate(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "TOKENS_PER_S", (30.0,))
    shares: list[float] = []
    texts: Sequence[BenchText] = [BenchText("a", "plain", "The library opens at nine.")]
    setup = Setup(url, cast(Any, None), texts, QUICK, seed=1, progress=shares.append)
    result = await asyncio.wait_for(rates.measure(setup), 60)
    (sound_ms,) = result.details["30"]["sound_ms"]
    (message_ms,) = result.details["30"]["message_ms"]
    assert 0 < message_ms <= sound_ms < message_ms + 60
    assert shares[-1] == 1
