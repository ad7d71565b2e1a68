import asyncio
import os
import pty
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile
from rich.console import Console
from typer.testing import CliRunner

from duplex_tts.cli import app as cli
from duplex_tts.cli import say as say_command
from duplex_tts.cli import server_program, shared_options
from duplex_tts.cli.say_job import SayJob, SayReport
from duplex_tts.events import Word
from duplex_tts.playback.device_programs import ProgramDevice
from duplex_tts.playback.devices import NullDevice, SoundDevice
from duplex_tts.playback.file_target import part_path
from duplex_tts.playback.mixer import PlaybackStats
from tests.support.live_server import wait_until
from tests.support.scripted_server import ScriptedConnection, idle, run_server

WAV_HEADER_BYTES = 44


async def run_cli(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duplex_tts", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **options,
    )


def create_report(**account: Any) -> SayReport:
    """The report of an utterance that was heard."""
    utterance = SimpleNamespace(ttfa_ms=142.4, audio_ms=3600.0, words=[None] * 9)
    player = SimpleNamespace(account=PlaybackStats(**account), buffered_ms=1200.0)
    return SayReport(utterance, player, heard_ms=3600.0, words=9, complete=True)  # type: ignore[arg-type]


# --- the program ----------------------------------------------------------------------------------


async def test_piped_text_is_spoken_before_its_line_ends(tmp_path: Path) -> None:
    async def script(peer: ScriptedConnection) -> None:
        context = (await peer.receive("start"))["context"]
        assert (await peer.receive("text"))["text"] == "Hel"
        assert process.stdin is not None
        process.stdin.write(b"lo")
        assert (await peer.receive("text"))["text"] == "lo"
        process.stdin.close()
        await peer.receive("end")
        await peer.send_audio(context, 0, 5)
        await peer.send_done(context, ms=10, characters=5, chunks=1)

    output = tmp_path / "out.wav"
    async with run_server(script) as url:
        process = await run_cli("say", "--url", url, "-o", str(output))
        assert process.stdin is not None
        process.stdin.write(b"Hel")
        stdout, stderr = b"", b""
        assert process.stdout is not None
        assert process.stderr is not None
        stdout, stderr = await asyncio.gather(process.stdout.read(), process.stderr.read())
        assert await process.wait() == 0, stderr
    assert stdout == b""
    assert b"0.01 s of speech" in stderr
    assert stderr.count(b"\n") == 1, "only the summary"
    assert soundfile.info(output).frames == 240


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
async def test_an_interrupt_leaves_a_valid_file_and_no_traceback(
    tmp_path: Path, sent: signal.Signals
) -> None:
    output = tmp_path / "out.wav"

    async def script(peer: ScriptedConnection) -> None:
        context = (await peer.receive("start"))["context"]
        await peer.receive_text(10)
        await peer.send_audio(context, 0, 5)
        part = part_path(output)
        await wait_until(lambda: part.exists() and part.stat().st_size > WAV_HEADER_BYTES, 20)
        process.send_signal(sent)

    async with run_server(script) as url:
        process = await run_cli("say", "--url", url, "-o", str(output))
        assert process.stdin is not None
        process.stdin.write(b"Hello there")  # and the pipe stays open
        assert process.stderr is not None
        stderr = await process.stderr.read()
        assert await process.wait() == 128 + sent
    assert b"Traceback" not in stderr
    assert b"stopped \xc2\xb7 first sound after" in stderr
    assert b"1 word \xc2\xb7" in stderr
    assert soundfile.info(output).frames == 240


async def test_an_unreachable_server_is_reported_in_one_line(tmp_path: Path) -> None:
    async with run_server(idle) as url:
        pass
    process = await run_cli("say", "Hello", "-o", "x.wav", "--url", url, cwd=tmp_path)
    _, stderr = await process.communicate()
    assert process.returncode == 1
    assert b"duplex-tts serve" in stderr
    assert b"Traceback" not in stderr
    assert os.listdir(tmp_path) == []


def test_an_invalid_output_name_is_refused_before_a_server_is_started(
    tmp_path: Path,
) -> None:
    for name, answer in {"speech.docx": "must end in one", "nowhere/a.wav": "not exist"}.items():
        result = CliRunner().invoke(cli.app, ["say", "Hello", "-o", str(tmp_path / name)])
        assert result.exit_code == 1
        assert answer in result.stderr
        assert "starting" not in result.stderr


