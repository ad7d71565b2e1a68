"""What a context may ask of an engine: checks it, and fills in the defaults. Plain."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from backend.engines.base import EngineInfo
from backend.errors import BadMessage, Unsupported
from backend.events import Start
from backend.language_names import primary_subtag
from backend.synthesis.voice_list import ListedVoice, choose_for_language
from backend.text.language_choice import AUTO

_PARAMETERS = (
    "speed",
    "exaggeration",
    "cfg_weight",
    "temperature",
    "top_p",
    "min_p",
    "repetition_penalty",
    "noise_scale",
    "noise_w",
)
_SEED_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class VoiceParams:
    """Parameters of an utterance, without its text. `language`: a tag of the voice's, or None."""

    voice: str
    speed: float
    seed: int
    language: str | None
    parameters: Mapping[str, float] = field(default_factory=dict)


def is_auto(start: Start) -> bool:
    """Whether the language of each of the context's sentences is chosen by its text."""
    return (start.language or "").lower() == AUTO


def without_auto(start: Start) -> Start:
    """`start` as for a context that names no language, if its language is `auto`."""
    return replace(start, language=None) if is_auto(start) else start


def check_params(start: Start, voice: ListedVoice, speed: float) -> VoiceParams:
    """What the context asks for, checked; `speed`: unless it asks for another.

    Raises `Unsupported` (a parameter that the engine lacks, or a language whose parts are missing),
    `BadMessage` (a parameter or the seed out of range).
    """
    info = voice.engine.info
    code = primary_subtag(start.language or voice.languages[0])
    if code in info.missing_languages:
        raise Unsupported(info.missing_languages[code], start.context)
    parameters = _check_parameters(start, info)
    speed = parameters.pop("speed", speed)
    seed = random.randrange(_SEED_LIMIT) if start.seed is None else start.seed
    if not 0 <= seed < _SEED_LIMIT:
        raise BadMessage(f"seed: expected 0 to {_SEED_LIMIT - 1}, got {seed}", start.context)
    language = voice.find_tag(start.language) if start.language else None
    return VoiceParams(voice.voice.name, speed, seed, language, parameters)


def check_language(start: Start, voice: ListedVoice, listed: Sequence[ListedVoice]) -> None:
    """Raises `Unsupported` if the voice does not speak the language that the context asks for."""
    language = start.language
    if not language or voice.speaks(language):
        return
    if primary_subtag(language) in voice.engine.info.missing_languages:
        return  # `check_params` says what is missing
    name = voice.voice.name
    if other := choose_for_language(language, listed):
        speaks = ", ".join(voice.languages)
        remedy = f"the voice {name} does not speak it; {other.voice.name} does; {name}: {speaks}"
    elif start.voice:
        remedy = f"languages of the voice {name}: {', '.join(voice.languages)}"
    else:
        known = dict.fromkeys(each for one in listed for each in one.languages)
        remedy = f"languages: {', '.join(known)}"
    raise Unsupported(f"language {language[:40]!r}; {remedy}", start.context)


def _check_parameters(start: Start, info: EngineInfo) -> dict[str, float]:
    """The parameters that the client set, checked."""
    chosen: dict[str, float] = {}
    for name in _PARAMETERS:
        value = getattr(start, name)
        if value is None:
            continue
        known = info.parameters.get(name)
        if known is None and (name, value) == ("speed", 1.0):
            continue  # many clients always send it; every engine complies
        if known is None:
            has = ", ".join(info.parameters) or "none"
            raise Unsupported(f"{name}: {info.name} does not have it; it has: {has}", start.context)
        if not known.low <= value <= known.high:
            raise BadMessage(
                f"{name}: expected {known.low} to {known.high}, got {value:g}", start.context
            )
        chosen[name] = value
    return chosen
