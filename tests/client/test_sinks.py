import os
import signal
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from duplex_tts.events import Audio
from duplex_tts.sinks import FILE_FORMATS, FileSink, SinkFailed, file_format

RATE_HZ = 24000


def played_s(path: Path) -> float:
    """Duration that a player plays, regardless of the header."""
    with av.open(str(path)) as file:
        (stream,) = file.streams.audio
        return sum(frame.samples for frame in file.decode(stream)) / stream.rate


def tone(seconds: float) -> bytes:
    samples = np.sin(np.arange(round(seconds * RATE_HZ)) / 20) * 8000
    return samples.astype("<i2").tobytes()


# --- names and formats ----------------------------------------------------------------------------


def test_the_format_is_the_given_one_or_that_of_the_suffix(tmp_path: Path) -> None:
    assert file_format(tmp_path / "a.FLAC") == "flac"
    assert file_format(tmp_path / "a.wav", "opus") == "opus"
    assert file_format(tmp_path / "speech", "mp3") == "mp3"


@pytest.mark.parametrize(
    ("name", "format_", "answer"),
    [
        ("speech.docx", None, "must end in one of wav, flac"),
        ("speech", None, "must end in one of"),
        ("speech.wav", "docx", "unknown file format 'docx'"),
        ("nowhere/a.wav", None, "does not exist"),
    ],
)
def test_unwritable_paths_are_refused_at_once(
    tmp_path: Path, name: str, format_: str | None, answer: str
) -> None:
    with pytest.raises(SinkFailed, match=answer):
        FileSink(tmp_path / name, RATE_HZ, format=format_)


def test_standard_output_needs_a_format() -> None:
    with pytest.raises(SinkFailed, match="needs a format"):
        file_format(Path("-"))


# --- contents of the file -------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FILE_FORMATS)
def test_every_format_holds_the_speech_and_the_comment(tmp_path: Path, format_: str) -> None:
    path = tmp_path / f"speech.{format_}"
    with FileSink(path, RATE_HZ, comment="says hello") as sink:
        for _ in range(10):
            sink.write(tone(0.1))
    with soundfile.SoundFile(path) as file:
        assert (file.channels, file.samplerate) == (1, RATE_HZ)
        assert file.frames / RATE_HZ == pytest.approx(1.0, abs=0.06)
        assert file.comment == "says hello"


@pytest.mark.parametrize("format_", ["wav", "flac"])
@pytest.mark.parametrize("comment", ["", "odd", "even"])
def test_lossless_formats_hold_every_sample(tmp_path: Path, format_: str, comment: str) -> None:
    path = tmp_path / f"speech.{format_}"
    with FileSink(path, RATE_HZ, comment=comment) as sink:
        sink.write(tone(0.1))
        sink.write(b"")
        sink.write(tone(0.2))
    samples, _ = soundfile.read(path, dtype="int16")
    assert samples.astype("<i2").tobytes() == tone(0.1) + tone(0.2)


async def test_an_utterance_is_recorded_to_its_end(tmp_path: Path) -> None:
    async def speech() -> AsyncIterator[Audio]:
        for seq in range(3):
            yield Audio("c", seq, 0, 100, (0, 0), (), tone(0.1))

    with FileSink(tmp_path / "a.wav", RATE_HZ) as sink:
        await sink.record(speech())
    assert soundfile.info(tmp_path / "a.wav").duration == pytest.approx(0.3)


def test_no_speech_gives_an_empty_file(tmp_path: Path) -> None:
    with FileSink(tmp_path / "a.wav", RATE_HZ):
        pass
    assert soundfile.info(tmp_path / "a.wav").frames == 0


def test_an_existing_file_is_not_changed_before_there_is_speech(tmp_path: Path) -> None:
    path = tmp_path / "old.wav"
    path.write_text("precious")
    with pytest.raises(ZeroDivisionError), FileSink(path, RATE_HZ):
        raise ZeroDivisionError
    assert path.read_text() == "precious"


@pytest.mark.parametrize("format_", FILE_FORMATS)
def test_a_pipe_gets_the_speech_as_a_stream(tmp_path: Path, format_: str) -> None:
    script = (
        "import sys; from pathlib import Path; from duplex_tts.sinks import FileSink\n"
        f"with FileSink(Path('-'), {RATE_HZ}, format='{format_}') as sink:\n"
        "    sink.write(sys.stdin.buffer.read())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=tone(1), stdout=subprocess.PIPE, check=True
    )
    (tmp_path / "got").write_bytes(done.stdout)
    assert played_s(tmp_path / "got") == pytest.approx(1.0, abs=0.1)


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FILE_FORMATS)
def test_a_file_is_valid_after_an_exception(tmp_path: Path, format_: str) -> None:
    path = tmp_path / f"part.{format_}"

    def interrupted() -> None:
        with FileSink(path, RATE_HZ) as sink:
            sink.write(tone(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert soundfile.info(path).duration == pytest.approx(1.0, abs=0.06)


def write_and_kill(path: Path, *, seconds: int = 1) -> None:
    """Write speech in pieces of 100 ms, then end by SIGKILL."""
    script = (
        "import os, signal, sys; from pathlib import Path; from duplex_tts.sinks import FileSink\n"
        f"sink = FileSink(Path({str(path)!r}), {RATE_HZ}, comment='hello')\n"
        "while piece := sys.stdin.buffer.read(4800): sink.write(piece)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=tone(seconds), check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_wav_holds_every_sample_after_sigkill_for_strict_readers_too(tmp_path: Path) -> None:
    write_and_kill(tmp_path / "killed.wav")
    part = tmp_path / ".killed.wav.part"
    with wave.open(str(part)) as strict:
        assert strict.getnframes() == RATE_HZ
        assert strict.readframes(RATE_HZ) == tone(1)
    assert soundfile.info(part).frames == RATE_HZ


@pytest.mark.parametrize(("format_", "lost_s"), [("flac", 0.2), ("opus", 1.1), ("mp3", 0.5)])
def test_compressed_formats_can_be_played_after_sigkill(
    tmp_path: Path, format_: str, lost_s: float
) -> None:
    path = tmp_path / f"killed.{format_}"
    write_and_kill(path, seconds=3)
    part = path.with_name(f".killed.{format_}.part").rename(path)
    assert 3 - lost_s <= played_s(part) <= 3.1


def test_a_full_disk_raises_with_the_reason(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    (tmp_path / "full.wav").symlink_to("/dev/full")
    sink = FileSink(tmp_path / "full.wav", RATE_HZ)
    with pytest.raises(SinkFailed, match="No space left"):
        sink.write(tone(1))


def test_a_wav_beyond_4_gib_raises_with_the_remedy(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "long.wav", RATE_HZ)
    sink.write(tone(0.1))
    file = sink._file
    assert file is not None
    file._written_bytes = 2**32 - 1000  # type: ignore[attr-defined]
    with pytest.raises(SinkFailed, match=r"4 GiB.*\.flac"):
        sink.write(tone(1))
    sink.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_raises_with_the_reason(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SinkFailed, match="Permission denied"):
        FileSink(tmp_path / "a.wav", RATE_HZ).write(tone(0.1))
