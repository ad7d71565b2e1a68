import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hibari import Hibari
from rich.console import Console
from typer.testing import CliRunner

from backend.doctor.machine import machine_name
from bench.__main__ import app
from bench.harness import plots
from bench.harness.corpus import BenchText, load_corpus, split_tokens, split_word_groups
from bench.harness.judge import JUDGE_RATE_HZ, Judge, WordErrors, normalise, word_errors
from bench.harness.machine import to_file_name
from bench.harness.report import BenchReport, Figure, Result, create_table, to_markdown, write_json
from bench.server import clause_peer
from bench.server.accounting import Ledger, compose_dialogue
from bench.server.load import LoadListener, LoadResult
from bench.server.quality import Scores, bootstrap_interval, compute_differences
from bench.server.streams import count_served
from duplex_tts import Audio, Cancelled, Done, Retracted, Word

SENTENCE = "The library opens at nine and closes at six."


# --- the judge ------------------------------------------------------------------------------------


@cache
def judge() -> Judge:
    return Judge()


@cache
def speech() -> np.ndarray:
    return np.asarray(Hibari()(SENTENCE, seed=0), dtype=np.float32)


@pytest.mark.parametrize(
    ("text", "heard", "errors", "words"),
    [
        ("The cat sat down.", "the cat sat down", 0, 4),
        ("The cat sat down.", "the hat sat down", 1, 4),
        ("The cat sat down.", "the cat down", 1, 4),
        ("The cat sat down.", "the cat it sat down now", 2, 4),
        ("The cat sat down.", "", 4, 4),
    ],
)
def test_differing_words_are_counted(text: str, heard: str, errors: int, words: int) -> None:
    assert word_errors(text, heard) == WordErrors(errors, words)


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("It costs $3.2 billion.", "It costs 3.2 billion dollars"),
        ("at 10:45 a.m. on two", "at 10.45 AM on 2"),
        ("J. K. Rowling", "J.K. Rowling"),
        ("the U.S. team", "the US team"),
        ("(which is free)", "which is free"),
        ("5 km at 30 mph", "5 kilometers at 30 miles per hour"),
        ("on Elm St. near", "on Elm Street near"),
        ("Add 1/2 a cup", "add one half a cup"),
    ],
)
def test_spelling_variants_are_no_error(written: str, heard: str) -> None:
    assert normalise(written) == normalise(heard)


def test_word_error_rates_are_weighted_by_words() -> None:
    assert (WordErrors(1, 10) + WordErrors(0, 30)).rate == pytest.approx(1 / 40)
    assert WordErrors(0, 0).rate == 0


@pytest.mark.slow
def test_judge_prefers_clean_speech_to_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, len(speech())).astype(np.float32)
    clean = judge().judge(speech(), 24_000, SENTENCE)
    noisy = judge().judge(speech() + noise, 24_000, SENTENCE)
    assert clean.words.errors == 0
    assert clean.duration_s == pytest.approx(len(speech()) / 24_000)
    assert noisy.words.errors > 4
    assert clean.dnsmos is not None
    assert noisy.dnsmos is not None
    assert clean.dnsmos > noisy.dnsmos + 0.5


def test_judge_detects_dropouts_and_wrong_text() -> None:
    broken = speech().copy()
    for start in range(0, len(broken), 6000):
        broken[start : start + 1500] = 0
    whole = judge().judge(speech(), 24_000, "Entirely different words.", dnsmos=False)
    assert whole.words.rate >= 1
    assert whole.dnsmos is None
    assert judge().judge(broken, 24_000, SENTENCE, dnsmos=False).plcmos < whole.plcmos - 0.5


def test_scores_are_deterministic() -> None:
    audio = speech()[: JUDGE_RATE_HZ * 2]
    assert judge().plcmos(audio) == judge().plcmos(audio)


def test_empty_audio_loses_every_word() -> None:
    verdict = judge().judge(np.zeros(0, np.float32), 24_000, SENTENCE, dnsmos=False)
    assert verdict.words.errors >= verdict.words.words


# --- the texts ------------------------------------------------------------------------------------


def test_tokens_and_word_groups_lose_no_character() -> None:
    for each in load_corpus():
        assert "".join(split_tokens(each.text)) == each.text
        assert "".join(split_word_groups(each.text, 3)) == each.text


def test_token_is_about_three_quarters_of_a_word() -> None:
    texts = [each.text for each in load_corpus() if each.speakable]
    words = sum(len(text.split()) for text in texts)
    assert 0.65 < words / sum(len(split_tokens(text)) for text in texts) < 0.85


def test_words_are_grouped_with_their_leading_spaces() -> None:
    assert split_word_groups("One two three four.", 3) == ["One two three", " four."]


def test_limited_corpus_covers_all_kinds() -> None:
    assert len({each.kind for each in load_corpus(limit=6)}) == 6


def test_invalid_corpus_line_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "a", "kind": "b", "text": "c"}\n{"id": "a"}\n')
    with pytest.raises(ValueError, match="line 2"):
        load_corpus(bad)


