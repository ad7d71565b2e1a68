"""The pacer's rules, numbered as in the design."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.events import Typing
from backend.text.pacer import Pacer, Pacing, PendingSentence, Speak, Wait
from backend.text.words import word_ends

PACING = Pacing()
BATCH = Pacing(live=False)
CLAUSES = Pacing(incremental=False)


def sentence_of(
    text: str,
    *,
    released: int = 0,
    spoken: int | None = None,
    complete: bool = False,
    flush_to: int = 0,
    at_s: float = 0.0,
    first: bool = True,
    speed: float = math.inf,
) -> PendingSentence:
    """A sentence whose last character arrived at `at_s`, at a model's or another `speed`."""
    return PendingSentence(
        text=text,
        finished=[end for end in word_ends(text) if text[end - 1].isspace() or end < len(text)],
        released=released,
        spoken=released if spoken is None else spoken,
        complete=complete,
        flush_to=flush_to,
        last_input_s=at_s,
        first=first,
        speed=speed,
        usual_gap_s=1 / speed,
    )


def decide(sentence: PendingSentence, now_s: float = 0.0, pacing: Pacing = PACING) -> Speak | Wait:
    return Pacer(pacing).decide(sentence, now_s)


def pacer_with_unplayed(audio_s: float, pacing: Pacing = PACING) -> Pacer:
    """A pacer with `audio_s` of unplayed audio at 0 s."""
    pacer = Pacer(pacing)
    pacer.count_sent(audio_s, 0.0)
    return pacer


# --- how soon new text is looked at ---------------------------------------------------------------


@given(
    unplayed_s=st.floats(0, 10),
    text=st.text("ab .,", min_size=1, max_size=40),
    complete=st.booleans(),
    speed=st.sampled_from([3.0, 12.0, 150.0]),
)
def test_text_that_waits_to_be_looked_at_is_not_due(
    unplayed_s: float, text: str, complete: bool, speed: float
) -> None:
    pacer = pacer_with_unplayed(unplayed_s)
    calm_until_s = pacer.calm_until_s(0.0)
    assert calm_until_s <= max(0.0, unplayed_s - PACING.low_water_s)
    if calm_until_s > 0.25:  # nothing is looked at before
        sentence = sentence_of(text, complete=complete, speed=speed, at_s=calm_until_s - 0.05)
        assert isinstance(pacer.decide(sentence, calm_until_s - 0.01), Wait)


@pytest.mark.parametrize("pacer", [Pacer(PACING), Pacer(BATCH), pacer_with_unplayed(0.3)])
def test_text_is_looked_at_at_once_without_enough_to_hear(pacer: Pacer) -> None:
    assert pacer.calm_until_s(0.0) <= 0.0


# --- rule 1: first speech as soon as min_text_length characters and one word are there ------------


def test_a_word_is_spoken_once_the_next_has_begun() -> None:
    assert decide(sentence_of("Hello t")) == Speak(6, 7)
    assert decide(sentence_of("Hello ")) == Wait(0.1)  # or when the writer pauses
    assert decide(sentence_of("Hello "), 0.1) == Speak(6, 6)
    assert isinstance(decide(sentence_of("Hello")), Wait)


def test_a_slow_model_gets_a_longer_pause_threshold() -> None:
    assert decide(replace(sentence_of("Hello "), usual_gap_s=0.5)) == Wait(0.75)


def test_a_partial_word_is_used_as_lookahead() -> None:
    assert decide(sentence_of("Hello ther")) == Speak(6, 10)
    assert decide(sentence_of("They are (")) == Speak(5, 9)  # which word follows is not known yet


def test_with_lookahead_a_word_waits_until_the_next_is_finished() -> None:
    pacing = replace(PACING, lookahead_start=1)
    assert isinstance(decide(sentence_of("Hello ther"), pacing=pacing), Wait)
    assert decide(sentence_of("Hello there "), pacing=pacing) == Speak(6, 12)


def test_first_release_waits_for_min_text_length() -> None:
    assert isinstance(decide(sentence_of("I a b")), Wait)
    assert decide(sentence_of("I am b")) == Speak(5, 6)
    assert isinstance(
        decide(sentence_of("I am b"), pacing=replace(PACING, min_text_length=6)), Wait
    )


def test_min_text_length_applies_only_to_the_first_release() -> None:
    assert decide(sentence_of("I a b", first=False)) == Speak(4, 5)


