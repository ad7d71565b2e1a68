import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile
from typer.testing import CliRunner

from duplex_tts import cli, sinks
from duplex_tts.errors import Refused
from duplex_tts.events import Audio
from duplex_tts.say import UNSPOKEN_LIMIT, Errand, Report, SpeechFailed, arriving, given, say
from duplex_tts.sinks import FileSink, Sink, SinkFailed, open_player
from tests.scripted_server import Peer, server, silent


class MemorySink(Sink):
    def __init__(self, *, audible: bool) -> None:
        self.audible = audible
        self.heard = b""
        self.fate = ""

    async def write(self, pcm: bytes) -> None:
        self.heard += pcm

    async def finish(self) -> None:
        self.fate = "finished"

    async def close(self) -> None:
        self.fate = self.fate or "dropped"

    async def opened(self, sample_rate_hz: int) -> "MemorySink":
        assert sample_rate_hz == 24000
        return self


async def speak_all(peer: Peer) -> dict[str, Any]:
    """Take text until its end, then speak it at once; returns the `start`."""
    start, text = await peer.receive("start"), ""
    while (message := await peer.receive_any())["type"] == "text":
        text += message["text"]
    assert message["type"] == "end"
    await peer.audio(start["context"], 0, len(text))
    await peer.say(
        type="done", context=start["context"], audio_ms=10, characters=len(text), chunks=1
    )
    return {**start, "said": text}


async def text_of(*pieces: str) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece


async def run_cli(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duplex_tts", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **options,
    )


# --- what is said -----------------------------------------------------------------------------


@pytest.mark.parametrize(("audible", "mode"), [(True, "live"), (False, "batch")])
async def test_a_listener_gets_live_speech_and_a_file_whole_sentences(
    audible: bool, mode: str
) -> None:
    starts = []

    async def script(peer: Peer) -> None:
        starts.append(await speak_all(peer))

    sink, report = MemorySink(audible=audible), Report()
    async with server(script) as url:
        errand = Errand(given("Hello there"), sink.opened, {"voice": "heart", "speed": None})
        await say(url, errand, report)
    assert starts[0]["mode"] == mode
    assert (starts[0]["voice"], starts[0]["said"]) == ("heart", "Hello there")
    assert "speed" not in starts[0]
    assert (sink.heard, sink.fate) == (b"\1\2", "finished")
    assert (report.characters, report.words, report.audio_s) == (11, 1, 0.01)


async def test_a_refusal_raises_without_waiting_for_more_text() -> None:
    async def script(peer: Peer) -> None:
        start = await peer.receive("start")
        await peer.say(
            type="error", context=start["context"], code="unknown_voice", message="no voice bob"
        )
        await peer.websocket.wait_closed()

    async def never_ends() -> AsyncIterator[str]:
        yield "Hello"
        await asyncio.Event().wait()

    sink = MemorySink(audible=True)
    async with server(script) as url:
        with pytest.raises(SpeechFailed, match=r"no voice bob \(unknown_voice\)"):
            await say(url, Errand(never_ends(), sink.opened), Report())
    assert sink.fate == "dropped"


async def test_what_could_not_be_spoken_is_told_after_the_rest_was_heard() -> None:
    async def script(peer: Peer) -> None:
        start = await peer.receive("start")
        await peer.say(
            type="error", context=start["context"], code="engine_failed", message="broken"
        )
        await peer.receive("text")
        await peer.audio(start["context"], 0, 5)
        await peer.say(type="done", context=start["context"], audio_ms=10, characters=5, chunks=1)

    sink = MemorySink(audible=True)
    async with server(script) as url:
        with pytest.raises(SpeechFailed, match=r"not all was spoken: broken"):
            await say(url, Errand(given("Hello"), sink.opened), Report())
    assert (sink.heard, sink.fate) == (b"\1\2", "finished")


async def test_a_session_that_is_lost_for_good_raises_as_itself() -> None:
    async def script(peer: Peer) -> None:
        await peer.receive("start")
        peer.vanish()

    async def not_any_more(peer: Peer) -> None:
        await peer.say(type="error", context=None, code="invalid_api_key", message="no")

    async with server(script, not_any_more, greetings=1) as url:
        with pytest.raises(Refused):
            await say(url, Errand(given("Hi"), MemorySink(audible=True).opened), Report())


async def test_a_long_text_is_not_sent_far_ahead_of_its_speech() -> None:
    most = UNSPOKEN_LIMIT + 1_000
    long = "word " * 4_000

    async def script(peer: Peer) -> None:
        context = (await peer.receive("start"))["context"]
        received = spoken = chunks = 0
        while (message := await peer.receive_any())["type"] == "text":
            received += len(message["text"])
            assert received - spoken <= most
            if received - spoken == most:
                spoken, chunks = received, chunks + 1
                await peer.audio(context, spoken - most, spoken)
        assert received == len(long)
        await peer.audio(context, spoken, received)
        await peer.say(
            type="done",
            context=context,
            audio_ms=10 * (chunks + 1),
            characters=received,
            chunks=chunks + 1,
        )

    async with server(script) as url:
        await say(url, Errand(text_of(long), MemorySink(audible=False).opened), Report())