@pytest.mark.slow
async def test_the_key_is_sent_to_the_server(tmp_path: Path) -> None:
    keys = []

    async def script(peer: ScriptedConnection) -> None:
        assert peer.websocket.request is not None
        keys.append(peer.websocket.request.headers["Authorization"])
        context = (await peer.receive("start"))["context"]
        await peer.send(type="error", context=context, code="unknown_voice", message="enough")

    async with run_server(script, script) as url:
        command = ("say", "Hi", "-o", str(tmp_path / "a.wav"), "--url", url)
        await (await run_cli(*command, "--key", "one")).communicate()
        await (await run_cli(*command, env={**os.environ, "DUPLEX_TTS_KEY": "two"})).communicate()
    assert keys == ["Bearer one", "Bearer two"]


async def test_a_terminal_shows_the_words_as_they_are_heard() -> None:
    ours, theirs = pty.openpty()
    shown = b""
    seen = asyncio.Event()

    def read() -> None:
        nonlocal shown
        shown += os.read(ours, 65536)
        if b"buffered" in shown and b"Hello" in shown:
            seen.set()

    async def script(peer: ScriptedConnection) -> None:
        context = (await peer.receive("start"))["context"]
        await peer.receive_text(5)
        await peer.receive("end")
        await peer.send_audio(context, 0, 5)
        async with asyncio.timeout(20):
            await seen.wait()
        await peer.send_done(context, ms=10, characters=5, chunks=1)

    asyncio.get_running_loop().add_reader(ours, read)
    async with run_server(script) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "duplex_tts", "say", "Hello"),
            *("--device", "null", "--url", url),
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )
        assert await process.wait() == 0
    asyncio.get_running_loop().remove_reader(ours)
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize(
    ("account", "end"),
    [
        ({}, "no gaps"),
        ({"underruns": 1, "underrun_s": 0.3}, "1 gap (0.30 s)"),
        ({"underruns": 3, "underrun_s": 1.0, "pauses": 7}, "3 gaps (1.00 s)"),
    ],
)
def test_the_summary_reports_the_gaps(account: dict[str, Any], end: str) -> None:
    line = say_command.summary_line(create_report(**account), None)
    assert line == f"first sound after 142 ms · 3.60 s of speech · 9 words · {end}"


def test_the_summary_of_a_file_names_it() -> None:
    assert say_command.summary_line(create_report(), Path("a.wav")).endswith("· a.wav")
    assert say_command.summary_line(create_report(), Path("-")).endswith("· standard output")
    assert say_command.summary_line(SayReport(), None) == "", "nothing was heard"


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_progress_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(say_command, "stderr", Console(width=width))
    progress = say_command.SayProgress(create_report())
    assert progress.__rich__().plain == "first sound after 142 ms · 1.2 s buffered · "
    for number in range(300):
        progress.add_word(Word(0, 0, 0, 0), f"word{number}")
    line = progress.__rich__()
    assert line.cell_len <= max(width, len("first sound after 142 ms · 1.2 s buffered · …"))
    assert width < 80 or line.plain.endswith("word298 word299")


def test_a_device_is_selected_by_name() -> None:
    assert shared_options.device_from_name("auto") is None
    assert isinstance(shared_options.device_from_name("null"), NullDevice)
    assert isinstance(shared_options.device_from_name("sounddevice"), SoundDevice)
    assert isinstance(shared_options.device_from_name("aplay"), ProgramDevice)
    result = CliRunner().invoke(cli.app, ["say", "Hello", "--device", "trumpet"])
    assert result.exit_code == 2
    assert "sounddevice" in result.stderr


async def test_typing_needs_a_terminal() -> None:
    process = await run_cli("type", "--device", "null")
    _, stderr = await process.communicate(b"Hello")
    assert process.returncode == 1
    assert b"duplex-tts say" in stderr


def test_an_invalid_address_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli.app, ["say", "Hello", "--url", "ftp://host"])
    assert result.exit_code == 2
    assert "is not an address" in result.stderr