def test_first_release_lasts_until_the_next_word_arrives() -> None:
    assert decide(sentence_of("Hello t", speed=130)) == Speak(6, 7)  # 30 tokens a second
    assert isinstance(decide(sentence_of("Hello t", speed=45)), Wait)  # 10 tokens a second
    assert decide(sentence_of("Hello there my", speed=45)) == Speak(12, 14)


def test_short_text_is_released_after_a_pause_despite_min_text_length() -> None:
    assert decide(sentence_of("I a "), now_s=0.1) == Speak(4, 4)


@pytest.mark.parametrize(("lookahead", "to"), [(0, 12), (1, 12), (2, 6), (3, 0)])
def test_lookahead_start_words_are_held_back_before_the_first_audio(
    lookahead: int, to: int
) -> None:
    choice = decide(
        sentence_of("Hello there world "), pacing=replace(PACING, lookahead_start=lookahead)
    )
    assert choice == (Speak(to, 18) if to else Wait(0.1))


@pytest.mark.parametrize(("lookahead", "to"), [(0, 12), (1, 12), (2, 6), (3, 0)])
def test_lookahead_words_are_held_back_while_audio_is_unplayed(lookahead: int, to: int) -> None:
    pacer = pacer_with_unplayed(0.25, replace(PACING, lookahead=lookahead))
    choice = pacer.decide(sentence_of("Hello there world ", first=False), 0.0)
    assert choice == (Speak(to, 18) if to else Wait(0.1))


# --- rules 2 and 3: above the low-water mark wait, below it release -------------------------------


def test_nothing_is_released_above_the_low_water_mark() -> None:
    sentence = sentence_of("Hello there my friend ", first=False)
    assert pacer_with_unplayed(2.0).decide(sentence, 0.0) == Wait(1.7)


def test_words_with_lookahead_are_released_below_the_low_water_mark() -> None:
    sentence = sentence_of("Hello there my friend ", first=False)
    assert pacer_with_unplayed(2.0).decide(sentence, 1.75) == Speak(12, 22)


def test_words_without_lookahead_wait_until_playback_almost_runs_dry() -> None:
    sentence = sentence_of("Hello there ", released=6, first=False)
    assert pacer_with_unplayed(2.0).decide(sentence, 1.5) == Wait(1.85)
    assert pacer_with_unplayed(2.0).decide(sentence, 1.85) == Speak(12, 12)


def test_less_lookahead_is_required_when_playback_is_about_to_run_dry() -> None:
    sentence = sentence_of("Hello there world ", released=6, first=False)
    pacing = replace(PACING, lookahead_start=1)
    assert pacer_with_unplayed(2.0, pacing).decide(sentence, 1.84) == Wait(1.85)
    assert pacer_with_unplayed(2.0, pacing).decide(sentence, 1.85) == Speak(12, 18)


def test_waits_for_the_input_pause_if_it_comes_before_playback_runs_dry() -> None:
    sentence = sentence_of("Hello there world ", released=6, at_s=1.5, first=False)
    assert pacer_with_unplayed(2.0).decide(sentence, 1.5) == Wait(1.6)


@pytest.mark.parametrize("key_s", [0.045, 0.06, 0.08, 0.1, 0.12])
def test_playback_never_runs_dry_while_two_finished_words_are_unspoken(
    key_s: float,
) -> None:
    assert (
        simulate_typing("Every word is heard while the rest of it is still being written ", key_s)
        == []
    )


def simulate_typing(text: str, key_s: float, render_s: float = 0.06) -> list[float]:
    """Type at a steady pace to an engine that takes `render_s` per release and speaks 15 characters
    per second. Returns the times at which playback ran dry with two finished words unspoken.
    """
    pacer, released, spoken, now_s, dry_at_s = Pacer(PACING), 0, 0, 0.0, math.inf
    gaps = []
    while spoken < len(text):
        keys = min(len(text), math.floor(now_s / key_s + 1e-9) + 1)
        sentence = sentence_of(
            text[:keys], released=released, at_s=(keys - 1) * key_s, first=not spoken
        )
        choice = pacer.decide(replace(sentence, spoken=spoken), now_s)
        if isinstance(choice, Wait):
            key_at_s = keys * key_s if keys < len(text) else math.inf
            now_s = min(key_at_s, math.inf if choice.until_s is None else choice.until_s)
            continue
        released, now_s = choice.to, now_s + render_s
        if now_s > dry_at_s and len(word_ends(text[spoken : math.floor(dry_at_s / key_s)])) > 2:
            gaps.append(dry_at_s)
        pacer.count_sent((released - spoken) / 15, now_s)
        spoken, dry_at_s = released, now_s + pacer.ahead_s(now_s)
    return gaps