def test_the_report_counts_the_gaps_that_a_listener_hears() -> None:
    now_s = 0.0

    def audio(end: int, ms: float) -> Audio:
        return Audio("c", 0, 0.0, ms, (0, end), (), b"\0\0")

    report = Report(clock=lambda: now_s)
    report.pushed()
    now_s = 0.2
    report.received(audio(3, 500))  # heard until 0.7
    now_s = 0.6
    report.received(audio(6, 400))  # in time: until 1.1
    now_s = 1.4
    report.received(audio(9, 100))  # 0.3 s late
    assert report.ttfa_s == pytest.approx(0.2)
    assert report.gaps == 1
    assert report.gaps_s == pytest.approx(0.3)
    assert report.audio_s == pytest.approx(1.0)
    assert report.characters == 9
    assert cli.summary(report, None).endswith("ran dry once (0.30 s)")
    assert cli.summary(report, Path("a.wav")).endswith("a.wav")


# --- where text comes from ----------------------------------------------------------------------


async def test_text_is_read_as_it_arrives_and_characters_are_never_torn() -> None:
    read_end, write_end = os.pipe()
    text = arriving(read_end)
    os.write(write_end, "Hé".encode()[:2])
    assert await anext(text) == "H"
    os.write(write_end, "Hé".encode()[2:] + b"!")
    assert await anext(text) == "é!"
    os.write(write_end, b"\xe2\x82")
    os.close(write_end)
    assert [piece async for piece in text] == ["\N{REPLACEMENT CHARACTER}"]
    os.close(read_end)


