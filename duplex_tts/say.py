"""Speak a text as it arrives, aloud or into a file, and account for it."""

from __future__ import annotations

import asyncio
import codecs
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from duplex_tts.context import Parameters
from duplex_tts.devices import REMEDY, Device, DeviceFailed
from duplex_tts.events import Word
from duplex_tts.playback import OnWord
from duplex_tts.player import Player
from duplex_tts.session import Session
from duplex_tts.sinks import FileSink
from duplex_tts.utterance import Utterance

READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Errand:
    """What to say, where. `on_word` is called with each word when it is heard, or written."""

    url: str
    key: str | None
    text: AsyncIterator[str]
    parameters: Parameters = field(default_factory=lambda: Parameters())
    on_word: OnWord = lambda _word, _text: None


@dataclass(slots=True)
class Report:
    """What is being said; there from the start, so that an interruption can be reported too."""

    utterance: Utterance | None = None
    player: Player | None = None


async def say_aloud(errand: Errand, device: Device | None, report: Report) -> None:
    """Play all of the text; on the best device when None. Raises `ClientError`.

    Cancel-safe: it is silent at once.
    """
    async with (
        Session.connect(errand.url, errand.key) as session,
        Player(device, session.ready.sample_rate) as player,
    ):
        if device is None and not player.device.audible:
            raise DeviceFailed(f"nothing here can play sound; {REMEDY}")
        utterance = session.speak(errand.text, **errand.parameters)
        report.utterance, report.player = utterance, player
        await player.play(utterance, errand.on_word).done()


async def say_into(errand: Errand, path: Path, format_: str | None, report: Report) -> None:
    """Write the speech of all of the text into a file. Raises `ClientError`.

    Cancel-safe: the file keeps what it has.
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
                for word in audio.words:
                    errand.on_word(word, _text_of(word, utterance))


def _text_of(word: Word, utterance: Utterance) -> str:
    return utterance.text[word.start : word.end]


async def given(text: str) -> AsyncIterator[str]:
    """Text that is there already. Bytes of an argument that are no UTF-8 become U+FFFD."""
    yield os.fsencode(text).decode(errors="replace")


async def arriving(descriptor: int) -> AsyncIterator[str]:
    """Text from a file descriptor, as it arrives: no line, no word and no buffer is waited for.

    Bytes that are no UTF-8 become U+FFFD.
    """
    # A thread, and a daemon: files are not pollable, and a read that waits for a person must not
    # hold up the end of the program.
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)

    def read() -> None:
        while True:
            try:
                chunk = os.read(descriptor, READ_BYTES)
            except OSError:  # closed, or its terminal is gone: no more text comes
                chunk = b""
            asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
            if not chunk:
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while chunk := await chunks.get():
        if text := decoder.decode(chunk):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text
