"""The settings of the Pipecat service, and the parameters of a speech that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pipecat.services.settings import NOT_GIVEN, NotGiven, TTSSettings, is_given

from duplex_tts.channel.context import Parameters

_NAMES = ("voice", "language", "speed", "volume", "seed", "typing", "priority", "lexicon", "ssml")


@dataclass
class DuplexTTSSettings(TTSSettings):
    """Settings of `DuplexTTSService`: parameters of `Session.speak`, with the same names."""

    speed: float | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    volume: float | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    seed: int | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    typing: str | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    priority: str | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    lexicon: Mapping[str, str] | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    ssml: bool | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)


def complete_settings(given: DuplexTTSSettings | None) -> DuplexTTSSettings:
    """Complete settings, as Pipecat requires of a service: None where nothing is given."""
    nothing: Any = dict.fromkeys(_NAMES)
    settings = DuplexTTSSettings(model=None, **nothing)
    if given is not None:
        settings.apply_update(given)
    return settings


def speech_parameters(settings: DuplexTTSSettings) -> Parameters:
    """The parameters of a speech; the server's default where nothing is set."""
    values = {name: getattr(settings, name) for name in _NAMES}
    given = {name: value for name, value in values.items() if is_given(value)}
    return cast(Parameters, {name: value for name, value in given.items() if value is not None})
