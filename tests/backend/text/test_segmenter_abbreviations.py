"""Abbreviations end sentences only where a sentence can end."""

from __future__ import annotations

import pytest

from backend.text.segmenter import Segmenter


def split(text: str) -> list[str]:
    segmenter = Segmenter()
    sentences = [sentence for letter in text for sentence in segmenter.push_text(letter)]
    return [sentence.text for sentence in sentences + segmenter.end_text()]


@pytest.mark.parametrize(
    "text",
    [
        "The max. speed is 5.",
        "In Ch. 5 we meet.",
        "The temp. is 5.",
        "It was misc. stuff from approx. ten people.",
        "Live at Apt. 5 there.",
        "See Apt. B there.",
        "See Fig. A for more.",
        "See fig. 3 for more.",
        "Read Vol. II again.",
        "Eq. 5 holds, as does Sec. 3 below.",
        "Art. 5 applies.",
        "The dept. head left.",
        "Our dept. is small.",
        "The avg. price is 5.",
        "The min. wage rose.",
        "The est. time is 5.",
        "Approx. 5 people came.",
        "Take approx. UK time.",
        "Cats vs. Dogs won.",
        "He lives on Elm St. near the mill.",
        "Mr. Smith met Dr. Jones and Sen. Lee.",
        "Gen. Lee and Lt. Col. Fox met.",
        "Acme Inc. is big and Foo Ltd. came.",
        "It is 5 ft. tall.",
        "It is 3 tbsp. of oil.",
        "It lasts 30 mins. or so.",
        "It took 2 wks. to do.",
        "It weighs 5 lbs. or more.",
        "It is 5 gal. of milk.",
        "He has a Ph.D. in physics.",
        "The U.S. army came.",
        "I met J. Smith there.",
        "Fruit, e.g. apples, is fine.",
        "Fruit, i.e. Apples, is fine.",
        "No. 5 is alive.",
        "See No. 5 there.",
        "See p. 12 here.",
        "See pp. 3-5 here.",
        "On Tues. and Thurs. we rest.",
        "Jan. is cold.",
        "On Jan. 5 we met.",
        "On Sept. 9 we met.",
        "It is op. cit. here.",
        "Smith et al. said so.",
        "It is incl. of tax.",
        "The excl. VAT price is 5.",
        "The ref. number is 5.",
        "Call ext. 5 now.",
        "Tel. 555 works.",
        "Turn at Rte. 66 now.",
        "Take Hwy. 1 north.",
        "Rm. 5 is here.",
        "The orig. plan failed.",
        "It is ca. 1900 here.",
        "The std. size is 5.",
        "Prof. Lee and Rev. Fox came.",
        "Gov. Lee met Rep. Fox.",
        "Bros. in arms.",
        "It is esp. good.",
        "The govt. said no.",
        "He lives at 5 Main St. in town.",
        "Fifth Ave. and Elm Blvd. meet.",
        "The qty. is low.",
        "It is a.k.a. Bob.",
        "R.I.P. Bob Smith.",
        "Mt. Fuji is high.",
        "Ft. Worth is hot.",
        "St. Paul came.",
        "Chap. 5 and Para. 3 are new.",
        "Assoc. Prof. Lee came.",
        "Attn. all staff.",
        "The Univ. of Ohio won.",
        "Sgt. Pepper and Capt. Hook met.",
        "It runs at 5 p.m. daily.",
        "At 5 p.m. on Monday we go.",
        "See Ex. 5 below.",
        "See Tab. 5 below.",
        "We are at Bldg. 5 now.",
        "Flt. 22 is late.",
    ],
)
def test_a_sentence_with_abbreviations_stays_one(text: str) -> None:
    assert split(text) == [text]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("I live on Elm St.", "She came."),
        ("We left at 5 p.m.", "We slept."),
        ("I like cats, dogs, etc.", "The end."),
        ("He lives in the U.S.", "The team left."),
        ("He likes modern art.", "Then he left."),
        ("He works for Acme Inc.", "She does not."),
        ("This is the max.", "She left."),
        ("It was hot in Jan.", "She left."),
        ("Look at the sun.", "It is red."),
        ("He ate a fig.", "Then he left."),
        ("She ran 5 mi.", "Then she slept."),
        ("We met on Tues.", "She was late."),
        ("The cat sat.", "The dog ran."),
        ("He is Bob Smith Jr.", "She is Ann."),
        ("I have two.", "5 people came."),
        ("It is my op.", "It went well."),
        ("It is on the par.", "Good."),
        ("Read it on p. 5.", "Then stop."),
        ("I said no.", "She said yes."),
        ("He paid 5 lbs.", "She did not."),
        ("Turn on Oak Ave.", "Then stop."),
        ("Use the tab.", "Then stop."),
        ("He is in.", "She is out."),
    ],
)
def test_a_sentence_may_end_with_an_abbreviation(first: str, second: str) -> None:
    assert split(f"{first} {second}") == [f"{first} ", second]


@pytest.mark.parametrize("text", ["In Ch.", "Ask Dr.", "Take approx."])
def test_flush_leaves_a_sentence_open_at_a_word_that_leads_on(text: str) -> None:
    segmenter = Segmenter()
    segmenter.push_text(text)
    assert segmenter.flush_text() == []