def test_a_server_is_started_for_the_call_when_none_is_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    life: list[str] = []

    @contextmanager
    def started() -> Iterator[str]:
        life.append("started")
        yield "http://127.0.0.1:1234"
        life.append("stopped")

    async def fake_say(job: SayJob, *_: object) -> None:
        life.append(job.url)

    monkeypatch.delenv("DUPLEX_TTS_URL", raising=False)
    monkeypatch.setattr(shared_options, "is_ready", lambda url: False)
    monkeypatch.setattr(shared_options, "local_server", started)
    monkeypatch.setattr(say_command, "say_to_file", fake_say)
    result = CliRunner().invoke(cli.app, ["say", "Hello", "-o", "x.wav"])
    assert life == ["started", "http://127.0.0.1:1234", "stopped"]
    assert "starting one" in result.stderr


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("serve", "backend.main"),
        ("download", "backend.engines.download"),
        ("config", "backend.config_sources"),
        ("cluster-config", "backend.ray_serve.config_file"),
        ("doctor", "backend.doctor.__main__"),
        ("bench", "bench.__main__"),
    ],
)
def test_server_commands_exec_the_server_with_all_flags(
    monkeypatch: pytest.MonkeyPatch, command: str, module: str
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(server_program, "block_signals", lambda: None)
    monkeypatch.setattr(os, "execv", lambda _, arguments: became.append(arguments))
    CliRunner().invoke(cli.app, [command, "--port", "9", "--help"])
    program = [sys.executable, "-P", "-m", "duplex_tts.cli.server_program", module]
    assert became == [[*program, "--port", "9", "--help"]]


# --- nothing to speak, nowhere to write -----------------------------------------------------------


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"duplex-tts {version('duplex-tts')}\n")


