"""The client library's benchmark: every row at small scale, and that faults are detected."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.__main__ import CLIENT_ROWS, app
from bench.client import barge_in, disconnects, gaps, session_reuse
from bench.client.fault_proxy import FaultProxy, fault_proxy
from bench.harness import recording_client
from bench.harness.corpus import load_corpus
from bench.harness.recording_client import ServerError
from bench.harness.report import Figure, Result
from bench.harness.setup import QUICK, Setup
from duplex_tts import Error, Session, SpeechFailed
from duplex_tts.player import Player
from tests.support.engines import hibari_model

pytestmark = pytest.mark.slow

TINY = dataclasses.replace(
    QUICK, texts=2, cancels=2, reuses=2, utterances=3, answers=1, disconnects=4
)


def setup(url: str, done: list[float] | None = None) -> Setup:
    corpus = load_corpus(limit=2)
    shares = [] if done is None else done
    return Setup(url, hibari_model.shared_model(), corpus, TINY, seed=1, progress=shares.append)


def by_name(result: Result, start: str) -> Figure:
    (figure,) = [each for each in result.figures if each.name.startswith(start)]
    return figure


async def test_open_session_saves_the_handshake(url: str) -> None:
    done: list[float] = []
    result = await session_reuse.measure(setup(url, done))
    assert by_name(result, "reconnects").value == 0
    assert len(result.details["second_ms"]) == TINY.reuses
    assert len(result.details["ttfa_ms"]) == TINY.utterances
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)


async def test_reconnects_are_counted_by_the_proxy(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def cutting(address: str) -> AsyncIterator[FaultProxy]:
        async with fault_proxy(address) as proxy:
            proxy.cut_after_bytes = 5_000
            yield proxy

    monkeypatch.setattr(session_reuse, "fault_proxy", cutting)
    assert not by_name(await session_reuse.measure(setup(url)), "reconnects").met


async def test_answers_are_played_to_the_end_and_gaps_counted(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "TEXTS_PER_ANSWER", 1)
    result = await gaps.measure(setup(url))
    assert len(result.details["audio_s"]) == TINY.answers
    assert result.details["audio_s"][0] > 1
    gaps_counted = result.details["underruns"][0] + result.details["pauses"][0]
    assert result.figures[0].value >= gaps_counted


async def test_gap_is_counted_by_player_and_recording(url: str) -> None:
    async with Session.connect(url) as session:
        heard = await gaps.play_answer(session, "One. Two.", tokens_per_s=1.0)
    assert heard.pauses + heard.underruns >= 1
    assert heard.silence_ms > 100
    assert max(gap.length_s for gap in heard.unbuffered) > 0.1


async def test_no_sample_is_lost_in_disconnects(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnects, "AT_ONCE", 1)  # a busy machine would refuse more
    result = await disconnects.measure(setup(url))
    assert [figure.value for figure in result.figures] == [0, 0]
    assert result.details["cuts"] >= TINY.disconnects
    assert result.details["resumes"] > 0


@pytest.mark.parametrize(
    ("heard", "wrong"),
    [([1, 2, 3], 0), ([1, 2], 1), ([1, 2, 3, 3], 1), ([1, 1, 2, 3], 3), ([], 3)],
)
def test_lost_repeated_and_different_samples_are_counted(heard: list[int], wrong: int) -> None:
    original = np.array([1, 2, 3], np.int16)
    assert disconnects.count_differing(np.array(heard, np.int16), original) == wrong


async def test_interrupted_utterance_falls_silent(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_load(*_: object) -> None:
        return

    monkeypatch.setattr(barge_in, "run_load_process", no_load)
    monkeypatch.setattr(barge_in, "START_S", 0.0)
    monkeypatch.setattr(barge_in, "LATEST_S", 0.1)
    monkeypatch.setattr(barge_in, "AT_ONCE", 1)  # a busy machine would refuse more
    result = await barge_in.measure(setup(url))
    assert len(result.details["silent_ms"]) == TINY.cancels


async def test_audio_after_an_ineffective_cancel_is_measured(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Session.connect(url) as session:
        monkeypatch.setattr(Player, "stop", lambda _player: None)
        late_ms = await barge_in.interrupt(session, "Nobody stops this voice.", 0.0, by_player=True)
    assert late_ms > barge_in.GOAL_MS


@pytest.mark.parametrize(("text", "error"), [("", ServerError), ("\ud800", ValueError)])
async def test_inaudible_utterance_raises(url: str, text: str, error: type[Exception]) -> None:
    async with Session.connect(url) as session:
        with pytest.raises(error):
            await barge_in.interrupt(session, text, 0.0, by_player=True)


@pytest.mark.parametrize(
    "busy",
    [ServerError("overloaded", ""), SpeechFailed("", [Error("c", "overloaded", "")])],
    ids=["context", "utterance"],
)
async def test_overloaded_server_is_retried(
    busy: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_client, "RETRY_AFTER_S", 0)
    answers: list[Exception | int] = [busy, busy, 7]

    async def speak() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await recording_client.retry_while_busy(speak) == 7


async def test_other_errors_are_not_retried() -> None:
    async def speak() -> int:
        raise SpeechFailed("", [Error("c", "unknown_voice", "")])

    with pytest.raises(SpeechFailed):
        await recording_client.retry_while_busy(speak)


def test_client_rows_differ_from_server_rows() -> None:
    answer = CliRunner().invoke(app, ["--client", "--only", "latency"])
    assert answer.exit_code != 0
    for row in CLIENT_ROWS:
        assert row in answer.output
