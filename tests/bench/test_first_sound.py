"""First sounds and gaps: the simulated listener, and the rows that use it."""

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
from backend.sessions.pacer_setup import create_pacing
from backend.tts_manager import VoiceParams
from bench.harness.corpus import BenchText, load_corpus, split_tokens
from bench.harness.recording_client import ServerError, wait_for_first_sound
from bench.harness.setup import QUICK, Setup
from bench.harness.simulated_listener import AudibleGap, SimulatedListener, cut_pauses, decode_pcm
from bench.server import clause_peer, latency, rates
from bench.simulation.virtual_speech import VirtualTTSManager, run_context
from duplex_tts import Audio, Context, Done, Event
from tests.support.engines.fake_engine import FakeModel

RATE_HZ = 24_000


def loud(seconds: float) -> np.ndarray:
    return np.full(round(seconds * RATE_HZ), 0.1, np.float32)


def silent(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


# --- the simulated listener -----------------------------------------------------------------------


def test_first_sound_is_the_first_audible_sample() -> None:
    hearing = SimulatedListener(RATE_HZ)
    hearing.play_audio(np.concatenate([silent(0.3), loud(0.1)]), 1.0)
    assert hearing.first_message_s == 1.0
    assert hearing.first_sound_s == pytest.approx(1.3)


def test_early_message_is_played_after_the_previous_one() -> None:
    hearing = SimulatedListener(RATE_HZ)
    assert hearing.play_audio(silent(0.5), 1.0) == 1.0
    assert hearing.play_audio(loud(0.5), 1.2) == pytest.approx(1.5)
    assert hearing.first_sound_s == pytest.approx(1.5)
    assert hearing.gaps == []


def test_gaps_count_from_the_first_audible_sound_on() -> None:
    hearing = SimulatedListener(RATE_HZ)
    hearing.play_audio(silent(0.1), 0.0)
    hearing.play_audio(loud(0.1), 1.0)
    assert hearing.gaps == []
    hearing.play_audio(loud(0.1), 1.5)
    assert [(gap.at_s, gap.length_s) for gap in hearing.gaps] == [pytest.approx((1.1, 0.4))]


def test_empty_message_is_not_played_and_ends_no_gap() -> None:
    hearing = SimulatedListener(RATE_HZ)
    hearing.play_audio(silent(0), 0.5)
    assert hearing.first_message_s is None
    hearing.play_audio(loud(0.1), 1.0)
    hearing.play_audio(silent(0), 2.0)
    assert hearing.gaps == []


def test_cut_pauses_shortens_only_silence() -> None:
    pcm = np.concatenate([loud(0.2), silent(2.0), loud(0.3), silent(0.5), loud(0.1)])
    cut = cut_pauses(pcm, RATE_HZ, 0.6)
    assert len(cut) / RATE_HZ == pytest.approx(0.2 + 0.6 + 0.3 + 0.5 + 0.1, abs=0.006)
    assert np.count_nonzero(cut) == np.count_nonzero(pcm)


class CannedContext:
    """A context that yields fixed events."""

    def __init__(self, *events: Event) -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[Event]:
        for event in self._events:
            yield event


def message(pcm: np.ndarray) -> Audio:
    data = (pcm * 32768).astype("<i2").tobytes()
    return Audio("c", 0, 0.0, len(pcm) / 24, (0, 4), (), data)


async def test_silent_message_is_not_the_first_sound() -> None:
    events = message(silent(0.3)), message(np.concatenate([silent(0.05), loud(0.1)]))
    found = await wait_for_first_sound(cast(Context, CannedContext(*events)), RATE_HZ)
    assert found.audio is events[1]
    assert found.sound_s - found.message_s == pytest.approx(0.35, abs=0.001)
    assert found.message_s <= found.audible_message_s < found.message_s + 0.35


async def test_inaudible_context_raises() -> None:
    context = CannedContext(message(silent(0.3)), Done("c", 300.0, 4, 1))
    with pytest.raises(ServerError, match="silent"):
        await wait_for_first_sound(cast(Context, context), RATE_HZ)


def test_server_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(ServerError("overloaded", "try again")))
    assert error.code == "overloaded"
    assert str(error) == "overloaded: try again"


def test_pcm_is_decoded() -> None:
    assert decode_pcm(b"\x00\x40\x00\xc0").tolist() == [0.5, -0.5]


# --- latency over the engine's own time -----------------------------------------------------------


