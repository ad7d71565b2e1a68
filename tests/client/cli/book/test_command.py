"""Audiobooks on the real server with the fake engine, which speaks a character in 10 ms."""

import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

from duplex_tts.books.book import MOST_COVER_BYTES
from duplex_tts.cli.app import app
from duplex_tts.cli.batch.command import lock_folder
from tests.support.engines.fake_engine import FakeModel
from tests.support.epub_files import EpubFile, nav, page
from tests.support.live_server import live_server, wait_until

pytestmark = pytest.mark.slow

PARAGRAPH = "<p>" + "Some words of the text. " * 30 + "</p>"


def write_epub(path: Path, *texts: str, language: str = "en") -> Path:
    """A book with a chapter for each text, behind a copyright page."""
    pages = {f"{n}.xhtml": page(f"<h1>Chapter {n}</h1>{text}") for n, text in enumerate(texts, 1)}
    contents = nav(*((f"Title {n}", f"{n}.xhtml") for n in range(1, len(texts) + 1)))
    imprint = page("<p>All rights reserved. Copyright, ISBN 1.</p>")
    metadata = f"<dc:title>Bells</dc:title><dc:language>{language}</dc:language>"
    return EpubFile({"imprint.xhtml": imprint, **pages}, contents, metadata=metadata).write(path)


async def start_cli(*arguments: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duplex_tts", "book", *map(str, arguments)),
        stderr=subprocess.PIPE,
    )


async def run_cli(*arguments: str | Path) -> tuple[int, str]:
    process = await start_cli(*arguments)
    _, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stderr.decode()


