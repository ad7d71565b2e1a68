"""Speak a text as it arrives, aloud or into a file, and account for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from duplex_tts.channel.context import Parameters
from duplex_tts.errors import NothingToSpeak
from duplex_tts.events import Word
from duplex_tts.playback.devices import Device, DeviceFailed, no_sound
from duplex_tts.playback.queued_utterance import OnWord
from duplex_tts.player import Player
from duplex_tts.session import Session
from duplex_tts.sinks import FileSink
from duplex_tts.text_stream import Text
from duplex_tts.utterance import Utterance


@dataclass(frozen=True, slots=True)
class SayJob:
    """What to say, where. `on_word` is called with each word when it is heard, or written."""

    url: str
    key: str | None
    text: Text
    parameters: Parameters = field(default_factory=lambda: Parameters())
    on_word: OnWord = lambda _word, _text: None


@dataclass(slots=True)
class Report:
    """What is being said; there from the start, so that an interruption can be reported too.

    `heard_ms`, `words`: what was heard, or written; `heard_ms` is known at the end. `complete`:
    that was all of it.
    """

    utterance: Utterance | None = None
    player: Player | None = None
    heard_ms: float = 0.0
    words: int = 0
    complete: bool = False


async def say_aloud(errand: SayJob, device: Device | None, report: Report) -> None:
    """Play all of the text; on the best device when None. Raises `ClientError`.

    Cancel-safe: it is silent at once.
    """

    def on_word(word: Word, text: str) -> None:
        report.words += 1
        errand.on_word(word, text)

    async with (
        Session.connect(errand.url, errand.key) as session,
        Player(device, session.ready.sample_rate) as player,
    ):
        if device is None and not player.device.audible:
            raise DeviceFailed(no_sound())
        utterance = session.speak(errand.text, **errand.parameters)
        report.utterance, report.player = utterance, player
        playback = player.play(utterance, on_word)
        try:
            await playback.done()
        finally:
            report.heard_ms = playback.heard_ms
    _conclude(utterance, report)


async def say_into(errand: SayJob, path: Path, format_: str | None, report: Report) -> None:
    """Write the speech of all of the text into a file. Raises `ClientError`.

    Cancel-safe: a new file keeps what it has, one that was there before is left alone.
    """
    parameters = errand.parameters.copy()
    # Nobody waits for the sound of a file: whole sentences give the best speech, each as soon as
    # its text is there.
    parameters["mode"] = "batch"
    async with Session.connect(errand.url, errand.key) as session:
        utterance = report.utterance = session.speak(errand.text, **parameters)
        with FileSink(path, session.ready.sample_rate, format=format_) as file:
            async for audio in utterance:
                file.write(audio.data)
                report.heard_ms += audio.duration_ms
                for word in audio.words:
                    report.words += 1
                    errand.on_word(word, utterance.text[word.start : word.end])
            _conclude(utterance, report)


def _conclude(utterance: Utterance, report: Report) -> None:
    if not utterance.audio_ms:
        raise NothingToSpeak
    report.complete = True