async def test_a_file_and_a_closed_descriptor_can_be_read_too(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("from a file")
    with (tmp_path / "text").open() as file:
        assert [piece async for piece in arriving(file.fileno())] == ["from a file"]
    assert [piece async for piece in arriving(-1)] == []


async def test_an_argument_that_is_no_utf8_can_still_be_sent() -> None:
    undecodable = os.fsdecode(b"caf\xe9")
    assert [piece async for piece in given(undecodable)] == ["caf\N{REPLACEMENT CHARACTER}"]


# --- where speech goes ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", sinks.FILE_FORMATS)
async def test_every_file_format_holds_the_speech(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"speech{suffix}"
    async with FileSink(path, 24000) as sink:
        for _ in range(10):
            await sink.write(b"\0\x10" * 2400)
    info = soundfile.info(path)
    assert info.channels == 1
    assert info.duration == pytest.approx(1.0, abs=0.06)


async def test_a_file_that_was_interrupted_is_valid(tmp_path: Path) -> None:
    async def interrupted() -> None:
        async with FileSink(tmp_path / "part.wav", 24000) as sink:
            await sink.write(b"\0\x10" * 2400)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await interrupted()
    assert soundfile.info(tmp_path / "part.wav").frames == 2400


async def test_a_file_is_not_touched_before_there_is_speech(tmp_path: Path) -> None:
    path = tmp_path / "old.wav"
    path.write_text("precious")

    async def refused() -> None:
        async with FileSink(path, 24000):
            raise SpeechFailed("no such voice")

    with pytest.raises(SpeechFailed):
        await refused()
    assert path.read_text() == "precious"


def test_a_name_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    for name, answer in {"speech.docx": "must end in one", "nowhere/a.wav": "not exist"}.items():
        with pytest.raises(SinkFailed, match=answer):
            FileSink(tmp_path / name, 24000)
        result = CliRunner().invoke(cli.app, ["say", "Hello", "-o", str(tmp_path / name)])
        assert result.exit_code == 1
        assert answer in result.stderr
        assert "starting" not in result.stderr


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all the programs there are, on a machine without PortAudio."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def add_program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


async def test_a_player_program_gets_the_speech_and_its_rate(programs: Path) -> None:
    heard, flags = programs / "heard", programs / "flags"
    add_program(programs, "aplay", f'echo "$@" > {flags}; exec /bin/cat > {heard}')
    async with await open_player(24000) as player:
        await player.write(b"\1\2" * 1000)
    assert heard.read_bytes() == b"\1\2" * 1000
    assert "-r 24000 -c 1" in flags.read_text()


async def test_an_interruption_silences_the_player(programs: Path) -> None:
    add_program(programs, "aplay", "exec /bin/sleep 60")

    async def interrupted() -> None:
        async with await open_player(24000) as player:
            await player.write(b"\1\2")
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(interrupted(), 5)


async def test_a_player_that_fails_is_named_with_the_remedy(programs: Path) -> None:
    add_program(programs, "aplay", "exit 3")

    async def play() -> None:
        async with await open_player(24000) as player:
            while True:
                await player.write(b"\0" * 100_000)

    with pytest.raises(SinkFailed, match=r"aplay could not play \(exit code 3\).*-o hello.wav"):
        await play()


async def test_without_any_player_the_remedy_is_a_file(programs: Path) -> None:
    with pytest.raises(SinkFailed, match=r"-o hello\.wav"):
        await open_player(24000)


# --- the program ----------------------------------------------------------------------------------


async def test_text_piped_in_is_spoken_before_its_line_ends(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        context = (await peer.receive("start"))["context"]
        assert (await peer.receive("text"))["text"] == "Hel"
        assert process.stdin is not None
        process.stdin.write(b"lo")
        assert (await peer.receive("text"))["text"] == "lo"
        process.stdin.close()
        await peer.receive("end")
        await peer.audio(context, 0, 5)
        await peer.say(type="done", context=context, audio_ms=10, characters=5, chunks=1)

    output = tmp_path / "out.wav"
    async with server(script) as url:
        process = await run_cli("say", "--url", url, "-o", str(output))
        assert process.stdin is not None
        process.stdin.write(b"Hel")
        stdout, stderr = b"", b""
        assert process.stdout is not None
        assert process.stderr is not None
        stdout, stderr = await asyncio.gather(process.stdout.read(), process.stderr.read())
        assert await process.wait() == 0, stderr
    assert stdout == b""
    assert b"1 words, 5 characters" in stderr
    assert soundfile.info(output).frames == 1


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
async def test_an_interruption_leaves_a_valid_file_and_no_traceback(
    tmp_path: Path, sent: signal.Signals
) -> None:
    output = tmp_path / "out.wav"

    async def script(peer: Peer) -> None:
        context = (await peer.receive("start"))["context"]
        ahead = 0
        while ahead <= UNSPOKEN_LIMIT:
            ahead += len((await peer.receive("text"))["text"])
        await peer.audio(context, 0, ahead)
        await peer.receive("text")  # comes when that audio is written
        process.send_signal(sent)
        await peer.websocket.wait_closed()

    async with server(script) as url:
        process = await run_cli("say", "--url", url, "-o", str(output))
        assert process.stdin is not None
        process.stdin.write(b"word " * 2_000)  # and the pipe stays open
        assert process.stderr is not None
        stderr = await process.stderr.read()
        assert await process.wait() == 130
    assert b"Traceback" not in stderr
    assert b"first sound after" in stderr
    assert soundfile.info(output).frames == 1


async def test_an_address_where_nobody_answers_is_told_in_one_line(tmp_path: Path) -> None:
    async with server(silent) as url:
        pass
    process = await run_cli("say", "Hello", "-o", "x.wav", "--url", url, cwd=tmp_path)
    _, stderr = await process.communicate()
    assert process.returncode == 1
    assert b"make run" in stderr
    assert b"Traceback" not in stderr
    assert os.listdir(tmp_path) == []


def test_an_address_that_is_none_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli.app, ["say", "Hello", "--url", "ftp://host"])
    assert result.exit_code == 2
    assert "is not an address" in result.stderr


def test_without_a_server_one_is_started_for_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    life: list[str] = []

    @contextmanager
    def started() -> Iterator[str]:
        life.append("started")
        yield "http://127.0.0.1:1234"
        life.append("stopped")

    async def said(url: str, errand: Errand, report: Report) -> None:
        life.append(url)

    monkeypatch.delenv("DUPLEX_TTS_URL", raising=False)
    monkeypatch.setattr(cli, "_is_ready", lambda url: False)
    monkeypatch.setattr(cli, "local_server", started)
    monkeypatch.setattr(cli, "say", said)
    result = CliRunner().invoke(cli.app, ["say", "Hello", "-o", "x.wav"])
    assert life == ["started", "http://127.0.0.1:1234", "stopped"]
    assert "starting one" in result.stderr


@pytest.mark.parametrize(
    ("command", "module"),
    [("serve", "backend.main"), ("config", "backend.config"), ("bench", "bench")],
)
def test_commands_of_the_server_become_it_with_all_flags(
    monkeypatch: pytest.MonkeyPatch, command: str, module: str
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, arguments: became.append(arguments))
    CliRunner().invoke(cli.app, [command, "--port", "9", "--help"])
    assert became == [[sys.executable, "-P", "-m", module, "--port", "9", "--help"]]


def test_voices_are_listed_with_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cli,
        "_get",
        lambda url: {
            "default": "heart",
            "voices": [
                {"name": "heart", "language": "en", "description": "warm", "ready": True},
                {"name": "nova", "language": "en", "description": "clear", "ready": False},
            ],
        },
    )
    result = CliRunner().invoke(cli.app, ["voices", "--url", "host:1"])
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["heart", "en", "warm", "default"] in lines
    assert ["nova", "en", "clear", "downloaded", "on", "first", "use"] in lines
