"""Words of scripts without spaces, however the text arrives."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.reading.written_words import split_words
from backend.text.spaceless import split_run
from backend.text.words import word_ends

pytest.importorskip("icu4py")

THAI = "ห้องสมุดเปิดเก้าโมงเช้าและปิดหกโมงเย็นนักเรียนทุกคนต้องส่งการบ้านก่อนวันศุกร์"
PARTS = ("ประเทศไทย", "มี", "อาหาร", "อร่อย", "เ", "ก", "๑๒", "ฯ", "ๆ", "่", "ຂ້ອຍ", "ខ្ញុំ", "ကျွန်")
MARKS = (" ", "a", "12", "!", "。", "“", "\n", "你", "\u2060")
thai = st.lists(st.sampled_from(PARTS), max_size=30).map("".join)
mixed = st.lists(st.sampled_from(PARTS + MARKS), max_size=30).map("".join)
exactly = settings(derandomize=True, deadline=None, max_examples=200)


def words(text: str) -> list[str]:
    return [word.text for word in split_words(text, final=True)]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("ผมอยากกินกับเพื่อน", ["ผม", "อยาก", "กิน", "กับ", "เพื่อน"]),
        ("ประเทศไทยมีอาหารอร่อยมากมาย", ["ประเทศไทย", "มี", "อาหาร", "อร่อย", "มากมาย"]),
        ("ຂ້ອຍບໍ່ຮູ້", ["ຂ້ອຍ", "ບໍ່", "ຮູ້"]),
        ("គាត់ដាក់កូនសោ", ["គាត់", "ដាក់", "កូនសោ"]),
        ("သူသော့ကို", ["သူ", "သော့", "ကို"]),
        ("ราคา๑๒๓บาท", ["ราคา", "๑๒๓", "บาท"]),
        ("เขาพูดว่า“ดีมาก!”ฉันไป", ["เขา", "พูด", "ว่า“", "ดี", "มาก!”", "ฉัน", "ไป"]),
    ],
)
def test_words_are_those_of_a_dictionary(run: str, expected: list[str]) -> None:
    assert words(run) == expected


@exactly
@given(mixed, st.lists(st.integers(0, 200), max_size=6))
def test_words_do_not_depend_on_the_pieces_that_arrive(text: str, cuts: list[int]) -> None:
    whole = split_words(text, final=True)
    edges = sorted({min(cut, len(text)) for cut in (*cuts, *range(len(text)))})
    found: list[tuple[int, int]] = []
    for edge in edges:
        start = found[-1][1] if found else 0
        found += [
            (word.start, word.behind) for word in split_words(text[:edge], start, final=False)
        ]
    start = found[-1][1] if found else 0
    found += [(word.start, word.behind) for word in split_words(text, start, final=True)]
    assert found == [(word.start, word.behind) for word in whole]


@exactly
@given(thai)
def test_words_tile_a_run_and_break_no_syllable_group(run: str) -> None:
    ends = split_run(run, final=True)
    assert ends == sorted(set(ends))
    assert ends[-1:] == ([len(run)] if run else [])
    marks = "่้๊๋์ิีึืุู็ั"
    assert not any(
        run[end : end + 1] in tuple(marks) for end in ends[:-1] if run[end - 1] not in "๑๒"
    )


def test_a_word_is_decided_with_twelve_characters_behind_it() -> None:
    decided = [len(split_run(THAI[:size], final=False)) for size in range(len(THAI) + 1)]
    assert decided[12] == 0
    assert decided[:20].index(1) <= len("ห้อง") + 12
    assert all(after - before <= 3 for before, after in pairwise(decided))


@exactly
@given(thai)
def test_engines_may_stop_behind_every_word(run: str) -> None:
    assert set(split_run(run, final=True)) <= set(word_ends(run))


def test_without_dictionaries_syllable_groups_are_words() -> None:
    script = (
        "import sys; sys.modules['icu4py'] = None\n"
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name: None if name == 'icu4py' else find(name)\n"
        "from backend.text.spaceless import split_run\n"
        "print(split_run('สวัสดี', final=True))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[1, 3, 4, 6]"
