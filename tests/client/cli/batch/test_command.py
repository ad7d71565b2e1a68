"""Batches on the real server with the fake engine, which speaks a character in 10 ms."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile
from filelock import FileLock
from typer.testing import CliRunner

from bench.client.batch_kills import kill_batches
from duplex_tts.channel.context import Parameters
from duplex_tts.cli import app as cli
from duplex_tts.cli.batch.job import BatchJob, BatchReport, render_lines, select_missing
from duplex_tts.cli.batch.lines import BatchLine, parse_lines
from duplex_tts.errors import ClientError, ConnectionLost, NothingToSpeak
from duplex_tts.sinks import SinkFailed
from duplex_tts.subtitles import SubtitleFiles
from tests.support.engines.fake_engine import CHARACTER_SAMPLES, FakeModel
from tests.support.live_server import LiveServer, live_server, wait_until
from tests.support.scripted_server import ScriptedConnection, idle, run_server

pytestmark = pytest.mark.slow


def parse_fields(*fields: dict[str, Any], format_: str = "wav") -> list[BatchLine]:
    raw = [json.dumps(line).encode() for line in fields]
    lines = [line for line in parse_lines(raw, format_, {}) if isinstance(line, BatchLine)]
    assert len(lines) == len(fields)
    return lines


def text_lines(count: int) -> list[BatchLine]:
    return parse_fields(*({"text": f"Line {number} of many."} for number in range(count)))


def holds_speech_of(path: Path, text: str) -> bool:
    """Whether the file holds exactly the speech of the text."""
    characters = len("".join(text.split()))
    return bool(soundfile.info(path).frames == characters * CHARACTER_SAMPLES)


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def spoken_at_once(live: LiveServer) -> int:
    return sum(session.contexts for session in live.connections.sessions())


async def run_cli(*arguments: str, **options: Any) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duplex_tts", "batch", *arguments),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _, stderr = await process.communicate(options.get("text"))
    assert process.returncode is not None
    return process.returncode, stderr.decode()


# --- rendering ------------------------------------------------------------------------------------


async def test_every_line_becomes_a_complete_file(tmp_path: Path) -> None:
    lines, report = text_lines(20), BatchReport()
    async with live_server() as live:
        await render_lines(live.address, None, BatchJob(lines, tmp_path, at_once=4), report)
    assert file_names(tmp_path) == [line.file_name for line in lines]
    assert all(holds_speech_of(tmp_path / line.file_name, line.text) for line in lines)
    assert (report.written, report.failures) == (20, [])
    total = sum(len("".join(line.text.split())) for line in lines) / 100
    assert report.audio_s == pytest.approx(total)


async def test_a_line_is_rendered_with_its_format_and_rate(tmp_path: Path) -> None:
    lines = parse_fields(
        {"id": "a", "text": "Hello there.", "sample_rate": 8000, "format": "flac"},
        {"id": "b", "text": "Hello there.", "format": "mp3"},
    )
    async with live_server() as live:
        await render_lines(live.address, None, BatchJob(lines, tmp_path, at_once=1), BatchReport())
    assert soundfile.info(tmp_path / "a.flac").samplerate == 8000
    assert soundfile.info(tmp_path / "a.flac").format == "FLAC"
    assert soundfile.info(tmp_path / "b.mp3").format == "MP3"


@pytest.mark.parametrize(("at_once", "lines"), [(3, 9), (20, 30)])
async def test_at_once_lines_are_rendered_concurrently(
    tmp_path: Path, at_once: int, lines: int
) -> None:
    gate = threading.Semaphore(1)  # for the warm-up
    model = FakeModel(gate=gate)
    async with live_server(model) as live, asyncio.TaskGroup() as tasks:
        job = BatchJob(text_lines(lines), tmp_path, at_once)
        rendering = tasks.create_task(render_lines(live.address, None, job, BatchReport()))
        await wait_until(lambda: spoken_at_once(live) == at_once, 10)
        await asyncio.sleep(0.05)
        assert spoken_at_once(live) == at_once
        gate.release(100_000)
        await rendering


async def test_a_failed_line_does_not_stop_the_others(tmp_path: Path) -> None:
    lines = parse_fields(
        {"id": "a", "text": "Fine."},
        {"id": "b", "text": "Who?", "voice": "nobody"},
        {"id": "c", "text": "Please explode now."},
        {"id": "d", "text": "Fine too."},
    )
    report = BatchReport()
    async with live_server() as live:
        await render_lines(live.address, None, BatchJob(lines, tmp_path, at_once=2), report)
    assert file_names(tmp_path) == ["a.wav", "d.wav"]
    why = {failure.id: failure.why for failure in report.failures}
    assert "unknown_voice" in why["b"]
    assert "engine_failed" in why["c"]


async def test_a_failed_line_is_retried_as_often_as_requested(tmp_path: Path) -> None:
    tries = 0

    async def script(peer: ScriptedConnection) -> None:
        nonlocal tries
        while True:
            context = (await peer.receive("start"))["context"]
            await peer.receive_text(6)
            await peer.receive("end")
            tries += 1
            if tries <= 2:
                await peer.send(
                    type="error", context=context, code="engine_failed", message="again"
                )
            await peer.send_audio(context, 0, 6)
            await peer.send_done(context, ms=10, characters=6, chunks=1)

    lines = parse_fields({"id": "a", "text": "Hello."})
    for retries, failures in ((1, 1), (2, 0)):
        tries, report = 0, BatchReport()
        async with run_server(script) as url:
            await render_lines(url, None, BatchJob(lines, tmp_path, 1, retries), report)
        assert tries == retries + 1
        assert len(report.failures) == failures
        assert (tmp_path / "a.wav").exists() == (not failures)


async def test_without_a_server_the_batch_ends_at_once(tmp_path: Path) -> None:
    async with run_server(idle) as url:
        pass
    report = BatchReport()
    with pytest.raises(ConnectionLost):
        await render_lines(url, None, BatchJob(text_lines(5), tmp_path, at_once=2), report)
    assert report.failures == []


async def test_text_without_words_writes_no_file_and_is_not_retried(tmp_path: Path) -> None:
    starts = []

    async def script(peer: ScriptedConnection) -> None:
        while True:
            starts.append(await peer.receive("start"))
            context = starts[-1]["context"]
            await peer.receive("text")
            await peer.receive("end")
            await peer.send_audio(context, 0, 1, ms=0.0)
            await peer.send_done(context, ms=0.0, characters=1, chunks=1)

    line, report = BatchLine(1, "a", "\N{GRINNING FACE}", "wav", Parameters()), BatchReport()
    async with run_server(script) as url:
        await render_lines(url, None, BatchJob([line], tmp_path, at_once=1, retries=5), report)
    assert [failure.why for failure in report.failures] == [str(NothingToSpeak())]
    assert len(starts) == 1
    assert file_names(tmp_path) == []


async def test_a_full_disk_ends_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    report = BatchReport()
    async with live_server() as live:
        with pytest.raises(ClientError, match="No space left"):
            await render_lines(
                live.address, None, BatchJob(text_lines(5), tmp_path, at_once=1), report
            )
    assert report.written == 0
    assert file_names(tmp_path) == [], "nothing is left behind"


async def test_a_cancelled_batch_leaves_only_complete_files(tmp_path: Path) -> None:
    model, report, lines = FakeModel(gate=threading.Semaphore(12)), BatchReport(), text_lines(40)
    async with live_server(model) as live:
        rendering = asyncio.create_task(
            render_lines(live.address, None, BatchJob(lines, tmp_path, at_once=4), report)
        )
        await wait_until(lambda: report.written >= 2, 10)
        rendering.cancel()
        with suppress(asyncio.CancelledError):
            await rendering
    assert len(file_names(tmp_path)) == report.written < 40
    by_name = {line.file_name: line.text for line in lines}
    assert all(holds_speech_of(tmp_path / name, by_name[name]) for name in file_names(tmp_path))


# --- subtitles ------------------------------------------------------------------------------------


def cue_text(path: Path) -> str:
    return " ".join(line for line in path.read_text(encoding="utf-8").splitlines()[2:] if line)


async def render_with_subtitles(
    live: LiveServer, lines: list[BatchLine], out: Path, *formats: str
) -> BatchReport:
    report = BatchReport()
    missing = select_missing(lines, out, report, formats)
    job = BatchJob(missing, out, at_once=4, subtitles=formats)
    await render_lines(live.address, None, job, report)
    return report


async def test_subtitles_are_written_beside_each_sound(tmp_path: Path) -> None:
    lines = parse_fields({"id": "a.b", "text": "One 🙂 word."}, {"id": "c", "text": "Two --> go."})
    async with live_server() as live:
        await render_with_subtitles(live, lines, tmp_path, "srt", "json")
    assert file_names(tmp_path) == ["a.b.json", "a.b.srt", "a.b.wav", "c.json", "c.srt", "c.wav"]
    assert cue_text(tmp_path / "a.b.srt") == "One 🙂 word."
    assert json.loads((tmp_path / "c.json").read_bytes())["text"] == "Two --> go."


async def test_a_sound_without_its_subtitles_is_rendered_again(tmp_path: Path) -> None:
    lines = text_lines(3)
    async with live_server() as live:
        await render_with_subtitles(live, lines, tmp_path, "srt")
        (tmp_path / "00002.srt").unlink()
        report = await render_with_subtitles(live, lines, tmp_path, "srt")
        assert (report.kept, report.written) == (2, 1)
        report = await render_with_subtitles(live, lines, tmp_path, "srt", "vtt")
        assert (report.kept, report.written) == (0, 3)
        report = await render_with_subtitles(live, lines, tmp_path, "vtt")
        assert (report.kept, report.written) == (3, 0)


async def test_subtitles_never_stand_beside_the_sound_of_another_text(tmp_path: Path) -> None:
    former, changed = (parse_fields({"id": "a", "text": text}) for text in ("Old one.", "New one."))
    async with live_server() as live:
        await render_with_subtitles(live, former, tmp_path, "srt", "vtt")
        await render_with_subtitles(live, changed, tmp_path, "srt")
        assert file_names(tmp_path) == ["a.srt", "a.wav"]
        assert cue_text(tmp_path / "a.srt") == "New one."
        await render_with_subtitles(live, former, tmp_path)
        assert file_names(tmp_path) == ["a.wav"]


async def test_a_batch_killed_between_the_files_of_a_line_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = text_lines(1)
    with monkeypatch.context() as patch:

        def fail(_files: SubtitleFiles) -> None:
            raise SinkFailed("killed")

        patch.setattr(SubtitleFiles, "complete", fail)
        patch.setattr(SubtitleFiles, "abandon", lambda _files: None)
        async with live_server() as live:
            await render_with_subtitles(live, lines, tmp_path, "srt")
    assert file_names(tmp_path) == [".00001.srt.part", "00001.wav"]
    async with live_server() as live:
        report = await render_with_subtitles(live, lines, tmp_path, "srt")
    assert report.written == 1
    assert file_names(tmp_path) == ["00001.srt", "00001.wav"]


# --- continuing -----------------------------------------------------------------------------------


async def render_missing(lines: list[BatchLine], folder: Path) -> BatchReport:
    report = BatchReport()
    async with live_server() as live:
        missing = select_missing(lines, folder, report)
        await render_lines(
            live.address, None, BatchJob(missing, folder, max(1, len(missing))), report
        )
    return report


async def test_existing_files_are_not_rendered_again(tmp_path: Path) -> None:
    await render_missing(text_lines(5), tmp_path)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in file_names(tmp_path)}
    report = await render_missing(text_lines(8), tmp_path)
    assert (report.kept, report.written) == (5, 3)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before


@pytest.mark.parametrize("format_", ["wav", "flac", "ogg", "opus", "mp3"])
async def test_a_changed_line_is_rendered_again(tmp_path: Path, format_: str) -> None:
    first = parse_fields(
        {"id": "a", "text": "Hello."}, {"id": "b", "text": "Bye."}, format_=format_
    )
    await render_missing(first, tmp_path)
    changed = parse_fields(
        {"id": "a", "text": "Hello!"}, {"id": "b", "text": "Bye."}, format_=format_
    )
    report = await render_missing(changed, tmp_path)
    assert (report.kept, report.written) == (1, 1)


@pytest.mark.parametrize("content", [b"my notes", None], ids=["no sound", "another sound"])
def test_a_file_that_is_not_from_a_batch_is_not_overwritten(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "a.wav"
    if content is None:
        soundfile.write(path, [0.0] * 100, 24000)
    else:
        path.write_bytes(content)
    before, report = path.read_bytes(), BatchReport()
    assert select_missing(parse_fields({"id": "a", "text": "Hello."}), tmp_path, report) == []
    assert path.read_bytes() == before
    assert "not from a batch" in report.failures[0].why


def test_part_files_of_a_killed_run_are_deleted(tmp_path: Path) -> None:
    (tmp_path / ".a.wav.part").write_bytes(b"half")
    (tmp_path / ".notes.part").write_bytes(b"mine")
    select_missing(parse_fields({"id": "a", "text": "Hello."}), tmp_path, BatchReport())
    assert file_names(tmp_path) == [".notes.part"]


async def test_killed_batches_leave_complete_files_and_render_none_twice(
    tmp_path: Path,
) -> None:
    lines = [f"This is line number {number}. It is long. It goes on." for number in range(16)]
    gate = threading.Semaphore(1)
    model = FakeModel(gate=gate)
    out = tmp_path / "out"
    runs, released = 0, 1

    def moment(run: subprocess.Popen[bytes]) -> bool:
        """Wait for three more files and begun ones; the third run is not killed."""
        nonlocal runs, released
        runs += 1
        if runs == 3:
            gate.release(100_000)
            return False
        target = len(list(out.glob("[!.]*"))) + 3
        waited = threading.Event()
        while len(list(out.glob("[!.]*"))) < target or not list(out.glob(".*.part")):
            if sum(len(engine.steps) for engine in model.engines) >= released:
                gate.release()  # one at a time: none must accumulate
                released += 1
            waited.wait(0.01)
            assert run.poll() is None
        return True

    async with live_server(model) as live:
        kills = await asyncio.to_thread(kill_batches, live.address, lines, tmp_path, moment)
    assert (kills.runs, kills.files) == (3, 16)
    assert (kills.missing, kills.broken, kills.rendered_twice, kills.leftovers) == ([], [], [], [])
    assert all(
        holds_speech_of(out / f"line-{number:04d}.wav", text) for number, text in enumerate(lines)
    )


# --- the command ----------------------------------------------------------------------------------


async def test_the_command_reports_failures_by_line_number(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "Hello."}\n{oops\n{"text": "Hi", "voice": "x"}\n')
    async with live_server() as live:
        code, stderr = await run_cli(
            str(tmp_path / "in.jsonl"), str(tmp_path / "out"), "--url", live.address
        )
    assert code == 1
    assert "line 2: not JSON" in stderr
    assert "line 3 (00003): " in stderr
    assert "unknown_voice" in stderr
    assert "1 written · 2 failed" in stderr
    assert [name for name in file_names(tmp_path / "out") if name[0] != "."] == ["00001.wav"]


async def test_the_command_retries_as_often_as_requested(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "Hello."}\n{"text": "Please explode."}\n')
    arguments = (str(tmp_path / "in.jsonl"), str(tmp_path / "out"), "--retry", "2")
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        code, stderr = await run_cli(*arguments, "--url", live.address)
        figures = (await http.get("/metrics")).text
    assert code == 1
    assert "1 written · 1 failed" in stderr
    assert 'duplex_tts_errors_total{code="engine_failed"} 3.0' in figures


async def test_the_command_reads_standard_input_and_prints_only_the_summary(
    tmp_path: Path,
) -> None:
    async with live_server() as live:
        arguments = ("-", str(tmp_path / "new" / "out"), "--url", live.address, "--format", "ogg")
        first = await run_cli(*arguments, text=b'{"id": "a", "text": "Hello."}')
        second = await run_cli(*arguments, text=b'{"id": "a", "text": "Hello."}')
    assert first[0] == second[0] == 0
    assert first[1].count("\n") == 1
    assert "1 written" in first[1]
    assert "0 written · 1 kept" in second[1]
    assert (tmp_path / "new" / "out" / "a.ogg").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
async def test_an_interrupted_command_cleans_up_and_prints_the_summary(
    tmp_path: Path, sent: signal.Signals
) -> None:
    model = FakeModel(gate=threading.Semaphore(1))
    (tmp_path / "in.jsonl").write_text('{"text": "Hello."}\n' * 3)
    async with live_server(model) as live:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "duplex_tts", "batch"),
            *(str(tmp_path / "in.jsonl"), str(tmp_path / "out"), "--url", live.address),
            stderr=subprocess.PIPE,
        )
        await wait_until(lambda: spoken_at_once(live) == 3, 20)
        process.send_signal(sent)
        _, stderr = await process.communicate()
    assert process.returncode == 128 + sent
    assert b"stopped \xc2\xb7 0 written" in stderr
    assert b"Traceback" not in stderr
    assert file_names(tmp_path / "out") == [".batch.lock"]


@pytest.mark.parametrize(
    ("prepare", "arguments", "answer"),
    [
        (lambda folder: None, ["nowhere.jsonl", "out"], "nowhere.jsonl: No such file"),
        (lambda folder: (folder / "out").touch(), ["-", "out"], "it is not a folder"),
        (
            lambda folder: FileLock(_create_folder(folder / "out") / ".batch.lock").acquire(),
            ["-", "out"],
            "another batch is writing into out",
        ),
    ],
)
def test_errors_that_stop_a_batch_are_reported_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Path], object],
    arguments: list[str],
    answer: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    held = prepare(tmp_path)
    result = CliRunner().invoke(cli.app, ["batch", *arguments], input='{"text": "Hello."}')
    assert result.exit_code == 1
    assert answer in result.stderr
    del held


def _create_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder
