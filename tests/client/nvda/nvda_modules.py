"""Stand-ins for the modules of NVDA that the add-on imports, as far as it uses them.

Written after NVDA's documentation of synthesizer drivers; NVDA itself runs on Windows only.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class WavePlayer:
    """Plays nothing; remembers what was fed. Callbacks come at once."""

    players: list[WavePlayer] = []  # noqa: RUF012 - all of them, for the tests

    def __init__(self, channels: int, rate: int, bits: int, outputDevice: str) -> None:
        assert (channels, bits) == (1, 16)
        self.rate_hz, self.fed, self.stops, self.closed = rate, b"", 0, False
        self.players.append(self)

    def feed(self, data: bytes, onDone: Callable[[], None] | None = None) -> None:
        self.fed += data
        if onDone is not None:
            onDone()

    def stop(self) -> None:
        self.stops += 1

    def idle(self) -> None: ...

    def pause(self, switch: bool) -> None: ...

    def close(self) -> None:
        self.closed = True


@dataclass(eq=False)  # hashed by identity
class Notification:
    """An extension point: remembers what it was notified of."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    happened: threading.Event = field(default_factory=threading.Event)

    def notify(self, **values: Any) -> None:
        self.seen.append(values)
        self.happened.set()


class Command:
    """A command in a speech sequence."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


def install_modules(monkeypatch: pytest.MonkeyPatch, folder: Path) -> SimpleNamespace:
    """Put the modules where the add-on finds them; returns what tests look at."""
    commands = {
        name: type(name, (Command,), {})
        for name in ("IndexCommand", "CharacterModeCommand", "BreakCommand")
    }
    settings = [f"{name}Setting" for name in ("Voice", "Rate", "Pitch", "Volume")]
    driver = type("SynthDriver", (), dict.fromkeys(settings, staticmethod(lambda: None)))
    done, reached, replaced = Notification(), Notification(), Notification()
    sound = {"outputDevice": "default"}
    contents: dict[str, dict[str, Any]] = {
        "config": {"conf": {"audio": sound, "speech": sound}},
        "globalVars": {"appArgs": SimpleNamespace(configPath=str(folder))},
        "nvwave": {"WavePlayer": WavePlayer},
        "queueHandler": {"eventQueue": None, "queueFunction": lambda _q, call, *args: call(*args)},
        "logHandler": {"log": SimpleNamespace(error=lambda _message: None)},
        "speech": {},
        "speech.commands": commands,
        "synthDriverHandler": {
            "SynthDriver": driver,
            "VoiceInfo": lambda *values: values,
            "synthDoneSpeaking": done,
            "synthIndexReached": reached,
            "findAndSetNextSynth": lambda name: replaced.notify(name=name),
        },
    }
    for name, values in contents.items():
        module = ModuleType(name)
        module.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, module)
    WavePlayer.players.clear()
    return SimpleNamespace(done=done, reached=reached, replaced=replaced, **commands)
