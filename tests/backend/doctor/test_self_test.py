"""The self-test: what it says of an engine that speaks well, badly, late or not at all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import structlog

from backend.doctor import rendering
from backend.doctor.checks import self_test
from backend.doctor.findings import CheckInputs, Finding, Status
from backend.doctor.rendering import LONG_TEXT, SHORT_TEXT, sound_problems
from backend.engines.base import Chunk, Device, Failure, Pcm, Release, Utterance
from backend.errors import ConfigError, EngineFailed
from tests.support.doctor_findings import by_name, inputs_for
from tests.support.engines.fake_engine import RATE_HZ, FakeModel

Sound = Callable[[int], Pcm]


def tone(samples: int, level: float = 0.3) -> Pcm:
    wave = level * np.sin(np.arange(samples) * 0.1)
    return np.asarray(wave, np.float32)


class SoundingEngine:
    """Speaks 14 characters a second in two chunks, with the samples of `sound(count)`; the first
    chunk follows `silent_s` of silence.
    """

    def __init__(self, model: SoundingModel) -> None:
        self.info = model.info
        self._model = model
        self._texts: dict[str, str] = {}
        self._begun: set[str] = set()

    def begin(self, utterance: Utterance) -> None:
        self._model.spoken.append(utterance)

    def extend(self, utterance_id: str, release: Release) -> None:
        assert release.final
        self._texts[utterance_id] = release.text
        self._model.batch_sizes.append(len(self._texts))

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        self._model.on_step()
        return [self._advance(name) for name in urgent]

    def _advance(self, name: str) -> Chunk | Failure:
        if self._model.error is not None:
            return Failure(name, self._model.error)
        text, is_first = self._texts[name], name not in self._begun
        self._begun.add(name)
        pcm = self._model.sound(int(len(text) / 14 * RATE_HZ / 2))
        if is_first:
            return Chunk(name, pcm, 0, 0)
        self.abort(name)
        return Chunk(name, pcm, 0, len(text), caught_up=True)

    def abort(self, utterance_id: str) -> None:
        self._texts.pop(utterance_id, None)


class SoundingModel(FakeModel):
    error: EngineFailed | None = None

    def __init__(self, sound: Sound = tone, max_batch: int = 1) -> None:
        super().__init__(max_batch=max_batch)
        self.sound = sound
        self.on_step: Callable[[], None] = lambda: None
        self.spoken: list[Utterance] = []
        self.batch_sizes: list[int] = []

    def create_engine(self) -> Any:
        return SoundingEngine(self)


@pytest.fixture
def test(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Finding]]:
    """Run the self-test with a model, or with a function that loads one."""

    def run(
        load: SoundingModel | Callable[[], Any], inputs: CheckInputs | None = None
    ) -> dict[str, Finding]:
        def load_model(settings: object, _: Path) -> Any:
            structlog.get_logger().info("engine.chosen", engine="fake", why="it is a test")
            return load() if callable(load) else load

        monkeypatch.setattr(self_test, "load_model", load_model)
        return by_name(self_test.run(inputs or CheckInputs()))

    return run


Test = Callable[..., dict[str, Finding]]


def test_a_good_engine_is_ok(test: Test) -> None:
    model = SoundingModel()
    found = test(model)
    assert {finding.status for finding in found.values()} == {Status.OK}
    assert found["engine"].text == "fake: it is a test"
    assert found["sound"].values == {"text": LONG_TEXT, "seconds": pytest.approx(5.4, abs=0.1)}
    assert 0 < found["speed"].values["real_time_factor"] < 1  # type: ignore[operator]
    assert {utterance.voice for utterance in model.spoken} == {"heart"}


def nothing(samples: int) -> Pcm:
    return np.zeros(0, np.float32)


def not_numbers(samples: int) -> Pcm:
    pcm = tone(samples)
    pcm[100:200] = np.nan
    return pcm


@pytest.mark.parametrize(
    ("sound", "problem"),
    [
        (nothing, "there is no sound"),
        (not_numbers, "not numbers"),
        (lambda samples: np.full(samples, np.inf, np.float32), "not numbers"),
        (lambda samples: np.zeros(samples, np.float32), "silent"),
        (lambda samples: tone(samples, 1e-4), "silent"),
        (lambda samples: np.clip(tone(samples, 3.0), -1, 1), "distorted"),
        (lambda samples: tone(samples // 8), "left out or invented"),
        (lambda samples: tone(samples * 4), "left out or invented"),
    ],
)
def test_bad_sound_is_an_error_of_the_chosen_engine_only(
    test: Test, sound: Sound, problem: str
) -> None:
    found = test(SoundingModel(sound))
    assert found["sound"].status is Status.ERROR
    assert problem in found["sound"].text
    other = test(SoundingModel(sound), CheckInputs(engine="hibari"))
    assert other["sound"].status is Status.WARNING


def test_random_weights_may_say_anything_but_must_sound() -> None:
    inputs = CheckInputs(inputs_for(engine={"name": "chatterbox"}).settings, random_weights=True)
    spoken = rendering.Rendering([tone(100)], 0.1, 0.1)
    assert self_test._judge(inputs, spoken, RATE_HZ, LONG_TEXT).status is Status.OK
    spoken = rendering.Rendering([not_numbers(300)], 0.1, 0.1)
    assert self_test._judge(inputs, spoken, RATE_HZ, LONG_TEXT).status is Status.ERROR


def test_a_failed_utterance_is_an_error(test: Test) -> None:
    model = SoundingModel()
    model.error = EngineFailed("out of memory")
    finding = test(model)["engine"]
    assert (finding.status, finding.text) == (Status.ERROR, "out of memory")


def test_an_engine_that_cannot_be_loaded_is_quoted_with_its_remedy(test: Test) -> None:
    def refuse() -> None:
        raise ConfigError("chatterbox: no ve.safetensors in x; run: duplex-tts download chatterbox")

    finding = test(refuse)["engine"]
    assert finding.status is Status.ERROR
    assert finding.remedy == "run: duplex-tts download chatterbox"


@pytest.mark.parametrize(
    ("voice", "name", "status"),
    [("remote", "voice", Status.WARNING), ("nobody", "engine", Status.ERROR)],
)
def test_the_configured_voice_is_tried_without_a_download(
    test: Test, voice: str, name: str, status: Status
) -> None:
    assert test(SoundingModel(), inputs_for(engine={"voice": voice}))[name].status is status


def test_an_engine_slower_than_real_time_is_warned_of(
    test: Test, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count(step=5.0)  # at every look at the clock
    clock = SimpleNamespace(monotonic=lambda: next(seconds))
    monkeypatch.setattr(rendering, "time", clock)
    finding = test(SoundingModel(), CheckInputs(budget_s=1e6))["speed"]
    assert finding.status is Status.WARNING
    assert "slower than real time" in finding.remedy


def test_speech_that_does_not_end_in_time_is_given_up(
    test: Test, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count(step=1e9)
    monkeypatch.setattr(rendering, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    finding = test(SoundingModel(), CheckInputs(budget_s=20.0))["speech"]
    assert (finding.status, finding.text) == (Status.ERROR, "did not end within 20 s")
    assert "--timeout 40" in finding.remedy


def test_warnings_of_the_log_are_reported_once(test: Test) -> None:
    def load() -> SoundingModel:
        for _ in range(2):
            structlog.get_logger().warning("voice.unreadable", voice="anna", why="cut off")
        return SoundingModel()

    assert test(load)["log"].text == "voice.unreadable: cut off"
    assert structlog.get_config()["processors"] != [], "the log is as before"


# --- on a card ------------------------------------------------------------------------------------


class CardModel(SoundingModel):
    device = Device("H100", 20_000_000_000, 80_000_000_000)


def test_a_card_is_measured_at_each_batch_that_it_takes(test: Test) -> None:
    model = CardModel(max_batch=16)
    found = test(model)
    assert {"first sound", "batch 1", "batch 16", "memory"} < set(found)
    assert "batch 64" not in found
    assert max(model.batch_sizes) == 16
    assert set(found["batch 16"].values) == {"token_ms", "first_p50_ms", "speech_per_s"}
    assert found["memory"].text == "20.0 of 80.0 GB of H100 used"


def test_time_per_token_counts_the_tokens_of_one_utterance(
    test: Test, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(seconds))
    monkeypatch.setattr("backend.doctor.benchmark.time", clock)
    values = test(CardModel(max_batch=16))["batch 16"].values  # one second for 16 utterances
    tokens = 25 * len(LONG_TEXT) / 14
    assert values["token_ms"] == pytest.approx(1000 / tokens, rel=0.01)
    assert values["speech_per_s"] == pytest.approx(16 * len(LONG_TEXT) / 14, rel=0.01)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([("info", "engine.warm", {"seconds": 9})], Status.OK),
        ([], Status.WARNING),
        (
            [
                ("info", "engine.warm", {"seconds": 9}),
                ("warning", "graph.not_captured", {"why": "no memory"}),
            ],
            Status.WARNING,
        ),
    ],
)
def test_graphs_that_were_not_captured_are_warned_of(
    test: Test, events: list[tuple[str, str, dict[str, object]]], status: Status
) -> None:
    def load() -> CardModel:
        for level, name, fields in events:
            getattr(structlog.get_logger(), level)(name, **fields)
        return CardModel()

    assert test(load)["graphs"].status is status


def test_a_benchmark_without_time_says_so(test: Test, monkeypatch: pytest.MonkeyPatch) -> None:
    model = CardModel()
    utterances = itertools.count()
    monkeypatch.setattr(
        rendering, "time", SimpleNamespace(monotonic=lambda: 1e12 * (next(utterances) > 12))
    )
    found = test(model, CheckInputs(budget_s=1e9))
    assert found["batches"].status is Status.WARNING
    assert "memory" in found


def test_a_slow_engine_speaks_little(test: Test) -> None:
    model = SoundingModel(max_batch=4)  # one that batches, without a card
    assert test(model)["sound"].values["text"] == SHORT_TEXT
    assert len(model.spoken) == 1


@pytest.mark.parametrize("text", [LONG_TEXT, SHORT_TEXT])
@pytest.mark.parametrize("characters_per_s", [6.0, 14.0, 30.0])
def test_usual_speech_is_plausible(text: str, characters_per_s: float) -> None:
    assert not sound_problems(tone(int(len(text) / characters_per_s * RATE_HZ)), RATE_HZ, text)
