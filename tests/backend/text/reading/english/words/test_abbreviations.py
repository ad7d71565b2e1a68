"""Abbreviations are read by what is around them."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.sentence_ends import may_end_sentence
from backend.text.reading.english.words.wording import WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Mr. Smith met Mrs. Lee and Ms. Fox.", "Mister Smith met Misses Lee and Miz Fox."),
        ("MR. SMITH CAME.", "Mister smith came."),
        ("Ask Dr. Lee now.", "Ask Doctor Lee now."),
        ("See the Dr. today.", "See the Doctor today."),
        ("Ask the Drs. Lee.", "Ask the Doctors Lee."),
        ("I live on Oak Dr. now.", "I live on Oak Drive now."),
        ("Elm Dr. is long.", "Elm Drive is long."),
        ("Dr. Elm lives on Elm Dr.", "Doctor Elm lives on Elm Drive."),
        ("St. James St. here.", "Saint James Street here."),
        ("Oak St. is near.", "Oak Street is near."),
        ("123 Main St., Boston", "one twenty three Main Street, Boston"),
        ("At St. Paul we met.", "At Saint Paul we met."),
        ("St Paul's church", "Saint Paul's church"),
        ("Mr Smith and Dr Lee", "Mister Smith and Doctor Lee"),
        ("Ft. Worth and Mt. Rainier.", "Fort Worth and Mount Rainier."),
        ("Lt. Col. Lee and Sgt. Pepper", "Lieutenant Colonel Lee and Sergeant Pepper"),
        ("Lt. Gov. Lee and Pres. Fox", "Lieutenant Governor Lee and President Fox"),
        ("Sen. Lee and Rep. Fox", "Senator Lee and Representative Fox"),
        ("Rev. Dr. King", "Reverend Doctor King"),
        ("Acme Inc. and Foo Ltd. came.", "Acme Incorporated and Foo limited came."),
        (
            "Smith Bros. and Acme Corp. and Foo Co.",
            "Smith Brothers and Acme Corporation and Foo Company.",
        ),
        ("Martin Luther King Jr. came.", "Martin Luther King junior came."),
        ("Oak Rd. and Elm Ln. meet.", "Oak Road and Elm Lane meet."),
        ("Ave. and Blvd. here.", "Avenue and Boulevard here."),
        ("Cats vs. dogs and cats vs mice", "Cats versus dogs and cats versus mice"),
        ("It is approx. five.", "It is approximately five."),
        ("Fruit (e.g. apples) is good.", "Fruit (for example apples) is good."),
        ("Use it, i.e. here.", "Use it, that is here."),
        ("Fruit, i.e., apples.", "Fruit, that is, apples."),
        ("Apples, pears, etc.", "Apples, pears, et cetera."),
        ("Apples, etc. are good.", "Apples, et cetera are good."),
        ("Smith et al. said so.", "Smith et al said so."),
        ("op. cit. here", "op cit here"),
        ("Smith v. Jones", "Smith versus Jones"),
        ("See Vol. II now.", "See volume two now."),
        ("See Fig. A here.", "See figure A here."),
        ("The apt. is small.", "The apartment is small."),
        ("The dept. is big.", "The department is big."),
        ("The temp. is high.", "The temperature is high."),
        ("The max. is high, the min. low.", "The maximum is high, the minimum low."),
        ("That is the max.", "That is the max."),
        ("The est. cost of misc. items", "The estimated cost of miscellaneous items"),
        ("No. I will not.", "No. I will not."),
        ("Rev. J. Smith", "Reverend J Smith"),
        ("Ste. B and Ste. Anne", "Saint B and Saint Anne"),
        ("The amt. and ans.", "The amount and answer."),
        ("Use the app. Def. of it.", "Use the app. Def. of it."),
        ("He likes art.", "He likes art."),
        ("Wait a sec.", "Wait a sec."),
        ("Sec. Clinton came.", "Secretary Clinton came."),
        ("Tues. and Thurs.", "Tuesday and Thursday."),
        ("Wed. is fine.", "Wednesday is fine."),
        ("See you Sat.", "See you Saturday."),
        ("Look at the Sun.", "Look at the Sun."),
        ("The cat sat.", "The cat sat."),
        ("Jan. is cold.", "January is cold."),
        ("In Dec. it snows.", "In December it snows."),
        ("Since Aug we wait.", "Since August we wait."),
        ("Jan came.", "Jan came."),
        ("Mon-Fri only", "Monday to Friday only"),
        ("Mon–Fri only", "Monday to Friday only"),
        ("Jan-Mar only", "January to March only"),
        ("mid-Jan", "mid January"),
        ("Sun-dried and Mar-a-Lago", "Sun-dried and Mar-a-Lago"),
        ("The U.S. came.", "The U S came."),
        ("The U.S.", "The U S."),
        ("the U.S.'s plan", "the U S's plan"),
        ("R.I.P. Bob", "R I P Bob"),
        ("a.k.a. Bob", "A K A Bob"),
        ("A Ph.D. came.", "a P H D came."),
        ("J. K. Rowling and J.R.R. Tolkien", "J K Rowling and J R R Tolkien"),
        ("It was J.", "It was J."),
        ("N. Korea and N. Lee", "North Korea and N Lee"),
        ("U.S.-based and pre-U.S.", "U S based and pre U S."),
        ("a.s.a.p.", "A S A P."),
        ("Washington D.C. is hot.", "Washington D C is hot."),
        ("w/ me and w/o you", "with me and without you"),
        ("c/o Bob, b/c I said so", "care of Bob, because I said so"),
    ],
)
def test_abbreviations_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("max.", "s"),
        ("(approx.", "T"),
        ("Ch.", "5"),
        ("Prof.", "L"),
        ("vs.", "D"),
        ("hrs.", "l"),
        ("Tues.", "a"),
        ("Jan.", "5"),
        ("“Mr.", "“Smith"),
    ],
)
def test_no_sentence_ends_at_a_full_stop_that_shortens_a_word(before: str, behind: str) -> None:
    assert not may_end_sentence(before, behind, is_complete=False)
    assert not may_end_sentence(before, behind, is_complete=True)


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("end.", "t"),
        ("St.", "S"),
        ("max.", "T"),
        ("etc.", "T"),
        ("art.", "T"),
        ("sat.", "t"),
        ("...", "a"),
        ("Jan.", "S"),
        ("Inc.", "S"),
    ],
)
def test_a_sentence_may_end_elsewhere(before: str, behind: str) -> None:
    assert may_end_sentence(before, behind, is_complete=False)


def test_a_word_that_may_be_numbered_waits_until_the_next_is_complete() -> None:
    assert not may_end_sentence("Apt.", "B", is_complete=False)
    assert not may_end_sentence("Apt.", "B.", is_complete=True)
    assert may_end_sentence("Apt.", "But", is_complete=True)
