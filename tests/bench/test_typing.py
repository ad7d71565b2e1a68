"""The typing row: keystrokes, timelines in virtual time, and the figures."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from backend.events import Audio, Command, Retracted, Start, Text
from bench.harness import plots
from bench.harness.corpus import BenchText, load_corpus
from bench.harness.judge import Verdict, WordErrors
from bench.harness.recording_client import ServerError
from bench.harness.report import BenchReport, Figure, Result
from bench.harness.simulated_listener import AudibleGap
from bench.harness.timeline import SpokenSpan, Timeline, play_messages
from bench.harness.typists import (
    SPEEDS,
    KeyStroke,
    TimedText,
    Typist,
    apply_strokes,
    simulate_typing,
)
from bench.server import typing
from bench.server.typing import TYPED_TEXTS, TypingJob
from bench.server.typing_figures import Take, build_figures
from bench.simulation.virtual_speech import VirtualTTSManager, run_context
from tests.support.engines.fake_engine import BAD_WORD, FakeModel

STORY = "The old lighthouse, 2.5 miles away, was empty. Nobody's boat came by. " * 3
CALM = dict.fromkeys(("hesitation_rate", "thinking_rate", "typo_rate", "prediction_rate"), 0.0)
RATE_HZ = 24_000


# --- typists --------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", SPEEDS)
def test_typed_text_equals_the_text_after_corrections(speed: float) -> None:
    for seed, text in enumerate([STORY, *(each.text for each in load_corpus())]):
        typist = Typist(
            speed, hesitation_rate=0.3, thinking_rate=0.3, typo_rate=0.5, prediction_rate=0.3
        )
        page = apply_strokes(simulate_typing(text, typist, seed))
        assert page.text == text
        assert len(page.written_s) == len(text)
        assert page.written_s == sorted(page.written_s)


def test_seed_determines_the_keystrokes() -> None:
    typist = Typist(5.5)
    assert simulate_typing(STORY, typist, 1) == simulate_typing(STORY, typist, 1)
    assert simulate_typing(STORY, typist, 1) != simulate_typing(STORY, typist, 2)


def test_all_speeds_type_the_same_keys() -> None:
    slow, fast = (simulate_typing(STORY, Typist(speed), 1) for speed in (1.0, 9.0))
    assert [stroke.text for stroke in slow] == [stroke.text for stroke in fast]
    assert slow[-1].at_s > 3 * fast[-1].at_s


@pytest.mark.parametrize("speed", SPEEDS)
def test_typist_without_pauses_has_the_given_speed(speed: float) -> None:
    strokes = simulate_typing("na" * 2000, Typist(speed, **CALM), 0)
    assert len(strokes) / strokes[-1].at_s == pytest.approx(speed, rel=0.05)


def test_gaps_between_keys_are_log_normal() -> None:
    times = [stroke.at_s for stroke in simulate_typing("na" * 2000, Typist(5.5, **CALM), 0)]
    assert np.std(np.log(np.diff(times))) == pytest.approx(0.5, rel=0.05)


def longest_gaps(text: str, **often: float) -> tuple[float, float]:
    """The longest gap inside a word, and before the first letter of one."""
    strokes = simulate_typing(text, Typist(5.5, spread=0.1, **{**CALM, **often}), 0)
    inside, before = [0.0], [0.0]
    for one, other in itertools.pairwise(strokes):
        gaps = before if one.text.isspace() else inside
        gaps.append(other.at_s - one.at_s)
    return max(inside), max(before)


def test_hesitations_are_inside_words_and_thinking_pauses_between() -> None:
    text = "some plain words " * 20
    assert max(longest_gaps(text)) < 0.5
    inside, before = longest_gaps(text, hesitation_rate=1.0)
    assert inside > 1 > 0.5 > before
    inside, before = longest_gaps(text, thinking_rate=1.0)
    assert before > 2 > 0.5 > inside


def test_wrong_letters_are_retracted_one_by_one() -> None:
    strokes = simulate_typing("lighthouse", Typist(5.5, **{**CALM, "typo_rate": 1.0}), 3)
    taken_back = [stroke.retract_to for stroke in strokes if stroke.retract_to is not None]
    assert taken_back
    assert taken_back == sorted(taken_back, reverse=True)
    assert len(strokes) == len("lighthouse") + 2 * len(taken_back)


def test_prediction_writes_the_rest_of_a_word_and_a_space() -> None:
    strokes = simulate_typing(
        "lighthouse keepers, too", Typist(5.5, **{**CALM, "prediction_rate": 1.0}), 0
    )
    bursts = [stroke.text for stroke in strokes if len(stroke.text) > 1]
    (burst,) = bursts  # a comma follows "keepers", the end "too"
    assert "lighthouse ".endswith(burst)
    assert len(burst) >= len("lighthouse ") - 2


def test_actual_retractions_override_requested_ones() -> None:
    strokes = [KeyStroke(0, "abc"), KeyStroke(1, retract_to=1), KeyStroke(2, "x")]
    assert apply_strokes(strokes).text == "ax"
    kept = apply_strokes(strokes, [2])
    assert (kept.text, kept.written_s) == ("abx", [0, 0, 2])


def test_typed_corpus_is_speakable() -> None:
    texts = load_corpus(TYPED_TEXTS)
    assert len(texts) == 24
    assert all(each.speakable for each in texts)
    assert len({each.id for each in texts}) == len(texts)


# --- timelines ------------------------------------------------------------------------------------


def create_timeline(text: str, spans: Sequence[tuple[int, int, float, float]]) -> Timeline:
    page = TimedText()
    for number, letter in enumerate(text):
        page.append(letter, float(number))
    heard = [SpokenSpan(start, end, at_s, until_s, at_s) for start, end, at_s, until_s in spans]
    return Timeline(page, heard, [], heard[0].sound_s if heard else None)


@pytest.mark.parametrize(
    ("text", "end", "half"),
    [
        ("an umbrella", 5, 1),
        ("an umbrella", 3, 0),
        ("an umbrella", 11, 0),
        ("umbrellas", 8, 1),
        ("they're in", 4, 1),
        ("they're in", 7, 0),
        ("costs 3.50 now", 8, 1),
        ("at 8:15", 5, 1),
        ("one, two", 3, 0),
        ("left-handed", 4, 0),
    ],
)
def test_span_ending_inside_a_word_counts_as_half_word(text: str, end: int, half: int) -> None:
    assert create_timeline(text, [(0, end, 0.0, 1.0)]).half_words == half


def test_empty_span_is_no_half_word() -> None:
    assert create_timeline("umbrella", [(3, 3, 0.0, 0.1)]).half_words == 0


def test_lag_is_from_last_character_to_sound() -> None:
    found = create_timeline("a cat sat", [(0, 6, 6.0, 7.0), (6, 9, 9.5, 10.0)])
    assert found.lags_s == pytest.approx([6.0 - 4.0, 9.5 - 8.0])


def test_short_gaps_are_no_stops() -> None:
    gaps = [AudibleGap(1.0, 0.05), AudibleGap(2.0, 0.2), AudibleGap(3.0, 5.0)]
    assert dataclasses.replace(create_timeline("a", []), gaps=gaps).stops == 2


def sound(text: tuple[int, int], seconds: float) -> Audio:
    data = b"\x00\x10" * round(seconds * RATE_HZ)
    return Audio("typed", 0, 0.0, seconds * 1000, text, (), data)


def test_gaps_are_only_in_the_heard_recording() -> None:
    page = apply_strokes([KeyStroke(0.0, "Yes. No.")])
    heard = play_messages(page, [(1.0, sound((0, 5), 0.5)), (3.0, sound((5, 8), 0.5))], RATE_HZ)
    assert len(heard.dry) / RATE_HZ == pytest.approx(1.0)
    assert len(heard.heard) / RATE_HZ == pytest.approx(2.5)
    assert heard.timeline.first_sound_s == 1.0
    assert heard.timeline.stops == 1
    assert [span.sound_s for span in heard.timeline.spans] == [1.0, 3.0]


# --- virtual time ---------------------------------------------------------------------------------


def test_minute_of_typing_runs_in_virtual_time() -> None:
    tts = VirtualTTSManager(FakeModel())
    job = TypingJob(BenchText("a", "plain", STORY), 2.5, seed=1)
    found = typing.speak_job(tts, job).timeline
    assert job.strokes[-1].at_s > 60
    assert found.typed.text == STORY
    assert found.half_words == 0
    assert found.stops > 3
    assert found.first_sound_s is not None
    assert 0 < found.first_sound_s < 20
    assert min(found.lags_s) >= 0
    spans = [(span.start, span.end) for span in found.spans]
    assert [0, *(end for _, end in spans)] == [*(start for start, _ in spans), len(STORY)]


def test_whole_text_is_spoken_without_gaps() -> None:
    job = TypingJob(BenchText("a", "plain", STORY), None, seed=1)
    found = typing.speak_job(VirtualTTSManager(FakeModel()), job).timeline
    assert (found.stops, found.gaps) == (0, [])
    assert found.typed.text == STORY


def test_retract_of_spoken_text_is_limited() -> None:
    commands: list[tuple[float, Command]] = [
        (stroke.at_s, typing.to_command(stroke))
        for stroke in [KeyStroke(0.0, "Yes. So "), KeyStroke(9.0, retract_to=0)]
    ]
    answers = run_context(VirtualTTSManager(FakeModel()), Start("typed"), commands)
    (kept,) = [event.to for _, event in answers if isinstance(event, Retracted)]
    assert kept > 0


def test_engine_failure_raises() -> None:
    with pytest.raises(ServerError, match="out of memory"):
        run_context(
            VirtualTTSManager(FakeModel()), Start("a"), [(0.0, Text("a", f"{BAD_WORD} now."))]
        )


def test_render_takes_its_cpu_time() -> None:
    audio = [
        at_s
        for at_s, event in run_context(
            VirtualTTSManager(FakeModel()), Start("a"), [(5.0, Text("a", "Yes."))]
        )
        if isinstance(event, Audio)
    ]
    assert 5.0 < audio[0] < 6.0


@pytest.mark.slow
def test_real_voice_is_judged() -> None:
    text = BenchText("a", "plain", "Thanks, that sounds perfect to me.")
    take = typing.run_job(TypingJob(text, 9.0, seed=1))
    assert take.dry.words == WordErrors(0, 6)
    assert 1.0 < take.dry.duration_s < 4.0
    assert take.dry.plcmos > 4
    assert take.timeline.half_words == 0


# --- the figures ----------------------------------------------------------------------------------


def take(
    speed: float | None,
    errors: int = 0,
    plcmos: float = 4.6,
    duration_s: float = 10.0,
    timeline: Timeline | None = None,
) -> Take:
    heard = create_timeline("a cat sat", [(0, 6, 2.0, 3.0), (6, 9, 8.5, 9.5)])
    strokes = [KeyStroke(0.0, "a cat sa"), KeyStroke(1.0, "x"), KeyStroke(2.0, retract_to=8)]
    dry = Verdict("a cat", WordErrors(0, 100), plcmos, None, duration_s)
    plain = Take("a", speed, 1, dry, "a cat", WordErrors(errors, 100), heard, strokes)
    return dataclasses.replace(plain, timeline=timeline or heard)


def figure(takes: list[Take], name: str) -> Figure:
    (found,) = [each for each in build_figures(takes) if name in each.name]
    return found


def takes(**usual: object) -> list[Take]:
    """A whole text, and typed at all speeds; `usual`: changes at the reference speed."""
    return [take(None), *(take(speed, **(usual if speed == 5.5 else {})) for speed in SPEEDS)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("usual", "name", "met"),
    [
        ({"errors": 0}, "at 5.5 characters/s: word errors", True),
        ({"errors": 1}, "at 5.5 characters/s: word errors", False),
        ({"plcmos": 4.53}, "PLCMOS", True),
        ({"plcmos": 4.50}, "PLCMOS", False),
        ({"duration_s": 10.5}, "duration", True),
        ({"duration_s": 9.8}, "duration", True),
        ({"duration_s": 10.7}, "duration", False),
        ({"duration_s": 9.6}, "duration", False),
        ({}, "half words", True),
        ({"timeline": create_timeline("a cat", [(0, 4, 1.0, 2.0)])}, "half words", False),
        ({}, "first sound", True),
        ({"timeline": create_timeline("a cat", [(0, 5, 4.5, 5.0)])}, "first sound", False),
        ({"timeline": create_timeline("a cat", [(0, 5, 4.5, 5.0)])}, "last character", True),
        ({"timeline": create_timeline("a cat", [(0, 5, 5.5, 6.0)])}, "last character", False),
    ],
)
def test_every_figure_has_its_goal(usual: dict[str, object], name: str, met: bool) -> None:
    assert figure(takes(**usual), name).met is met


def test_word_error_goal_depends_on_speed() -> None:
    slow = [take(None), take(1.0, errors=1), *takes()[2:]]
    assert figure(slow, "at 1 characters/s").met
    assert not figure([take(None), take(1.0, errors=2), *takes()[2:]], "at 1 characters/s").met
    assert not figure(takes(), "at 9 characters/s").has_verdict


def test_typing_details_contain_every_text_and_are_plotted(tmp_path: Path) -> None:
    result = typing.build_result(takes())
    assert set(result.details["speeds"]) == {"whole", "1.0", "2.5", "5.5", "9.0"}
    assert "lag_p50_s" in result.details["speeds"]["5.5"]
    assert "lag_p50_s" not in result.details["speeds"]["whole"]
    assert len(result.details["texts"]) == 5
    assert [each["speed"] for each in result.details["picture"]] == list(SPEEDS)
    assert [2.0, None] in result.details["picture"][0]["keys"]
    report = BenchReport("Some CPU", {}, {"typing": Result([], result.details)})
    plots.plot_typing(report, tmp_path / "typing.png")
    assert (tmp_path / "typing.png").read_bytes().startswith(b"\x89PNG")