# --- rule 4: a complete sentence is released whole ------------------------------------------------


def test_complete_sentence_is_released_whole() -> None:
    assert decide(sentence_of("Hello there. ", complete=True)) == Speak(13, 13, final=True)


def test_complete_sentence_needs_no_min_text_length() -> None:
    assert decide(sentence_of("Hi. ", complete=True)) == Speak(4, 4, final=True)


def test_complete_sentence_waits_above_the_high_water_mark() -> None:
    sentence = sentence_of("Hello there. ", complete=True, first=False)
    assert pacer_with_unplayed(5.0).decide(sentence, 0.0) == Wait(1.0)
    assert pacer_with_unplayed(5.0).decide(sentence, 1.0) == Speak(13, 13, final=True)


def test_complete_sentence_ignores_the_low_water_mark() -> None:
    sentence = sentence_of("Hello there. ", complete=True, first=False)
    assert pacer_with_unplayed(2.0).decide(sentence, 0.0) == Speak(13, 13, final=True)


def test_complete_sentence_already_spoken_gets_a_final_release() -> None:
    assert decide(sentence_of("Hello. ", released=7, complete=True)) == Speak(7, 7, final=True)


# --- rule 5: a pause in the input -----------------------------------------------------------------


def test_a_word_held_back_for_lookahead_is_released_after_streaming_threshold() -> None:
    pacing = replace(PACING, lookahead_start=1)
    sentence = sentence_of("Hello there ", released=6, at_s=1.0)
    assert decide(sentence, 1.05, pacing) == Wait(1.1)
    assert decide(sentence, 1.1, pacing) == Speak(12, 12)


@pytest.mark.parametrize("speed", [math.inf, 5.5, 1.0])
@pytest.mark.parametrize(
    "text", ["Hello ther", "I paid 3.", "See e.g.", "At www.", "Pi is 3", "the", "Mr."]
)
def test_an_unfinished_word_is_never_spoken(text: str, speed: float) -> None:
    released = text.rfind(" ") + 1
    sentence = sentence_of(text, released=released, speed=speed, first=not released)
    assert decide(sentence, 1e6) == Wait(None)


@pytest.mark.parametrize(
    "text", ["Come home.", "Come home!", "Well,", 'He said "home."', "umbrella"]
)
def test_a_complete_last_word_is_spoken_after_a_long_pause(text: str) -> None:
    pacing = replace(PACING, is_whole_word=lambda word: word == "umbrella")
    released = text.rfind(" ") + 1
    sentence = sentence_of(text, released=released, at_s=1.0, first=not released)
    assert decide(sentence, 1.5, pacing) == Wait(3.0)
    assert decide(sentence, 3.0, pacing) == Speak(len(text), len(text), must_reach=True)
    assert decide(sentence, 99.0, replace(pacing, word_timeout_s=0)) == Wait(None)


def test_text_held_back_by_the_engine_is_forced_after_word_timeout() -> None:
    sentence = sentence_of("It costs $3.2 ", released=14, spoken=9, at_s=1.0)
    assert decide(sentence, 1.2) == Wait(3.0)
    assert decide(sentence, 3.0) == Speak(14, 14, must_reach=True)


def test_nothing_is_due_when_everything_is_spoken() -> None:
    assert decide(sentence_of("Hello ", released=6, first=False), 99.0) == Wait(None)
    assert decide(sentence_of(""), 99.0) == Wait(None)


def test_white_space_held_back_by_the_engine_is_released() -> None:
    sentence = sentence_of("Take 5  ", released=8, spoken=6, first=False)
    assert decide(sentence, 99.0) == Speak(8, 8, must_reach=True)


# --- writers slower than speech -------------------------------------------------------------------


def test_slow_input_is_spoken_in_phrases_and_fast_input_in_words() -> None:
    assert decide(sentence_of("The keys are on the ", speed=5.5)) == Speak(9, 20, pause=True)
    assert decide(sentence_of("The keys are on the t", speed=50)) == Speak(20, 21)


