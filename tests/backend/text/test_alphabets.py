"""Detecting text in a script that no language of the engine uses."""

from __future__ import annotations

import time

import pytest

from backend.text.alphabets import foreign_script

ENGLISH = ("en-US", "en-GB")


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Привет, мир!", "cyrillic"),
        ("你好。", "cjk"),
        ("こんにちは", "hiragana"),
        ("مرحبا", "arabic"),
        ("안녕하세요 👋", "hangul"),
        ("Καλημέρα κόσμε", "greek"),
        ("नमस्ते", "devanagari"),
    ],
)
def test_text_entirely_in_another_script_is_reported(text: str, script: str) -> None:
    assert foreign_script(text, ENGLISH) == script


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "👋",
        ".",
        "...",
        "Hello",
        "Grüß Gott",
        "Привет, Anna",
        "2024年",
        "№ 5",
        "ʼ",
        "π",
        "2 μ",
        "ｈｉ",
    ],
)
def test_readable_or_wordless_text_is_accepted(text: str) -> None:
    assert foreign_script(text, ENGLISH) is None


def test_a_language_reads_its_own_script_only() -> None:
    assert foreign_script("Привет", ("en", "ru")) is None
    assert foreign_script("日本語です", ("ja",)) is None
    assert foreign_script("Hello", ("zh",)) == "latin"


def test_a_long_text_is_checked_quickly() -> None:
    start_s = time.thread_time()
    assert foreign_script("Привет мир, " * 1700, ENGLISH)
    assert time.thread_time() - start_s < 0.05
