"""An EPUB becomes an audiobook in the embedded voice, started from nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from bench.harness.judge import Judge, word_errors
from duplex_tts.books.m4b import RATE_HZ
from tests.support.epub_files import EpubFile, nav, page
from tests.support.repository import ROOT

pytestmark = pytest.mark.slow

CHAPTERS = {
    "Chapter One": "The library opens at nine in the morning<sup><a href='#n'>1</a></sup> and "
    "closes at six.",
    "Chapter Two": "On Saturdays the old clock in the tower rings twelve times.",
    "Chapter Three": "Nobody knows <span class='pagenum'>17</span> why it is always a little late.",
}


def write_epub(path: Path) -> Path:
    pages = {
        f"{number}.xhtml": page(f"<h1>{title}</h1><p>{text}</p>")
        for number, (title, text) in enumerate(CHAPTERS.items())
    }
    contents = nav(*((title, f"{number}.xhtml") for number, title in enumerate(CHAPTERS)))
    return EpubFile(pages, contents).write(path)


def test_each_chapter_is_heard_from_its_mark_on(tmp_path: Path) -> None:
    source = write_epub(tmp_path / "library.epub")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DUPLEX_TTS_URL", None)
    command = [sys.executable, "-m", "duplex_tts", "book", str(source), "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "library.m4b"), "r") as book:
        marks = book.chapters()
        sound = np.concatenate([frame.to_ndarray()[0] for frame in book.decode(audio=0)])
    assert [mark["metadata"]["title"] for mark in marks] == list(CHAPTERS)
    judge = Judge()
    said = [
        "Chapter One. The library opens at nine in the morning and closes at six.",
        "Chapter Two. On Saturdays the old clock in the tower rings twelve times.",
        "Chapter Three. Nobody knows why it is always a little late.",
    ]
    for mark, text in zip(marks, said, strict=True):
        pcm = sound[mark["start"] * RATE_HZ // 1000 : mark["end"] * RATE_HZ // 1000]
        transcript = judge.transcribe_pcm(pcm.astype(np.float32), RATE_HZ)
        assert word_errors(text, transcript).errors <= 1, transcript
