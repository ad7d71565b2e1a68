"""The rules of when to speak how much, each by its name in the design."""

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


def growth(
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
    """A sentence, with the input's last character at `at_s`, by a model or at another `speed`."""
    return PendingSentence(
        text=text,
        words=word_ends(text),
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


def listening(audio_s: float, pacing: Pacing = PACING) -> Pacer:
    """A pacer whose listener has `audio_s` to hear at 0 s."""
    pacer = Pacer(pacing)
    pacer.count_sent(audio_s, 0.0)
    return pacer


# --- rule 1: first speech as soon as min_text_length characters and one word are there ------------


def test_a_word_is_spoken_when_the_next_one_has_begun() -> None:
    assert decide(growth("Hello t")) == Speak(6, 7)
    assert decide(growth("Hello ")) == Wait(0.1)  # or when the writer pauses
    assert decide(growth("Hello "), 0.1) == Speak(6, 6)
    assert isinstance(decide(growth("Hello")), Wait)


def test_a_pause_is_longer_than_the_usual_gap_of_a_slow_model() -> None:
    assert decide(replace(growth("Hello "), usual_gap_s=0.5)) == Wait(0.75)


def test_a_word_that_is_still_written_is_known_to_the_one_before_it() -> None:
    assert decide(growth("Hello ther")) == Speak(6, 10)
    assert decide(growth("They are (")) == Speak(5, 9)  # which word follows is not known yet


def test_with_lookahead_a_word_is_spoken_when_the_next_one_is_finished() -> None:
    pacing = replace(PACING, lookahead_start=1)
    assert isinstance(decide(growth("Hello ther"), pacing=pacing), Wait)
    assert decide(growth("Hello there "), pacing=pacing) == Speak(6, 12)


def test_first_speech_waits_for_min_text_length_characters() -> None:
    assert isinstance(decide(growth("I a b")), Wait)
    assert decide(growth("I am b")) == Speak(5, 6)
    assert isinstance(decide(growth("I am b"), pacing=replace(PACING, min_text_length=6)), Wait)


def test_min_text_length_concerns_only_the_first_speech() -> None:
    assert decide(growth("I a b", first=False)) == Speak(4, 5)


def test_first_speech_lasts_until_the_next_word_of_its_writer() -> None:
    assert decide(growth("Hello t", speed=130)) == Speak(6, 7)  # 30 tokens a second
    assert isinstance(decide(growth("Hello t", speed=45)), Wait)  # 10 tokens a second
    assert decide(growth("Hello there my", speed=45)) == Speak(12, 14)


def test_min_text_length_does_not_hold_a_short_text_back_when_the_writer_pauses() -> None:
    assert decide(growth("I a "), now_s=0.1) == Speak(4, 4)


@pytest.mark.parametrize(("lookahead", "to"), [(0, 12), (1, 12), (2, 6), (3, 0)])
def test_lookahead_start_words_are_kept_back_while_nothing_is_to_be_heard(
    lookahead: int, to: int
) -> None:
    choice = decide(growth("Hello there world "), pacing=replace(PACING, lookahead_start=lookahead))
    assert choice == (Speak(to, 18) if to else Wait(0.1))


@pytest.mark.parametrize(("lookahead", "to"), [(0, 12), (1, 12), (2, 6), (3, 0)])
def test_lookahead_words_are_kept_back_once_the_listener_is_ahead(lookahead: int, to: int) -> None:
    pacer = listening(0.25, replace(PACING, lookahead=lookahead))
    choice = pacer.decide(growth("Hello there world ", first=False), 0.0)
    assert choice == (Speak(to, 18) if to else Wait(0.1))


# --- rules 2 and 3: above the low-water mark wait, below it release -------------------------------


def test_above_the_low_water_mark_the_sentence_is_given_time_to_grow() -> None:
    sentence = growth("Hello there my friend ", first=False)
    assert listening(2.0).decide(sentence, 0.0) == Wait(1.7)


def test_below_the_low_water_mark_what_has_its_lookahead_is_released() -> None:
    sentence = growth("Hello there my friend ", first=False)
    assert listening(2.0).decide(sentence, 1.75) == Speak(12, 22)


def test_words_without_lookahead_wait_as_long_as_the_listener_can_bear() -> None:
    sentence = growth("Hello there ", released=6, first=False)
    assert listening(2.0).decide(sentence, 1.5) == Wait(1.85)
    assert listening(2.0).decide(sentence, 1.85) == Speak(12, 12)


def test_a_listener_about_to_run_dry_hears_words_with_less_lookahead() -> None:
    sentence = growth("Hello there world ", released=6, first=False)
    pacing = replace(PACING, lookahead_start=1)
    assert listening(2.0, pacing).decide(sentence, 1.84) == Wait(1.85)
    assert listening(2.0, pacing).decide(sentence, 1.85) == Speak(12, 18)


def test_a_writer_s_pause_is_awaited_when_it_ends_sooner_than_the_listener_s_audio() -> None:
    sentence = growth("Hello there world ", released=6, at_s=1.5, first=False)
    assert listening(2.0).decide(sentence, 1.5) == Wait(1.6)


@pytest.mark.parametrize("key_s", [0.045, 0.06, 0.08, 0.1, 0.12])
def test_a_listener_never_waits_while_a_finished_word_and_the_one_behind_it_are_there(
    key_s: float,
) -> None:
    assert typed("Every word is heard while the rest of it is still being written ", key_s) == []


def typed(text: str, key_s: float, render_s: float = 0.06) -> list[float]:
    """Type at a steady pace to an engine that takes `render_s` a release and speaks 15 characters a
    second. Returns the times at which the listener ran dry with two finished words unspoken.
    """
    pacer, released, spoken, now_s, dry_at_s = Pacer(PACING), 0, 0, 0.0, math.inf
    holes = []
    while spoken < len(text):
        keys = min(len(text), math.floor(now_s / key_s + 1e-9) + 1)
        sentence = growth(text[:keys], released=released, at_s=(keys - 1) * key_s, first=not spoken)
        choice = pacer.decide(replace(sentence, spoken=spoken), now_s)
        if isinstance(choice, Wait):
            key_at_s = keys * key_s if keys < len(text) else math.inf
            now_s = min(key_at_s, math.inf if choice.until_s is None else choice.until_s)
            continue
        released, now_s = choice.to, now_s + render_s
        if now_s > dry_at_s and len(word_ends(text[spoken : math.floor(dry_at_s / key_s)])) > 2:
            holes.append(dry_at_s)
        pacer.count_sent((released - spoken) / 15, now_s)
        spoken, dry_at_s = released, now_s + pacer.ahead_s(now_s)
    return holes


# --- rule 4: a complete sentence is released whole ------------------------------------------------


def test_complete_sentence_is_spoken_to_its_end() -> None:
    assert decide(growth("Hello there. ", complete=True)) == Speak(13, 13, final=True)


def test_complete_sentence_needs_no_min_text_length() -> None:
    assert decide(growth("Hi. ", complete=True)) == Speak(4, 4, final=True)


def test_complete_sentence_waits_above_the_high_water_mark() -> None:
    sentence = growth("Hello there. ", complete=True, first=False)
    assert listening(5.0).decide(sentence, 0.0) == Wait(1.0)
    assert listening(5.0).decide(sentence, 1.0) == Speak(13, 13, final=True)


def test_complete_sentence_is_not_held_by_the_low_water_mark() -> None:
    sentence = growth("Hello there. ", complete=True, first=False)
    assert listening(2.0).decide(sentence, 0.0) == Speak(13, 13, final=True)


def test_complete_sentence_that_is_already_spoken_is_still_finished() -> None:
    assert decide(growth("Hello. ", released=7, complete=True)) == Speak(7, 7, final=True)


# --- rule 5: a pause in the input -----------------------------------------------------------------


def test_a_word_held_back_for_its_lookahead_is_released_after_streaming_threshold() -> None:
    pacing = replace(PACING, lookahead_start=1)
    sentence = growth("Hello there ", released=6, at_s=1.0)
    assert decide(sentence, 1.05, pacing) == Wait(1.1)
    assert decide(sentence, 1.1, pacing) == Speak(12, 12)


@pytest.mark.parametrize("speed", [math.inf, 5.5, 1.0])
@pytest.mark.parametrize(
    "text", ["Hello ther", "I paid 3.", "See e.g.", "At www.", "Pi is 3", "the", "Mr."]
)
def test_half_a_word_is_never_spoken(text: str, speed: float) -> None:
    released = text.rfind(" ") + 1
    sentence = growth(text, released=released, speed=speed, first=not released)
    assert decide(sentence, 1e6) == Wait(None)


@pytest.mark.parametrize(
    "text", ["Come home.", "Come home!", "Well,", 'He said "home."', "umbrella"]
)
def test_a_last_word_that_is_whole_is_spoken_after_a_long_pause(text: str) -> None:
    pacing = replace(PACING, is_whole_word=lambda word: word == "umbrella")
    released = text.rfind(" ") + 1
    sentence = growth(text, released=released, at_s=1.0, first=not released)
    assert decide(sentence, 1.5, pacing) == Wait(3.0)
    assert decide(sentence, 3.0, pacing) == Speak(len(text), len(text), must_reach=True)
    assert decide(sentence, 99.0, replace(pacing, word_timeout_s=0)) == Wait(None)


def test_what_the_engine_held_back_is_forced_after_word_timeout() -> None:
    sentence = growth("It costs $3.2 ", released=14, spoken=9, at_s=1.0)
    assert decide(sentence, 1.2) == Wait(3.0)
    assert decide(sentence, 3.0) == Speak(14, 14, must_reach=True)


def test_nothing_is_due_when_all_is_spoken() -> None:
    assert decide(growth("Hello ", released=6, first=False), 99.0) == Wait(None)
    assert decide(growth(""), 99.0) == Wait(None)


def test_white_space_that_the_engine_held_back_is_spoken_for_too() -> None:
    sentence = growth("Take 5  ", released=8, spoken=6, first=False)
    assert decide(sentence, 99.0) == Speak(8, 8, must_reach=True)


# --- a writer slower than speech ------------------------------------------------------------------


def test_a_slow_writer_is_spoken_in_phrases_and_a_fast_one_in_words() -> None:
    assert decide(growth("The keys are on the ", speed=5.5)) == Speak(9, 20, pause=True)
    assert decide(growth("The keys are on the t", speed=50)) == Speak(20, 21)


def test_the_way_to_speak_typed_text_can_be_chosen() -> None:
    sentence = growth("The keys are on the ", speed=5.5, first=False)
    assert decide(sentence, pacing=replace(PACING, typing="word")) == Speak(16, 20)
    assert decide(sentence, 99.0, replace(PACING, typing="sentence")) == Wait(None)
    fast = growth("The keys are on the ")
    assert decide(fast, pacing=replace(PACING, typing="phrase")) == Speak(9, 20, pause=True)


def test_a_slow_writer_who_pauses_is_heard_up_to_a_word_that_does_not_lean() -> None:
    sentence = growth("How are you and the ", speed=5.5, at_s=1.0)
    assert decide(sentence, 1.5) == Wait(1.0 + 3.5 / 5.5)
    assert decide(sentence, 1.8) == Speak(12, 20, pause=True)


def test_what_a_pause_is_depends_on_the_writer() -> None:
    sentence = growth("How are you ", speed=1.0, at_s=1.0)
    assert decide(sentence, 4.4) == Wait(4.5)
    assert decide(sentence, 4.5) == Speak(12, 12, pause=True)


def test_a_writer_who_does_not_go_on_is_heard_to_the_last_finished_word() -> None:
    sentence = growth("Here is the ", speed=5.5, released=5, at_s=1.0, first=False)
    assert decide(sentence, 5.9) == Wait(6.0)
    assert decide(sentence, 6.0) == Speak(12, 12, must_reach=True)


# --- rule 6: flush and end ------------------------------------------------------------------------


def test_flush_releases_everything_at_once() -> None:
    assert decide(growth("Hel", flush_to=3)) == Speak(3, 3, must_reach=True)


def test_flush_is_not_held_back_by_a_listener_who_is_ahead() -> None:
    sentence = growth("Hello there", flush_to=11, first=False)
    assert listening(60.0).decide(sentence, 0.0) == Speak(11, 11, must_reach=True)


def test_end_speaks_the_last_sentence_to_its_end_whatever_the_listener_has() -> None:
    sentence = growth("Hello there", complete=True, flush_to=11, first=False)
    assert listening(60.0).decide(sentence, 0.0) == Speak(11, 11, final=True, must_reach=True)


def test_flush_in_mid_word_then_more_text_speaks_to_the_flush_first() -> None:
    assert decide(growth("Hello there", flush_to=8)) == Speak(8, 8, must_reach=True)
    rest = growth("Hello there my ", released=8, flush_to=8, first=False)
    assert decide(rest) == Speak(12, 15)


def test_flush_in_a_sentence_completed_since_comes_before_the_rest_of_it() -> None:
    sentence = growth("Hello there. ", complete=True, flush_to=3)
    assert decide(sentence) == Speak(3, 3, must_reach=True)


def test_a_flush_that_is_spoken_changes_nothing() -> None:
    assert decide(growth("Hello there ", released=6, flush_to=6), 0.0) == Wait(0.1)


# --- modes ----------------------------------------------------------------------------------------


def test_batch_speaks_whole_sentences_only() -> None:
    assert decide(growth("Hello there my friend "), 99.0, BATCH) == Wait(None)
    complete = growth("Hello there. ", complete=True)
    assert decide(complete, 0.0, BATCH) == Speak(13, 13, final=True)


def test_batch_does_not_wait_for_a_listener() -> None:
    sentence = growth("Hello there. ", complete=True, first=False)
    assert isinstance(listening(60.0, BATCH).decide(sentence, 0.0), Speak)


def test_batch_obeys_flush() -> None:
    assert decide(growth("Hel", flush_to=3), 0.0, BATCH) == Speak(3, 3, must_reach=True)


def test_without_preemptive_generation_only_complete_sentences_are_spoken() -> None:
    pacing = replace(PACING, preemptive=False)
    assert decide(growth("Hello there my friend "), 99.0, pacing) == Wait(None)
    complete = growth("Hello there. ", complete=True)
    assert decide(complete, 0.0, pacing) == Speak(13, 13, final=True)


def test_without_duplex_nothing_is_spoken_before_flush_or_end() -> None:
    pacing = replace(PACING, duplex=False)
    assert decide(growth("Hello there. ", complete=True), 99.0, pacing) == Wait(None)
    flush_to = growth("Hello there. ", complete=True, flush_to=13)
    assert decide(flush_to, 0.0, pacing) == Speak(13, 13, final=True, must_reach=True)


def test_an_engine_that_is_not_incremental_is_given_clauses() -> None:
    assert isinstance(decide(growth("Well then my friend "), pacing=CLAUSES), Wait)
    assert decide(growth("Well then, my friend "), pacing=CLAUSES) == Speak(11, 21)
    assert decide(growth("Well, then, my "), pacing=CLAUSES) == Speak(12, 15)


@pytest.mark.parametrize("mark", [",", ";", ":", "—", "、", "，", "،"])
def test_a_clause_ends_at_its_mark(mark: str) -> None:
    assert decide(growth(f"Well then{mark} my "), pacing=CLAUSES) == Speak(11, 14)


def test_a_clause_without_a_mark_is_spoken_when_the_writer_pauses() -> None:
    assert decide(growth("Well then "), 0.1, CLAUSES) == Speak(10, 10)


# --- the listener's clock -------------------------------------------------------------------------


def test_what_the_listener_has_is_what_was_sent_less_the_time_since() -> None:
    pacer = listening(1.0)
    assert pacer.ahead_s(0.25) == pytest.approx(0.75)
    pacer.count_sent(0.5, 0.25)
    assert pacer.ahead_s(0.5) == pytest.approx(1.0)
    assert pacer.ahead_s(99.0) == 0.0


def test_audio_after_a_gap_is_heard_from_then_on() -> None:
    pacer = listening(1.0)
    assert pacer.dry_s(3.0) == pytest.approx(2.0)
    pacer.count_sent(1.0, 3.0)
    assert pacer.ahead_s(3.0) == pytest.approx(1.0)


def test_the_first_audio_follows_an_infinite_gap_and_timely_audio_none() -> None:
    pacer = Pacer(PACING)
    assert pacer.dry_s(5.0) == math.inf
    pacer.count_sent(1.0, 5.0)
    assert pacer.dry_s(5.5) == 0.0


def test_the_reported_position_beats_the_estimate() -> None:
    pacer = listening(2.0)
    pacer.set_position(0.5, 1.0)  # half a second was heard, not a whole one
    assert pacer.ahead_s(1.0) == pytest.approx(1.5)
    pacer.set_position(2.0, 1.5)
    assert pacer.ahead_s(1.5) == 0.0


def test_a_position_beyond_all_that_was_sent_means_nothing_is_left() -> None:
    pacer = listening(2.0)
    pacer.set_position(1e9, 1.0)
    assert pacer.ahead_s(1.0) == 0.0
    pacer.set_position(math.inf, 1.0)
    assert pacer.ahead_s(1.0) == 0.0


def test_deadline_is_the_goal_for_one_who_waits_and_running_dry_for_one_who_hears() -> None:
    pacer = Pacer(PACING)
    assert pacer.deadline_s(10.0) == pytest.approx(10.15)
    pacer.count_sent(2.0, 10.0)
    assert pacer.deadline_s(10.5) == pytest.approx(12.0)
    assert pacer.deadline_s(13.0) == pytest.approx(13.15)


def test_batch_has_no_deadline() -> None:
    assert listening(1.0, BATCH).deadline_s(0.0) == math.inf


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
def growths(draw: st.DrawFn) -> PendingSentence:
    text = draw(st.text(alphabet="ab ,.\n1你", max_size=40))
    released = draw(st.sampled_from([0, *word_ends(text)]))
    spoken = draw(st.integers(0, released))
    flush_to = draw(st.one_of(st.integers(0, spoken), st.integers(released, len(text))))
    complete = draw(st.booleans())
    at_s = draw(st.floats(0, 2))
    return growth(
        text,
        released=released,
        spoken=spoken,
        complete=complete,
        flush_to=flush_to,
        at_s=at_s,
        first=spoken == 0,
        speed=draw(st.sampled_from([1.0, 5.5, 45.0, math.inf])),
    )


@given(growths(), pacings, st.floats(0, 5), st.floats(0, 10))
def test_speech_never_goes_back_and_never_beyond_the_text(
    sentence: PendingSentence, pacing: Pacing, now_s: float, ahead_s: float
) -> None:
    choice = listening(ahead_s, pacing).decide(sentence, now_s)
    if isinstance(choice, Speak):
        assert sentence.released <= choice.to <= choice.known <= len(sentence.text)
        assert choice.must_reach or choice.final or choice.to > sentence.released
        assert not choice.final or (sentence.complete and choice.to == len(sentence.text))
        assert choice.must_reach or choice.to in sentence.words or choice.final
    elif choice.until_s is not None:
        assert choice.until_s > now_s


@given(growths(), pacings, st.floats(0, 5), st.floats(0, 10))
def test_what_is_pressed_is_spoken_now(
    sentence: PendingSentence, pacing: Pacing, now_s: float, ahead_s: float
) -> None:
    choice = listening(ahead_s, pacing).decide(sentence, now_s)
    if sentence.flush_to > sentence.spoken:
        assert isinstance(choice, Speak)
        assert choice.must_reach
        assert choice.to >= sentence.flush_to


@given(growths(), pacings)
def test_a_wait_that_ends_by_itself_ends_in_speech(
    sentence: PendingSentence, pacing: Pacing
) -> None:
    pacer, now_s = listening(5.0, pacing), 0.0
    for _ in range(10):
        choice = pacer.decide(sentence, now_s)
        if isinstance(choice, Speak) or choice.until_s is None:
            break
        now_s = choice.until_s + 1e-9
    else:
        pytest.fail("waits for ever")
    speaks = pacing.live and pacing.duplex and pacing.preemptive and pacing.typing != "sentence"
    if speaks and sentence.spoken < sentence.released:
        assert isinstance(choice, Speak)