def test_the_typing_setting_overrides_the_measured_speed() -> None:
    sentence = sentence_of("The keys are on the ", speed=5.5, first=False)
    assert decide(sentence, pacing=replace(PACING, typing="word")) == Speak(16, 20)
    assert decide(sentence, 99.0, replace(PACING, typing="sentence")) == Wait(None)
    fast = sentence_of("The keys are on the ")
    assert decide(fast, pacing=replace(PACING, typing="phrase")) == Speak(9, 20, pause=True)


def test_a_pause_in_slow_input_releases_up_to_a_word_not_bound_to_the_next() -> None:
    sentence = sentence_of("How are you and the ", speed=5.5, at_s=1.0)
    assert decide(sentence, 1.5) == Wait(1.0 + 3.5 / 5.5)
    assert decide(sentence, 1.8) == Speak(12, 20, pause=True)


def test_the_pause_threshold_depends_on_the_writing_speed() -> None:
    sentence = sentence_of("How are you ", speed=1.0, at_s=1.0)
    assert decide(sentence, 4.4) == Wait(4.5)
    assert decide(sentence, 4.5) == Speak(12, 12, pause=True)


def test_a_long_pause_releases_up_to_the_last_finished_word() -> None:
    sentence = sentence_of("Here is the ", speed=5.5, released=5, at_s=1.0, first=False)
    assert decide(sentence, 5.9) == Wait(6.0)
    assert decide(sentence, 6.0) == Speak(12, 12, must_reach=True)


# --- rule 6: flush and end ------------------------------------------------------------------------


def test_flush_releases_everything_at_once() -> None:
    assert decide(sentence_of("Hel", flush_to=3)) == Speak(3, 3, must_reach=True)


def test_flush_ignores_unplayed_audio() -> None:
    sentence = sentence_of("Hello there", flush_to=11, first=False)
    assert pacer_with_unplayed(60.0).decide(sentence, 0.0) == Speak(11, 11, must_reach=True)


def test_end_releases_the_last_sentence_despite_unplayed_audio() -> None:
    sentence = sentence_of("Hello there", complete=True, flush_to=11, first=False)
    assert pacer_with_unplayed(60.0).decide(sentence, 0.0) == Speak(
        11, 11, final=True, must_reach=True
    )


def test_text_after_a_flush_inside_a_word_is_released_after_it() -> None:
    assert decide(sentence_of("Hello there", flush_to=8)) == Speak(8, 8, must_reach=True)
    rest = sentence_of("Hello there my ", released=8, flush_to=8, first=False)
    assert decide(rest) == Speak(12, 15)


def test_a_flush_inside_a_now_complete_sentence_is_released_first() -> None:
    sentence = sentence_of("Hello there. ", complete=True, flush_to=3)
    assert decide(sentence) == Speak(3, 3, must_reach=True)


def test_a_flush_already_spoken_has_no_effect() -> None:
    assert decide(sentence_of("Hello there ", released=6, flush_to=6), 0.0) == Wait(0.1)


# --- modes ----------------------------------------------------------------------------------------


def test_batch_speaks_whole_sentences_only() -> None:
    assert decide(sentence_of("Hello there my friend "), 99.0, BATCH) == Wait(None)
    complete = sentence_of("Hello there. ", complete=True)
    assert decide(complete, 0.0, BATCH) == Speak(13, 13, final=True)


def test_batch_does_not_wait_for_a_listener() -> None:
    sentence = sentence_of("Hello there. ", complete=True, first=False)
    assert isinstance(pacer_with_unplayed(60.0, BATCH).decide(sentence, 0.0), Speak)


def test_batch_releases_on_flush() -> None:
    assert decide(sentence_of("Hel", flush_to=3), 0.0, BATCH) == Speak(3, 3, must_reach=True)


def test_without_preemptive_only_complete_sentences_are_spoken() -> None:
    pacing = replace(PACING, preemptive=False)
    assert decide(sentence_of("Hello there my friend "), 99.0, pacing) == Wait(None)
    complete = sentence_of("Hello there. ", complete=True)
    assert decide(complete, 0.0, pacing) == Speak(13, 13, final=True)


def test_without_duplex_nothing_is_spoken_before_flush_or_end() -> None:
    pacing = replace(PACING, duplex=False)
    assert decide(sentence_of("Hello there. ", complete=True), 99.0, pacing) == Wait(None)
    flush_to = sentence_of("Hello there. ", complete=True, flush_to=13)
    assert decide(flush_to, 0.0, pacing) == Speak(13, 13, final=True, must_reach=True)