class RecordingTTSManager(VirtualTTSManager):
    """Records the releases that its engine gets."""

    def __init__(self) -> None:
        super().__init__(FakeModel())
        self.releases: list[Release] = []

    def open_utterance(self, params: VoiceParams, *more: Any) -> Any:
        utterance = super().open_utterance(params, *more)
        extend = utterance.extend

        def record_release(release: Release, deadline_s: float) -> None:
            self.releases.append(release)
            extend(release, deadline_s)

        utterance.extend = record_release
        return utterance


def test_opening_release_equals_the_server_release() -> None:
    tts = RecordingTTSManager()
    pacing = create_pacing(Settings(), Start("a"), FakeModel())
    openings = [latency.find_opening(split_tokens(each.text), pacing) for each in load_corpus()]
    found = [opening for opening in openings if opening is not None]
    assert len(found) > len(openings) / 2
    for number, opening in enumerate(found):
        commands: list[tuple[float, Command]] = [
            (0.0, Text(str(number), opening.before)),
            (latency.IDLE_S, Text(str(number), opening.trigger)),
            (latency.IDLE_S + 0.005, Ping()),  # delays the end
        ]
        tts.releases.clear()
        run_context(tts, Start(str(number), language="en"), commands)
        assert tts.releases[0] == opening.release


def test_half_word_counts_as_lookahead() -> None:
    pacing = create_pacing(Settings(), Start("a"), FakeModel())
    opening = latency.find_opening(["Some", "body", " kno", "ws", " it."], pacing)
    assert opening == latency.Opening("Somebody", " kno", Release("Somebody kno ", 9))


def test_text_released_only_by_its_end_has_no_opening() -> None:
    pacing = create_pacing(Settings(), Start("a"), FakeModel())
    assert latency.find_opening(["No"], pacing) is None


def test_latency_ratio_ignores_samples_with_different_words() -> None:
    samples = [latency.LatencySample(0.024, 0.030, 0.020, (4, 4))] * 3
    different = latency.LatencySample(0.5, 0.5, 0.001, (9, 4))
    result = latency.build_result([*samples, different])
    assert result.figures[0].value == pytest.approx(1.2)
    assert "sound p50 30.0 ms" in result.figures[0].note
    assert "1 ignored (different words)" in result.figures[0].note


def test_latency_without_comparable_samples_raises() -> None:
    with pytest.raises(ServerError, match="same words"):
        latency.build_result([latency.LatencySample(0.5, 0.5, 0.001, (9, 4))])


# --- the peer, and token rates --------------------------------------------------------------------


def test_peer_figures_report_message_and_sound_of_both() -> None:
    texts = [BenchText(str(n), "plain", "Yes.") for n in range(2)]
    ours, peer = clause_peer.FirstSoundTimes(0.08, 0.1), clause_peer.FirstSoundTimes(0.4, 0.7)
    begins, sooner = clause_peer.build_result(texts, [ours] * 2, [peer] * 2).figures
    assert begins.value == pytest.approx(100)
    assert begins.met
    assert sooner.value == pytest.approx(7)
    assert "first message p50 80 ms, first audible sound p50 100 ms" in sooner.note
    assert "peer: 400 ms, 700 ms" in sooner.note


@pytest.mark.parametrize(("seconds", "met"), [(0.11, True), (0.112, False)])
def test_first_sound_has_a_goal(seconds: float, met: bool) -> None:
    beginning = clause_peer.FirstSoundTimes(0.01, seconds)
    begins, _ = clause_peer.build_result(
        [BenchText("a", "plain", "Yes.")], [beginning], [beginning]
    ).figures
    assert begins.met is met


def test_gaps_are_counted_at_each_rate() -> None:
    def rate_result(*lengths_s: float) -> rates.RateResult:
        return rates.RateResult(0.1, 0.12, [AudibleGap(1.0, length_s) for length_s in lengths_s])

    slow, fast = rates.build_result(
        {10.0: [rate_result(0.2, 0.05), rate_result()], 30.0: [rate_result()]}
    ).figures
    assert (slow.value, fast.value) == (2, 0)
    assert "10 tokens/s" in slow.name
    assert "worst 200 ms, in 1 of 2 texts" in slow.note
    assert "first audible sound p50 120 ms" in fast.note


@pytest.mark.slow
async def test_every_rate_is_measured_with_a_real_server(
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
