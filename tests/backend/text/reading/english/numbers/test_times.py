from __future__ import annotations

import pytest

from tests.support.reading import read_aloud

CASES = [
    ("10:30 PM EST", "ten thirty P M E S T"),
    ("At 10:30 p.m. we met.", "At ten thirty P M we met."),
    ("It ended at 10:30 p.m.", "It ended at ten thirty P M."),
    ("7AM sharp", "seven A M sharp"),
    ("7 a.m. sharp", "seven A M sharp"),
    ("Open 9am–5pm daily.", "Open nine A M to five P M daily."),
    ("Open 9 am to 5 pm.", "Open nine A M to five P M."),
    ("Open 9 am - 5 pm.", "Open nine A M to five P M."),
    ("Open 9:00 - 17:00.", "Open nine o'clock to seventeen hundred."),
    ("9:00–17:30", "nine to seventeen thirty"),
    ("8:30-9:15am", "eight thirty to nine fifteen A M"),
    ("10-11am", "ten to eleven A M"),
    ("10-12 p.m. today", "ten to twelve P M today"),
    ("12:00", "twelve o'clock"),
    ("12:00 PM", "twelve P M"),
    ("0:45", "zero forty five"),
    ("23:59:59", "twenty three fifty nine fifty nine"),
    ("12:05", "twelve oh five"),
    ("8:00.", "eight o'clock."),
    ("At 8:00, we met.", "At eight o'clock, we met."),
    ("7.30pm", "seven thirty P M"),
    ("19h30", "nineteen thirty"),
    ("8h", "eight hours"),
    ("1h30m", "one hour thirty minutes"),
    ("2h 15m 30s", "two hours fifteen minutes thirty seconds"),
    ("5m 30s", "five minutes thirty seconds"),
    ("John 3:16-18", "John three sixteen to eighteen"),
    ("Psalm 23:1", "Psalm twenty three one"),
    ("Genesis 1:1 says", "Genesis one one says"),
    ("Ratio 4:3", "Ratio four to three"),
    ("4:3 ratio", "four to three ratio"),
    ("a 3:2 win", "a three to two win"),
    ("1:1", "one to one"),
    ("1:100 scale", "one to one hundred scale"),
    ("10:1", "ten to one"),
    ("5 AM", "five A M"),
    ("5 PM PST", "five P M P S T"),
    ("2:05:09", "two oh five oh nine"),
    ("at 14:30h", "at fourteen thirty"),
    ("6-7pm", "six to seven P M"),
    ("11pm-1am", "eleven P M to one A M"),
    ("11:59pm", "eleven fifty nine P M"),
    ("10 a.m.-5 p.m.", "ten A M to five P M."),
    ("9 a.m. to 5 p.m. daily", "nine A M to five P M daily"),
    ("the 7:30am train", "the seven thirty A M train"),
    ("from 5 to 7 p.m.", "from five to seven P M."),
]


@pytest.mark.parametrize(("text", "spoken"), CASES)
def test_a_time_is_read(text: str, spoken: str) -> None:
    assert read_aloud(text).lower() == spoken.lower()