def test_a_non_incremental_engine_gets_whole_clauses() -> None:
    clause = "Well then, my good old friend, "
    assert isinstance(decide(sentence_of("Well then my good old friend we "), pacing=CLAUSES), Wait)
    assert decide(sentence_of(f"{clause}we are "), pacing=CLAUSES) == Speak(31, 38)
    assert decide(sentence_of(f"{clause}now, we "), pacing=CLAUSES) == Speak(36, 39)


@pytest.mark.parametrize("mark", [",", ";", ":", "—", "、", "，", "،"])
def test_a_clause_ends_at_its_mark(mark: str) -> None:
    text = f"Well then my good old friend{mark} we "
    assert decide(sentence_of(text), pacing=CLAUSES) == Speak(30, 33)


def test_a_clause_without_a_mark_is_released_after_a_pause() -> None:
    text = "Well then my good old friend "
    assert decide(sentence_of(text), 0.1, CLAUSES) == Speak(29, 29)


@pytest.mark.parametrize(
    "text", ["Well, ", "Well, I ", "Oh no, Mr. Miller, ", "\u4f60\u597d\uff0c"]
)
def test_a_short_clause_waits_for_the_next(text: str) -> None:
    """Its pause is not enough: engines that take clauses speak gibberish behind a lone word."""
    for speed in (math.inf, 5.5):
        sentence = sentence_of(text, speed=speed)
        assert isinstance(decide(sentence, 0.0, CLAUSES), Wait)
        assert isinstance(decide(sentence, 1.4, CLAUSES), Wait)


def test_a_short_clause_behind_what_was_released_waits_too() -> None:
    text = "And so they went on through the night, well, "
    sentence = sentence_of(text, released=39, first=False)
    assert isinstance(decide(sentence, 0.5, CLAUSES), Wait)
    assert decide(replace(sentence, text=f"{text}they ", complete=True), 0.5, CLAUSES) == Speak(
        50, 50, final=True
    )


def test_a_short_clause_is_spoken_when_flushed_ended_or_long_alone() -> None:
    text = "Well, "
    assert decide(sentence_of(text, flush_to=6), pacing=CLAUSES) == Speak(6, 6, must_reach=True)
    ended = sentence_of(text, complete=True)
    assert decide(ended, pacing=CLAUSES) == Speak(6, 6, final=True)
    assert decide(sentence_of(text), 2.0, CLAUSES) == Speak(6, 6, must_reach=True)


def test_wide_letters_make_a_clause_of_a_third_of_the_length() -> None:
    text = "\u4eca\u5929\u5929\u6c14\u771f\u4e0d\u9519\uff0c"
    assert isinstance(decide(sentence_of(text + " \u6211 "), pacing=CLAUSES), Wait)
    longer = f"\u6240\u4ee5{text} "
    assert decide(sentence_of(f"{longer}\u6211 "), pacing=CLAUSES) == Speak(11, 13)


def test_an_incremental_engine_speaks_a_lone_word() -> None:
    assert decide(sentence_of("Well, I")) == Speak(6, 7)


# --- playback clock -------------------------------------------------------------------------------


def test_unplayed_audio_is_what_was_sent_minus_elapsed_time() -> None:
    pacer = pacer_with_unplayed(1.0)
    assert pacer.ahead_s(0.25) == pytest.approx(0.75)
    pacer.count_sent(0.5, 0.25)
    assert pacer.ahead_s(0.5) == pytest.approx(1.0)
    assert pacer.ahead_s(99.0) == 0.0


def test_audio_sent_after_a_gap_plays_from_then_on() -> None:
    pacer = pacer_with_unplayed(1.0)
    assert pacer.dry_s(3.0) == pytest.approx(2.0)
    pacer.count_sent(1.0, 3.0)
    assert pacer.ahead_s(3.0) == pytest.approx(1.0)


def test_the_gap_is_infinite_before_the_first_audio_and_zero_while_playing() -> None:
    pacer = Pacer(PACING)
    assert pacer.dry_s(5.0) == math.inf
    pacer.count_sent(1.0, 5.0)
    assert pacer.dry_s(5.5) == 0.0