def chapter_titles(path: Path) -> list[str]:
    with av.open(str(path), "r") as book:
        return [chapter["metadata"]["title"] for chapter in book.chapters()]


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """The parts rendered, with what changes when one is written again."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.glob("[!.]*.flac")
    }


# --- rendering ------------------------------------------------------------------------------------


async def test_a_book_becomes_an_audiobook(tmp_path: Path) -> None:
    source = write_epub(tmp_path / "bells.epub", "<p>One two.</p>", PARAGRAPH, "<p>Three.</p>")
    async with live_server() as live:
        code, stderr = await run_cli(source, "--url", live.http)
        assert (code, chapter_titles(tmp_path / "bells.m4b")) == (
            0,
            ["Title 1", "Title 2", "Title 3"],
        )
        assert "3 chapters" in stderr
        assert file_names(tmp_path) == ["bells.epub", "bells.m4b"]
        _, stderr = await run_cli(source, "--url", live.http)
        assert "nothing has changed" in stderr
        code, _ = await run_cli(source, tmp_path / "x.m4b", "--chapters", "1,4", "--url", live.http)
    assert chapter_titles(tmp_path / "x.m4b") == ["Copyright", "Title 3"]


async def test_the_sound_of_a_chapter_is_that_of_its_text(tmp_path: Path) -> None:
    source = write_epub(tmp_path / "x.epub", "<p>Hello there.</p>")
    async with live_server() as live:
        await run_cli(source, "--url", live.http)
    with av.open(str(tmp_path / "x.m4b"), "r") as book:
        spoken = len("Chapter1Hellothere.") * 10
        assert (book.duration or 0) / 1_000 == pytest.approx(spoken + 1_500, abs=60)


async def test_parts_without_words_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("# One\n\nText.\n\n# 🙂\n\n🙂\n\n# Three\n\nText too.")
    async with live_server() as live:
        code, _ = await run_cli(tmp_path / "x.md", "--url", live.http)
    assert (code, chapter_titles(tmp_path / "x.m4b")) == (0, ["One", "Three"])


# --- continuing -----------------------------------------------------------------------------------


async def test_a_killed_book_keeps_its_parts(tmp_path: Path) -> None:
    """Also if a chapter has changed meanwhile, and another was put before it."""
    source, folder = tmp_path / "x.epub", tmp_path / ".x.m4b.parts"
    texts = [f"<p>Number {number}.</p>" for number in range(8)]
    write_epub(source, *texts)
    gate = threading.Semaphore(12)
    async with live_server(FakeModel(gate=gate)) as live:
        process = await start_cli(source, "--url", live.http, "-j", "2")
        await wait_until(lambda: len(stamps(folder)) >= 2, 30)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        kept = stamps(folder)
        assert not (tmp_path / "x.m4b").exists()
        gate.release(100_000)
        write_epub(source, texts[0], texts[1], "<p>New.</p>", *texts[2:7], "<p>Changed.</p>")
        code, stderr = await run_cli(source, "--url", live.http, "--keep-parts")
    assert code == 0, stderr
    after = stamps(folder)
    unchanged = {name for name, stamp in kept.items() if after.get(name) == stamp}
    assert unchanged == set(kept)
    assert len(chapter_titles(tmp_path / "x.m4b")) == 9


async def test_a_damaged_part_is_rendered_again(tmp_path: Path) -> None:
    source, folder = tmp_path / "x.epub", tmp_path / ".x.m4b.parts"
    write_epub(source, "<p>One.</p>", "<p>Two.</p>")
    async with live_server() as live:
        await run_cli(source, "--url", live.http, "--keep-parts")
        (tmp_path / "x.m4b").unlink()
        empty, cut = folder.glob("*.flac")  # as after a power failure
        empty.write_bytes(b"")
        cut.write_bytes(cut.read_bytes()[:-20])
        code, stderr = await run_cli(source, "--url", live.http)
        assert (code, f"{cut} was damaged" in stderr) == (1, True)
        code, stderr = await run_cli(source, "--url", live.http)
    assert (code, chapter_titles(tmp_path / "x.m4b")) == (0, ["Title 1", "Title 2"]), stderr


async def test_a_failed_chapter_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    source, folder = tmp_path / "x.epub", tmp_path / ".x.m4b.parts"
    write_epub(source, PARAGRAPH, "<p>Please explode now.</p>", "<p>Fine.</p>")
    async with live_server() as live:
        code, stderr = await run_cli(source, "--url", live.http)
        assert code == 1
        assert "chapter 'Title 2'" in stderr
        assert "engine_failed" in stderr
        assert "what was rendered is kept" in stderr
        kept = stamps(folder)
        assert len(kept) == 2
        write_epub(source, PARAGRAPH, "<p>Mended.</p>", "<p>Fine.</p>")
        code, _ = await run_cli(source, "--url", live.http, "--keep-parts")
        assert code == 0
    assert {name: stamp for name, stamp in stamps(folder).items() if name in kept} == kept


async def test_a_full_disk_ends_the_book(tmp_path: Path) -> None:
    source = write_epub(tmp_path / "x.epub", *[PARAGRAPH * 3] * 20)
    (tmp_path / "x.m4b").write_bytes(b"former")
    async with live_server() as live:
        command = f"ulimit -f 8; {sys.executable} -m duplex_tts book {source} --url {live.http}"
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", command, stderr=subprocess.PIPE
        )
        _, stderr = await process.communicate()
    assert process.returncode == 1
    assert b"is the disk full?" in stderr
    assert (tmp_path / "x.m4b").read_bytes() == b"former"


async def test_two_runs_do_not_write_one_book(tmp_path: Path) -> None:
    source, folder = write_epub(tmp_path / "x.epub", PARAGRAPH), tmp_path / ".x.m4b.parts"
    async with live_server() as live:
        with lock_folder(folder):
            code, stderr = await run_cli(source, "--url", live.http)
    assert (code, "is writing into" in stderr) == (1, True)


# --- errors ---------------------------------------------------------------------------------------


async def test_a_language_without_a_voice_is_refused_with_a_remedy(tmp_path: Path) -> None:
    source = write_epub(tmp_path / "x.epub", "<p>Hej.</p>", language="sv")
    async with live_server() as live:
        code, stderr = await run_cli(source, "--url", live.http)
        assert (code, "voices available sv" in stderr) == (1, True)
        code, _ = await run_cli(source, "--url", live.http, "--language", "en")
        assert code == 0


def run_offline(*arguments: str | Path) -> tuple[int, str]:
    """Run it in a server's absence."""
    result = CliRunner().invoke(app, ["book", *map(str, arguments), "--url", "127.0.0.1:1"])
    return result.exit_code, result.output


def test_the_list_of_chapters_needs_no_server(tmp_path: Path) -> None:
    code, output = run_offline(write_epub(tmp_path / "x.epub", PARAGRAPH, PARAGRAPH), "--list")
    assert code == 0
    lines = output.splitlines()
    assert lines[0].strip() == "Bells (en)"
    assert "left out: copyright" in lines[2]
    assert lines[3].split() == ["2", "Title", "1", "152", "0:57"]
    assert lines[-1].split() == ["read", "304", "1:54"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["x.mobi"], "unsupported_book"),
        (["gone.epub"], "unreadable"),
        (["x.epub", "x.mp3"], "bad_output"),
        (["x.epub", "no/such/x.m4b"], "bad_output"),
        (["x.epub", "--chapters", "9"], "bad_chapters"),
        (["x.epub", "--cover", "gone.png"], "gone.png"),
    ],
)
def test_errors_come_before_any_speech(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_epub(tmp_path / "x.epub", PARAGRAPH)
    code, output = run_offline(*arguments)
    assert code != 0
    assert why in output
    assert file_names(tmp_path) == ["x.epub"]


def test_a_cover_without_end_is_not_read_whole(tmp_path: Path) -> None:
    book, cover = write_epub(tmp_path / "x.epub", PARAGRAPH), tmp_path / "cover.png"
    with cover.open("wb") as file:
        file.truncate(MOST_COVER_BYTES + 1)
    code, output = run_offline(str(book), "--cover", str(cover))
    assert code == 2
    assert "30 MB" in output
