"""Speaks a text as it arrives, on a device or to a file, and reports on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from duplex_tts.channel.context import Parameters
from duplex_tts.errors import NothingToSpeak
from duplex_tts.events import Word
from duplex_tts.playback.devices import Device, DeviceFailed, no_sound_message
from duplex_tts.playback.file_target import STDOUT
from duplex_tts.playback.queued_utterance import OnWord
from duplex_tts.player import Player
from duplex_tts.session import Session
from duplex_tts.sinks import FileSink
from duplex_tts.subtitles import SubtitleFiles
from duplex_tts.text_stream import Text
from duplex_tts.utterance import Utterance


@dataclass(frozen=True, slots=True)
class SayJob:
    """A text to speak on a server. `on_word` is called when a word is heard, or written.

    `subtitles`: the paths of subtitle files, if it is written to a file.
    """

    url: str
    key: str | None
    text: Text
    parameters: Parameters = field(default_factory=lambda: Parameters())
    on_word: OnWord = lambda _word, _text: None
    subtitles: Sequence[Path] = ()


@dataclass(slots=True)
class SayReport:
    """The results of a `SayJob`; updated while it runs, so that an interrupted one can be reported.

    `heard_ms`, `words`: what was heard, or written; `heard_ms` is set at the end. `complete`:
    everything was.
    """

    utterance: Utterance | None = None
    player: Player | None = None
    heard_ms: float = 0.0
    words: int = 0
    complete: bool = False


async def say_aloud(job: SayJob, device: Device | None, report: SayReport) -> None:
    """Play the text on `device`, or on the best one if None. Raises `ClientError`.

    Cancel-safe: it is silent at once.
    """

    def on_word(word: Word, text: str) -> None:
        report.words += 1
        job.on_word(word, text)

    async with (
        Session.connect(job.url, job.key) as session,
        Player(device, session.ready.sample_rate) as player,
    ):
        if device is None and not player.device.audible:
            raise DeviceFailed(no_sound_message())
        utterance = session.speak(job.text, **job.parameters)
        report.utterance, report.player = utterance, player
        queued = player.play(utterance, on_word)
        try:
            await queued.done()
        finally:
            report.heard_ms = queued.heard_ms
    _require_sound(utterance)
    report.complete = True


async def say_to_file(job: SayJob, path: Path, format_: str | None, report: SayReport) -> None:
    """Write the speech of the text to a file, and its subtitles. Raises `ClientError`.

    Cancel-safe: a new file keeps what was written, an existing file is not changed.
    """
    parameters = job.parameters.copy()
    # A file needs no low latency, and whole sentences sound best.
    parameters["mode"] = "batch"
    subtitles = SubtitleFiles(job.subtitles)
    existed = _is_file(path)
    try:
        async with Session.connect(job.url, job.key) as session:
            report.utterance = session.speak(job.text, **parameters)
            with FileSink(path, session.ready.sample_rate, format=format_) as file:
                await _record(report.utterance, file, subtitles, job.on_word, report)
            report.complete = True
    finally:
        if report.complete or (_is_file(path) and not existed):
            subtitles.complete()
        else:
            subtitles.abandon()


async def _record(
    utterance: Utterance,
    file: FileSink,
    subtitles: SubtitleFiles,
    on_word: OnWord,
    report: SayReport,
) -> None:
    """Write the speech, and the subtitles of what was written, also if it is interrupted."""
    words: list[Word] = []
    text_to = 0
    try:
        async for audio in utterance:
            file.write(audio.data)
            report.heard_ms += audio.duration_ms
            text_to = audio.text[1]
            words += audio.words
            for word in audio.words:
                report.words += 1
                on_word(word, utterance.text[word.start : word.end])
        _require_sound(utterance)
    finally:
        subtitles.write(utterance.text[:text_to], words, report.heard_ms)
    subtitles.remove_former()


def _is_file(path: Path) -> bool:
    return path != STDOUT and path.is_file()


def _require_sound(utterance: Utterance) -> None:
    if not utterance.audio_ms:
        raise NothingToSpeak