def never(*_: object) -> Any:
    raise AssertionError("nothing should be started")


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when a server is used."""
    monkeypatch.setattr(say_command, "ensure_server", never)


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_blank_text_starts_no_server_and_changes_no_file(tmp_path: Path, text: str) -> None:
    good, book = tmp_path / "good.wav", tmp_path / "book.txt"
    good.write_bytes(b"good")
    book.write_text(text)
    for said in ([text], ["-f", str(book)]):
        result = CliRunner().invoke(cli.app, ["say", *said, "-o", str(good)])
        assert result.exit_code == 2
        assert "nothing to speak" in result.stderr
    assert good.read_bytes() == b"good"
    assert sorted(os.listdir(tmp_path)) == ["book.txt", "good.wav"]


@pytest.mark.parametrize("piped", [b"", b" \n", "\N{GRINNING FACE}".encode()])
async def test_piped_text_without_words_is_nothing_to_speak(tmp_path: Path, piped: bytes) -> None:
    async def script(peer: ScriptedConnection) -> None:
        context = (await peer.receive("start"))["context"]
        length = len(piped.decode())
        if length:
            await peer.receive("text")
        await peer.receive("end")
        if length:
            await peer.send_audio(context, 0, length, ms=0.0)
        await peer.send_done(context, ms=0.0, characters=length, chunks=int(length > 0))

    async with run_server(script) as url:
        process = await run_cli("say", "--url", url, "-o", "good.wav", cwd=prepare_folder(tmp_path))
        _, stderr = await process.communicate(piped)
    assert process.returncode == 2, stderr
    assert b"nothing to speak" in stderr
    assert (tmp_path / "good.wav").read_bytes() == b"good"


def prepare_folder(folder: Path) -> Path:
    (folder / "good.wav").write_bytes(b"good")
    return folder


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["-o", "/dev/full", "--format", "wav"], "No space left"),
        (["-o", "/dev/full", "--format", "mp3"], "No space left"),
        (["-o", "full.wav"], "No space left"),
        (["-o", "."], "must end in one of"),
        (["-o", ".", "--format", "wav"], "is a folder"),
        (["-o", "folder.wav"], "is a folder"),
        (["-o", ""], "must end in one of"),
        (["-o", "x" * 300 + ".wav"], "name too long"),
        (["-o", "/proc/hello.wav"], "/proc/hello.wav"),
        (["-o", "good.wav/x.wav"], "does not exist"),
        (["-o", "-"], "needs a format"),
        (["-o", "socket.wav"], "nor a device that takes sound"),
    ],
)
def test_an_unwritable_output_is_refused_before_a_server_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], answer: str
) -> None:
    monkeypatch.chdir(prepare_folder(tmp_path))
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "full.wav").symlink_to("/dev/full")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.wav")
        result = CliRunner().invoke(cli.app, ["say", "Hello", *arguments])
    assert result.exit_code == 1
    assert answer in result.stderr
    assert (tmp_path / "good.wav").read_bytes() == b"good"
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["say", "Hi", "--volume", "nan"],
        ["say", "Hi", "--volume", "2.1"],
        ["say", "Hi", "--volume", "-1"],
        ["say", "Hi", "--speed", "nan"],
        ["say", "Hi", "--speed", "inf"],
        ["type", "--volume", "3"],
        ["type", "--typing", "letters"],
        ["batch", "in", "out", "--volume", "nan"],
        ["say", "Hi", "-f", "book.txt"],
        ["say", "-f", "nowhere.txt"],
        ["say", "-f", "."],
    ],
)
@pytest.mark.usefixtures("no_server")
def test_invalid_option_values_are_usage_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli.app, arguments).exit_code == 2


def test_options_and_a_file_reach_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[SayJob] = []

    async def fake_say(job: SayJob, *_: object) -> None:
        jobs.append(job)

    monkeypatch.setattr(say_command, "say_aloud", fake_say)
    (tmp_path / "book.txt").write_text("Call me Ishmael.")
    asked = ["say", "-f", str(tmp_path / "book.txt"), "--volume", "0.5", "--ssml"]
    asked += ["--url", "host:1"]
    assert CliRunner().invoke(cli.app, asked).exit_code == 0
    assert jobs[0].parameters.get("volume") == 0.5
    assert jobs[0].parameters.get("ssml") is True


# --- progress -------------------------------------------------------------------------------------


def test_the_progress_line_shows_percent_and_time_left_for_a_known_length() -> None:
    now_s = 100.0
    report = create_report()
    progress = say_command.SayProgress(report, 1_000, lambda: now_s)
    assert progress.percent == 0
    assert progress.left_s is None
    progress.add_word(Word(0, 10, 0, 0), "word")
    now_s += 30
    progress.add_word(Word(95, 100, 0, 0), "word")
    assert progress.percent == 10
    assert progress.left_s == 270
    assert "10 % \N{MIDDLE DOT} 4:30 left" in progress.__rich__().plain
    progress.add_word(Word(990, 1_000, 0, 0), "end")
    assert progress.percent == 100


def test_the_summary_of_a_stopped_run_says_how_much_was_heard() -> None:
    report = create_report()
    report.complete, report.heard_ms, report.words = False, 1200.0, 1
    line = say_command.summary_line(report, None, stopped=True, percent=12)
    assert line.startswith("stopped \N{MIDDLE DOT} first sound after 142 ms")
    assert "1.20 s heard \N{MIDDLE DOT} 1 word \N{MIDDLE DOT} 12 % of the text" in line
    nothing = say_command.summary_line(SayReport(), None, stopped=True)
    assert nothing == "stopped \N{MIDDLE DOT} nothing was heard"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
async def test_an_interrupt_leaves_an_existing_file_unchanged(
    tmp_path: Path, sent: signal.Signals
) -> None:
    async def script(peer: ScriptedConnection) -> None:
        context = (await peer.receive("start"))["context"]
        await peer.receive_text(5)
        await peer.send_audio(context, 0, 5)
        await wait_until(lambda: part_path(tmp_path / "good.wav").exists(), 20)
        process.send_signal(sent)

    async with run_server(script) as url:
        process = await run_cli(
            "say", "Hello", "--url", url, "-o", "good.wav", cwd=prepare_folder(tmp_path)
        )
        _, stderr = await process.communicate()
    assert process.returncode == 128 + sent
    assert b"good.wav is unchanged" in stderr
    assert (tmp_path / "good.wav").read_bytes() == b"good"
    assert os.listdir(tmp_path) == ["good.wav"]


# --- missing packages -----------------------------------------------------------------------------


def test_a_missing_package_is_reported_in_one_line_with_the_remedy() -> None:
    with pytest.raises(SystemExit, match=r"backend\.nowhere is not installed; pip install"):
        server_program._import_program("backend.nowhere")