def test_a_reported_position_replaces_the_estimate() -> None:
    pacer = pacer_with_unplayed(2.0)
    pacer.set_position(0.5, 1.0)  # half a second was heard, not a whole one
    assert pacer.ahead_s(1.0) == pytest.approx(1.5)
    pacer.set_position(2.0, 1.5)
    assert pacer.ahead_s(1.5) == 0.0


def test_a_reported_position_beyond_the_sent_audio_leaves_nothing_unplayed() -> None:
    pacer = pacer_with_unplayed(2.0)
    pacer.set_position(1e9, 1.0)
    assert pacer.ahead_s(1.0) == 0.0
    pacer.set_position(math.inf, 1.0)
    assert pacer.ahead_s(1.0) == 0.0


def test_the_deadline_is_when_playback_runs_dry_or_the_first_sound_goal() -> None:
    pacer = Pacer(PACING)
    assert pacer.deadline_s(10.0) == pytest.approx(10.15)
    pacer.count_sent(2.0, 10.0)
    assert pacer.deadline_s(10.5) == pytest.approx(12.0)
    assert pacer.deadline_s(13.0) == pytest.approx(13.15)


def test_batch_has_no_deadline() -> None:
    assert pacer_with_unplayed(1.0, BATCH).deadline_s(0.0) == math.inf


# --- properties -----------------------------------------------------------------------------------

pacings = st.builds(
    Pacing,
    min_text_length=st.integers(1, 30),
    lookahead_start=st.integers(0, 4),
    lookahead=st.integers(0, 4),
    live=st.booleans(),
    duplex=st.booleans(),
    preemptive=st.booleans(),
    incremental=st.booleans(),
    typing=st.sampled_from(get_args(Typing)),
)


@st.composite
def sentences(draw: st.DrawFn) -> PendingSentence:
    text = draw(st.text(alphabet="ab ,.\n1你", max_size=40))
    released = draw(st.sampled_from([0, *word_ends(text)]))
    spoken = draw(st.integers(0, released))
    flush_to = draw(st.one_of(st.integers(0, spoken), st.integers(released, len(text))))
    complete = draw(st.booleans())
    at_s = draw(st.floats(0, 2))
    return sentence_of(
        text,
        released=released,
        spoken=spoken,
        complete=complete,
        flush_to=flush_to,
        at_s=at_s,
        first=spoken == 0,
        speed=draw(st.sampled_from([1.0, 5.5, 45.0, math.inf])),
    )


@given(sentences(), pacings, st.floats(0, 5), st.floats(0, 10))
def test_releases_move_forward_and_stay_within_the_text(
    sentence: PendingSentence, pacing: Pacing, now_s: float, ahead_s: float
) -> None:
    choice = pacer_with_unplayed(ahead_s, pacing).decide(sentence, now_s)
    if isinstance(choice, Speak):
        assert sentence.released <= choice.to <= choice.known <= len(sentence.text)
        assert choice.must_reach or choice.final or choice.to > sentence.released
        assert not choice.final or (sentence.complete and choice.to == len(sentence.text))
        assert (
            choice.must_reach
            or choice.to in [*sentence.finished, len(sentence.text)]
            or choice.final
        )
    elif choice.until_s is not None:
        assert choice.until_s > now_s


@given(sentences(), pacings, st.floats(0, 5), st.floats(0, 10))
def test_flushed_text_is_released_at_once(
    sentence: PendingSentence, pacing: Pacing, now_s: float, ahead_s: float
) -> None:
    choice = pacer_with_unplayed(ahead_s, pacing).decide(sentence, now_s)
    if sentence.flush_to > sentence.spoken:
        assert isinstance(choice, Speak)
        assert choice.must_reach
        assert choice.to >= sentence.flush_to


@given(sentences(), pacings)
def test_a_wait_with_a_deadline_ends_in_a_release(
    sentence: PendingSentence, pacing: Pacing
) -> None:
    pacer, now_s = pacer_with_unplayed(5.0, pacing), 0.0
    for _ in range(10):
        choice = pacer.decide(sentence, now_s)
        if isinstance(choice, Speak) or choice.until_s is None:
            break
        now_s = choice.until_s + 1e-9
    else:
        pytest.fail("waits forever")
    speaks = pacing.live and pacing.duplex and pacing.preemptive and pacing.typing != "sentence"
    if speaks and sentence.spoken < sentence.released:
        assert isinstance(choice, Speak)
