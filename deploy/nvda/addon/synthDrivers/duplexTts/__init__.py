"""NVDA's driver for a Duplex TTS server.

The address of the server: `duplex-tts.ini` in NVDA's configuration folder, with the lines
`[server]`, `address = 192.168.1.5:8000` and, if needed, `key = dtts_...`; default: this machine.
"""

from __future__ import annotations

import configparser
import os
import queue
import threading
from collections import OrderedDict
from typing import Any, ClassVar

import config
import globalVars
import nvwave
import queueHandler
import synthDriverHandler
from logHandler import log
from speech.commands import BreakCommand, CharacterModeCommand, IndexCommand
from synthDriverHandler import VoiceInfo, synthDoneSpeaking, synthIndexReached

from .speech_client import SAMPLE_RATE_HZ, SpeechClient, SpeechError, TextRefused
from .speech_text import Index, Item, Letters, Pause, build_text, cut_at_indexes, has_speech

_PITCH_OCTAVES = 0.5  # at 100; the samples are played faster, so formants move, too


def _read_client() -> SpeechClient:
    parser = configparser.ConfigParser()
    parser.read(os.path.join(globalVars.appArgs.configPath, "duplex-tts.ini"), encoding="utf-8")
    address = parser.get("server", "address", fallback="127.0.0.1:8000")
    return SpeechClient(address, parser.get("server", "key", fallback=""))


def _output_device() -> Any:
    section = "audio" if "outputDevice" in config.conf["audio"] else "speech"  # since NVDA 2025.1
    return config.conf[section]["outputDevice"]


class SynthDriver(synthDriverHandler.SynthDriver):
    """Speaks in a thread of its own, one sequence after another."""

    name = "duplexTts"
    description = "Duplex TTS"
    supportedSettings = (
        synthDriverHandler.SynthDriver.VoiceSetting(),
        synthDriverHandler.SynthDriver.RateSetting(),
        synthDriverHandler.SynthDriver.PitchSetting(),
        synthDriverHandler.SynthDriver.VolumeSetting(),
    )
    supportedCommands: ClassVar[set[type]] = {IndexCommand, CharacterModeCommand, BreakCommand}
    supportedNotifications: ClassVar[set[object]] = {synthIndexReached, synthDoneSpeaking}

    @classmethod
    def check(cls) -> bool:
        """Whether NVDA may offer it; a server that is missing is reported when it is chosen."""
        return True

    def __init__(self) -> None:
        """Raises `SpeechError` if no server answers: NVDA then keeps another synthesizer."""
        super().__init__()
        self._client = _read_client()
        self._languages = self._client.voices()
        self._voice = next(iter(self._languages))
        self._rate = self._pitch = 50
        self._volume = 100
        self._player = self._open_player()
        self._jobs: queue.Queue[tuple[int, list[Item]] | None] = queue.Queue()
        self._cancels = 0
        self._thread = threading.Thread(target=self._run, name="duplexTts", daemon=True)
        self._thread.start()

    def speak(self, speechSequence: list[Any]) -> None:
        """Queue a sequence. Returns at once."""
        items: list[Item] = []
        for command in speechSequence:
            if isinstance(command, str):
                items.append(command)
            elif isinstance(command, IndexCommand):
                items.append(Index(command.index))
            elif isinstance(command, CharacterModeCommand):
                items.append(Letters(command.state))
            elif isinstance(command, BreakCommand):
                items.append(Pause(command.time))
        self._jobs.put((self._cancels, items))

    def cancel(self) -> None:
        """Silence, at once; what is queued is dropped."""
        self._cancels += 1
        while not self._jobs.empty():
            try:
                self._jobs.get_nowait()
            except queue.Empty:
                break
        self._client.cancel()
        self._player.stop()

    def pause(self, switch: bool) -> None:
        """Pause or continue what is heard."""
        self._player.pause(switch)

    def terminate(self) -> None:
        """End the thread."""
        self.cancel()
        self._jobs.put(None)
        self._thread.join(2)
        self._player.close()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            cancels, items = job
            if cancels != self._cancels:
                continue  # it was cancelled before it could be taken
            try:
                self._speak_items(items, cancels)
            except TextRefused as error:
                log.error(f"Duplex TTS: {error}")
                for item in items:  # reading goes on behind it
                    if isinstance(item, Index) and cancels == self._cancels:
                        self._reach(item.number)
            except SpeechError as error:
                log.error(f"Duplex TTS: {error}")
                next_synth = synthDriverHandler.findAndSetNextSynth
                queueHandler.queueFunction(queueHandler.eventQueue, next_synth, self.name)
            if cancels == self._cancels:
                synthDoneSpeaking.notify(synth=self)

    def _speak_items(self, items: list[Item], cancels: int) -> None:
        """Play a sequence. Raises `SpeechError`."""
        text, indexes = build_text(items)
        speed = 2 ** ((self._rate - 50) / 50) / self._pitch_factor
        audio = iter(()) if not has_speech(items) else self._client.speak(
            text,
            ssml=True,
            voice=self._voice,
            speed=min(2.0, max(0.5, speed)),
            volume=self._volume / 100,
            priority="interactive",
        )  # fmt: skip
        for part in cut_at_indexes(audio, indexes):
            if cancels != self._cancels:
                self._player.stop()  # what was fed while it was being cancelled
                return
            if isinstance(part, Index):
                self._player.feed(b"", onDone=lambda number=part.number: self._reach(number))
            else:
                self._player.feed(part)
        self._player.idle()

    def _reach(self, number: int) -> None:
        synthIndexReached.notify(synth=self, index=number)

    @property
    def _pitch_factor(self) -> float:
        return float(2 ** ((self._pitch - 50) / 50 * _PITCH_OCTAVES))

    def _open_player(self) -> Any:
        rate_hz = round(SAMPLE_RATE_HZ * self._pitch_factor)
        return nvwave.WavePlayer(1, rate_hz, 16, outputDevice=_output_device())

    # --- settings: NVDA looks for methods of these names ------------------------------------------

    def _getAvailableVoices(self) -> OrderedDict[str, VoiceInfo]:
        return OrderedDict(
            (name, VoiceInfo(name, name, language.replace("-", "_")))
            for name, language in self._languages.items()
        )

    def _get_voice(self) -> str:
        return self._voice

    def _set_voice(self, value: str) -> None:
        if value in self._languages:
            self._voice = value

    def _get_language(self) -> str:
        return self._languages[self._voice].replace("-", "_")

    def _get_rate(self) -> int:
        return self._rate

    def _set_rate(self, value: int) -> None:
        self._rate = value

    def _get_volume(self) -> int:
        return self._volume

    def _set_volume(self, value: int) -> None:
        self._volume = value

    def _get_pitch(self) -> int:
        return self._pitch

    def _set_pitch(self, value: int) -> None:
        if value != self._pitch:
            self.cancel()
            self._pitch = value
            old, self._player = self._player, self._open_player()
            old.close()