# --- the report -----------------------------------------------------------------------------------


def figure(value: float, *, at_most: bool = True) -> Figure:
    return Figure("delay", value, 20.0, at_most, " ms", "note")


@pytest.mark.parametrize(
    ("value", "at_most", "met"),
    [(19, True, True), (20, True, True), (21, True, False), (19, False, False), (21, False, True)],
)
def test_goal_is_an_upper_or_lower_bound(value: float, at_most: bool, met: bool) -> None:
    assert figure(value, at_most=at_most).met is met


def test_nan_never_meets_its_goal() -> None:
    assert not figure(math.nan).met
    assert not figure(math.nan, at_most=False).met


def report(*figures: Figure) -> BenchReport:
    return BenchReport(
        "Some CPU, 2 cores", {"quick": True}, {"row": Result(figures, {"samples": [1]})}
    )


def test_table_and_markdown_show_goals_and_mark_missed_ones() -> None:
    found = report(figure(12.34), figure(31.0))
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(create_table(found))
    for text in (console.export_text(), to_markdown(found)):
        met, missed = [line for line in text.splitlines() if "≤ 20 ms" in line]
        assert "12.3 ms" in met
        assert "met" in met
        assert "31 ms" in missed
        assert "missed" in missed.lower()


def test_json_contains_figures_details_and_machine(tmp_path: Path) -> None:
    write_json(report(figure(np.float64(31.0))), tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["machine"] == "Some CPU, 2 cores"
    assert content["figures"][0]["met"] is False
    assert content["details"] == {"row": {"samples": [1]}}


@pytest.mark.parametrize(
    ("value", "expected"), [(0.01234, "0.0123 ms"), (24.66, "24.7 ms"), (5134.2, "5,134 ms")]
)
def test_values_are_rounded_for_display(value: float, expected: str) -> None:
    assert figure(value).value_text == expected


def test_unmeasured_row_is_reported_as_failed(tmp_path: Path) -> None:
    failed = Figure("delay", math.nan, math.nan, at_most=True, note="overloaded")
    assert "| delay | failed |  | **missed** | overloaded |" in to_markdown(report(failed))
    write_json(report(failed), tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["figures"][0]["value"] is None


def test_plots_are_drawn_from_details(tmp_path: Path) -> None:
    begins = clause_peer.FirstSoundTimes(0.09, 0.1)
    way = {"wer_percent": 2.0, "plcmos": 4.6, "duration_s": 120.0}
    results = {
        "peer": clause_peer.build_result([BenchText("a", "plain", "Yes.")], [begins], [begins]),
        "latency": Result([], {"samples": {"client_ms": [12.0], "engine_ms": [10.0]}}),
        "quality": Result([], {"ways": {"whole": way, "streamed": way, "each 3 words alone": way}}),
    }
    found = BenchReport("Some CPU", {}, results)
    plots.plot_first_audio(found, tmp_path / "ttfa.png")
    plots.plot_quality(found, tmp_path / "quality.png")
    for name in ("ttfa.png", "quality.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_machine_name_and_file_name() -> None:
    assert "core" in machine_name()
    assert to_file_name("AMD EPYC (R), 2 cores") == "amd-epyc-r-2-cores"


def test_unknown_row_is_refused_with_the_known_rows() -> None:
    result = CliRunner().invoke(app, ["--only", "nonsense"])
    assert result.exit_code != 0
    assert "accounting" in result.output


# --- quality --------------------------------------------------------------------------------------


def create_scores(errors: Sequence[float], plcmos: float, duration_s: float) -> Scores:
    size = len(errors)
    return Scores(
        np.array(errors, float),
        np.full(size, 10.0),
        np.full(size, plcmos),
        np.full(size, duration_s),
    )


def test_differences_are_points_scores_and_percent() -> None:
    whole, streamed = create_scores([1, 0], 4.6, 10.0), create_scores([1, 1], 4.5, 11.0)
    found = compute_differences(whole, streamed, np.arange(2))
    assert found == pytest.approx([5.0, -0.1, 10.0])


def test_bootstrap_interval_contains_the_difference() -> None:
    whole, streamed = create_scores([0] * 10, 4.6, 10.0), create_scores([1, 0] * 5, 4.5, 11.0)
    low, high = bootstrap_interval(whole, streamed, seed=0)
    assert low[0] < 5.0 < high[0]
    assert low[1] == pytest.approx(high[1]) == pytest.approx(-0.1)


# --- listeners ------------------------------------------------------------------------------------


LOUD, SILENT = b"\x00\x10" * 24, bytes(48)  # a millisecond at 24 kHz


def audio(
    text: tuple[int, int] = (0, 4), start_ms: float = 0.0, duration_ms: float = 1000.0
) -> Audio:
    return Audio("c", 0, start_ms, duration_ms, text, (), LOUD * int(duration_ms))


def create_listener() -> LoadListener:
    return LoadListener(LoadResult(1), now_s=0.0, rate_hz=24_000)


def test_audio_arriving_during_playback_is_no_underrun() -> None:
    listener = create_listener()
    listener.note_text(100, 0.0)
    listener.note_audio(audio(), 0.2)
    listener.note_audio(audio((4, 8)), 1.1)
    listener.note_audio(audio((8, 12)), 2.1)
    assert listener.totals.underruns_ms == []
    assert listener.totals.first_sound_ms == [200.0]
    assert listener.totals.audio_s == 3.0


def test_load_listener_counts_from_the_first_audible_sample() -> None:
    listener = create_listener()
    listener.note_text(100, 0.0)
    listener.note_audio(replace(audio(), data=SILENT * 1000), 0.2)
    listener.note_audio(replace(audio((4, 8)), data=SILENT * 100 + LOUD * 900), 1.5)
    assert listener.totals.first_message_ms == [200.0]
    assert listener.totals.first_sound_ms == [pytest.approx(1600)]
    assert listener.totals.underruns_ms == []
    listener.note_audio(audio((8, 12)), 2.75)
    assert listener.totals.underruns_ms == [pytest.approx(250)]


def test_gap_after_written_text_is_an_underrun() -> None:
    listener = create_listener()
    listener.note_text(100, 0.0)
    listener.note_audio(audio(), 0.0)
    listener.note_audio(audio((4, 8)), 1.25)
    assert listener.totals.underruns_ms == [pytest.approx(250)]


def test_gap_for_missing_text_is_no_underrun() -> None:
    listener = create_listener()
    listener.note_text(4, 0.0)
    listener.note_audio(audio(), 0.0)
    listener.note_text(8, 1.2)
    listener.note_audio(audio((4, 8)), 1.25)
    assert listener.totals.underruns_ms == []
    assert listener.totals.waits_for_text == 1


@pytest.mark.parametrize(
    ("underruns", "errors", "count"),
    [([], {}, 10), ([3.0], {}, 0), ([], {"overloaded": 4}, 6), ([], {"ConnectionLost": 1}, 0)],
)
def test_streams_are_served_if_none_had_a_gap(
    underruns: list[float], errors: dict[str, int], count: int
) -> None:
    assert count_served({"streams": 10, "underruns_ms": underruns, "errors": errors}) == count


# --- accounting -----------------------------------------------------------------------------------


def test_tiling_chunks_are_no_violation() -> None:
    ledger = Ledger()
    ledger.check_audio(audio((0, 4)), 10)
    ledger.check_audio(audio((4, 10), start_ms=1000.0), 10)
    ledger.check_done(Done("c", 2000.0, 10, 2), 10)
    assert ledger.violations == []


@pytest.mark.parametrize(
    "second",
    [
        audio((3, 10), start_ms=1000.0),
        audio((5, 10), start_ms=1000.0),
        audio((4, 11), start_ms=1000.0),
        audio((4, 10), start_ms=990.0),
        Audio("c", 1, 1000.0, 1000.0, (4, 10), (), b""),
        Audio("c", 1, 1000.0, 0.0, (4, 10), (Word(2, 6, 0, 1),), b""),
    ],
    ids=["repeated", "lost", "beyond", "early", "no-bytes", "word-outside"],
)
def test_misplaced_chunk_is_a_violation(second: Audio) -> None:
    ledger = Ledger()
    ledger.check_audio(audio((0, 4)), 10)
    ledger.check_audio(second, 10)
    assert len(ledger.violations) == 1


def test_wrong_sums_and_endings_are_violations() -> None:
    for ending in (Done("c", 0.0, 0, 0), Done("c", 1000.0, 4, 2), Done("c", 900.0, 4, 1)):
        ledger = Ledger()
        ledger.check_audio(audio((0, 4)), 4)
        ledger.check_done(ending, 4)
        assert ledger.violations
    ledger = Ledger()
    ledger.check_cancelled(Cancelled("c", 3, 0.0))
    ledger.check_done(Done("c", 0.0, 0, 0), 5)
    assert len(ledger.violations) == 2


@pytest.mark.parametrize(
    ("to", "clean"), [(5, True), (7, True), (10, True), (4, False), (11, False)]
)
def test_retract_may_return_less_than_asked_but_not_more(to: int, clean: bool) -> None:
    ledger = Ledger()
    ledger.check_audio(audio((0, 4)), 10)
    ledger.check_retracted(Retracted("c", to), asked=5, length=10)
    assert (ledger.violations == []) is clean


def test_dialogues_are_deterministic_and_have_no_empty_push() -> None:
    corpus = [BenchText("a", "plain", "One two three four five six.")]
    assert compose_dialogue(corpus, 3) == compose_dialogue(corpus, 3)
    kinds = {step.kind for seed in range(60) for step in compose_dialogue(corpus, seed).steps}
    assert kinds == {"push", "retract", "flush", "pause"}
    assert all(
        step.text
        for seed in range(60)
        for step in compose_dialogue(corpus, seed).steps
        if step.kind == "push"
    )
