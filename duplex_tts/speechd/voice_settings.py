"""What a screen reader sets - rate, pitch, volume, voice - as parameters of this server.

Synchronous, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Punctuation = Literal["none", "some", "most", "all"]
_PUNCTUATION: dict[str, Punctuation] = {
    "none": "none",
    "some": "some",
    "most": "most",
    "all": "all",
}
_PITCH_OCTAVES = 0.5  # at +100; formants move with it, beyond this it is another voice
_SLOWEST, _FASTEST = 0.5, 2.0  # of the server
_UNSET = ("", "NULL", "C", "POSIX")  # spd-say sends "c" for the locale C.UTF-8


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """The settings of a message. `rate`, `pitch` and `volume`: -100 to 100, as in SSIP.

    `voice`, `language`: None for the default. `spell`: text is read letter by letter.
    `announce_capitals`: a capital is named as one.
    """

    rate: int = 0
    pitch: int = 0
    volume: int = 100
    punctuation: Punctuation = "none"
    spell: bool = False
    announce_capitals: bool = False
    language: str | None = None
    voice: str | None = None

    def update(self, values: Mapping[str, str]) -> VoiceSettings:
        """Return the settings after a SET. Raises `ValueError` for a value out of range."""
        changed = self
        for name, value in values.items():
            changed = _update_one(changed, name, value)
        return changed

    @property
    def speed(self) -> float:
        """The server's `speed`: doubled at rate 100, halved at -100; what pitch adds is undone."""
        return float(np.clip(2 ** (self.rate / 100) / self.pitch_factor, _SLOWEST, _FASTEST))

    @property
    def pitch_factor(self) -> float:
        """By how much faster than rendered the samples are played, which raises the pitch."""
        return float(2 ** (self.pitch / 100 * _PITCH_OCTAVES))

    def apply_volume(self, pcm: bytes) -> bytes:
        """Scale 16-bit samples: 100 is the voice's own loudness, 0 half of it, -100 silence."""
        gain = (self.volume + 100) / 200
        if gain == 1.0:
            return pcm
        return (np.frombuffer(pcm, "<i2") * gain).astype("<i2").tobytes()


def _set_number(settings: VoiceSettings, name: str, number: int) -> VoiceSettings:
    if not -100 <= number <= 100:
        raise ValueError(f"{name}: expected -100 to 100, got {number}")
    if name == "rate":
        return replace(settings, rate=number)
    if name == "pitch":
        return replace(settings, pitch=number)
    return replace(settings, volume=number)


def _update_one(settings: VoiceSettings, name: str, value: str) -> VoiceSettings:
    if name in ("rate", "pitch", "volume"):
        return _set_number(settings, name, int(value))
    if name == "punctuation_mode":
        if value not in _PUNCTUATION:
            raise ValueError(f"punctuation_mode: unknown {value!r}")
        return replace(settings, punctuation=_PUNCTUATION[value])
    if name == "spelling_mode":
        return replace(settings, spell=value == "on")
    if name == "cap_let_recogn":
        return replace(settings, announce_capitals=value in ("spell", "icon"))
    if name == "language":
        return replace(settings, language=None if value.upper() in _UNSET else value)
    if name == "synthesis_voice":
        return replace(settings, voice=None if value.upper() in _UNSET else value)
    return settings  # pitch_range, voice types: the voices have none
