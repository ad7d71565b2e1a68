"""A fake model that makes voices of recordings, and recordings for it."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from backend.engines.base import Engine, Utterance
from backend.errors import UnknownVoice
from backend.events import Voice
from tests.support.engines.fake_engine import FakeEngine, FakeModel


def recording(
    seconds: float = 6.0, kind: str = "WAV", *, rate_hz: int = 16_000, channels: int = 1
) -> bytes:
    """An audio file with a tone."""
    tone = 0.3 * np.sin(np.arange(round(seconds * rate_hz)) * 0.05, dtype=np.float32)
    file = io.BytesIO()
    soundfile.write(file, np.repeat(tone[:, None], channels, 1), rate_hz, format=kind)
    return file.getvalue()


class StrictEngine(FakeEngine):
    """Accepts only the voices that the model has at that moment."""

    model: CloningModel

    def begin(self, utterance: Utterance) -> None:
        if utterance.voice not in {voice.name for voice in self.model.voices()}:
            raise UnknownVoice(f"no voice {utterance.voice!r}")
        super().begin(utterance)


class CloningModel(FakeModel):
    """Records the audio of each voice. `hears`: if given, learning waits for it."""

    def __init__(self, hears: threading.Event | None = None) -> None:
        super().__init__()
        self.info = replace(self.info, clones=True)
        self.learned: dict[str, tuple[float, int]] = {}  # by name: seconds, Hz
        self.hears = hears

    def voices(self) -> tuple[Voice, ...]:
        made = [Voice(name, "en", "", ready=True, learned=True) for name in list(self.learned)]
        return (*super().voices(), *made)

    def learn(self, name: str, audio: Path) -> Voice:
        samples, rate_hz = soundfile.read(audio)
        assert samples.ndim == 1, "not mono"
        if self.hears is not None:
            assert self.hears.wait(10)
        self.learned[name] = len(samples) / rate_hz, rate_hz
        return Voice(name, "en", "", ready=True, learned=True)

    def forget(self, name: str) -> None:
        del self.learned[name]

    def export_voice(self, name: str) -> bytes:
        return json.dumps(self.learned[name]).encode()

    def import_voice(self, name: str, exported: bytes) -> None:
        seconds, rate_hz = json.loads(exported)
        self.learned[name] = seconds, rate_hz

    def create_engine(self) -> Engine:
        engine = StrictEngine(self.info, self.gate)
        engine.model = self
        self.engines.append(engine)
        return engine
