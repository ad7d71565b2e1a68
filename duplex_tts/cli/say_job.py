"""Speaks a text as it arrives, on a device or to a file, and reports on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from duplex_tts.channel.context import Parameters
from duplex_tts.errors import NothingToSpeak
from duplex_tts.events import Word
from duplex_tts.playback.devices import Device, DeviceFailed, no_sound_message
from duplex_tts.playback.queued_utterance import OnWord
from duplex_tts.player import Player
from duplex_tts.session import Session
from duplex_tts.sinks import FileSink
from duplex_tts.text_stream import Text
from duplex_tts.utterance import Utterance


@dataclass(frozen=True, slots=True)
class SayJob:
    """A text to speak on a server. `on_word` is called when a word is heard, or written."""

    url: str
    key: str | None
    text: Text
    parameters: Parameters = field(default_factory=lambda: Parameters())
    on_word: OnWord = lambda _word, _text: None


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
    _complete_report(report, utterance)


async def say_to_file(job: SayJob, path: Path, format_: str | None, report: SayReport) -> None:
    """Write the speech of the text to a file. Raises `ClientError`.

    Cancel-safe: a new file keeps what was written, an existing file is not changed.
    """
    parameters = job.parameters.copy()
    # A file needs no low latency, and whole sentences sound best.
    parameters["mode"] = "batch"
    async with Session.connect(job.url, job.key) as session:
        utterance = report.utterance = session.speak(job.text, **parameters)
        with FileSink(path, session.ready.sample_rate, format=format_) as file:
            async for audio in utterance:
                file.write(audio.data)
                report.heard_ms += audio.duration_ms
                for word in audio.words:
                    report.words += 1
                    job.on_word(word, utterance.text[word.start : word.end])
            _complete_report(report, utterance)


def _complete_report(report: SayReport, utterance: Utterance) -> None:
    if not utterance.audio_ms:
        raise NothingToSpeak
    report.complete = True
