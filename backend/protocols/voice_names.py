"""Map other services' voice names to this server's voices.

One table for all vendors, so a client changes only its URL. Plain and synchronous.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from backend.events import Voice

FindVoice = Callable[[str], str]
"""Maps any voice name to the server's: `find_voice` bound to the available voices."""

# Traits are coded like the prefix of Kokoro's names: the language, then `f` or `m`.
_LANGUAGES = {
    "a": "en-US",
    "b": "en-GB",
    "e": "es",
    "f": "fr-FR",
    "h": "hi",
    "i": "it",
    "j": "ja",
    "p": "pt-BR",
    "z": "zh",
}
_GENDERS = {"f": "female", "m": "male"}

_OPENAI = {
    "alloy": "af",
    "ash": "am",
    "ballad": "bm",
    "coral": "af",
    "echo": "am",
    "fable": "bm",
    "onyx": "am",
    "nova": "af",
    "sage": "af",
    "shimmer": "af",
    "verse": "am",
    "marin": "af",
    "cedar": "am",
}
_ELEVENLABS = {
    "21m00Tcm4TlvDq8ikWAM": "af",  # Rachel
    "AZnzlk1XvdvUeBnXmlld": "af",  # Domi
    "CwhRBWXzGAHq8TQ4Fs17": "am",  # Roger
    "EXAVITQu4vr4xnSDxMaL": "af",  # Sarah
    "ErXwobaYiN019PkySvjV": "am",  # Antoni
    "FGY2WhTYpPnrIDTdsKH5": "af",  # Laura
    "IKne3meq5aSn9XLyUdCD": "am",  # Charlie
    "JBFqnCBsd6RMkjVDRZzb": "bm",  # George
    "MF3mGyEYCl7XYWbV9V6O": "af",  # Elli
    "N2lVS1w4EtoT3dr4eOWO": "am",  # Callum
    "TX3LPaxmHKxFdv7VOQHJ": "am",  # Liam
    "TxGEqnHWrfWFTfGW9XjX": "am",  # Josh
    "VR6AewLTigWG4xSOukaG": "am",  # Arnold
    "XB0fDUnXU5powFXDhCwa": "bf",  # Charlotte
    "Xb7hH8MSUJpSbSDYk0k2": "bf",  # Alice
    "XrExE9yKIg1WjnnlVkGX": "af",  # Matilda
    "bIHbv24MWmeRgasZH58o": "am",  # Will
    "cgSgspJ2msm6clMCkdW9": "af",  # Jessica
    "cjVigY5qzO86Huf0OWal": "am",  # Eric
    "iP95p4xoKVk53GoZ742B": "am",  # Chris
    "nPczCjzI2devNBz1zQrb": "am",  # Brian
    "onwK4e9ZLuTAKqWW03F9": "bm",  # Daniel
    "pFZP5JQG7iQjIQuC4Bku": "bf",  # Lily
    "pNInz6obpgDQGcFmaJgB": "am",  # Adam
    "pqHfZKP75CvOlQylNhV4": "am",  # Bill
    "yoZ06aMxZJJ28mfd3POQ": "am",  # Sam
}
_CARTESIA = {
    "694f9389-aac1-45b6-b726-9d9369183238": "af",  # Sarah
    "79a125e8-cd45-4c13-8a67-188112f4dd22": "bf",  # British Lady
    "a0e99841-438c-4a64-b679-ae501e7d6091": "am",  # Barbershop Man
    "f786b574-daa5-4673-aa0c-cbe3e8534c02": "af",  # Katie
}
_DEEPGRAM_MEN = {
    *("angus", "apollo", "arcas", "aries", "atlas", "draco", "helios", "hermes", "hyperion"),
    *("jupiter", "mars", "neptune", "odysseus", "orion", "orpheus", "perseus", "pluto"),
    *("saturn", "zeus"),
}
_DEEPGRAM_BRITISH = {"draco", "helios", "pandora"}
_ORPHEUS = {  # Together's, of `canopylabs/orpheus-3b-0.1-ft`
    **dict.fromkeys(("tara", "leah", "jess", "mia", "zoe"), "af"),
    **dict.fromkeys(("leo", "dan", "zac"), "am"),
}
_MISTRAL_SPEAKERS = {"jane": "f", "marie": "f", "oliver": "m", "paul": "m"}
_MISTRAL_LANGUAGES = {"en": "a", "gb": "b", "fr": "f"}

OPENAI_VOICES = tuple(_OPENAI)
_KNOWN = {
    name.lower(): traits
    for name, traits in {**_OPENAI, **_ELEVENLABS, **_CARTESIA, **_ORPHEUS}.items()
}

_KOKORO = re.compile(rf"(?P<traits>[{''.join(_LANGUAGES)}][fm])_(?P<own>\w+)", re.ASCII)
_BLEND = re.compile(r"[+-]|\(\d*\.?\d*\)")  # "af_sky(2)+af_bella(1)": the first voice is used
_DEEPGRAM = re.compile(r"(?:aura(?:-\d+)?|flux)-(?P<own>\w+)-[a-z]{2,3}", re.ASCII)
_MISTRAL = re.compile(  # gb_jane_neutral: the last is the mood
    rf"(?P<language>{'|'.join(_MISTRAL_LANGUAGES)})_(?P<own>{'|'.join(_MISTRAL_SPEAKERS)})_[a-z]+"
)
_CUSTOM_VOICE = re.compile(
    r"voice_\w+"  # OpenAI
    r"|[a-z0-9]{20}"  # ElevenLabs
    r"|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",  # Cartesia, Mistral
    re.ASCII,
)


def find_voice(name: str, voices: Sequence[Voice], default: str) -> str:
    """The server's voice for `name`, case-insensitively.

    The server's own voices map to themselves. A vendor's voice maps to the nearest that needs no
    download: of the same name, else by language, gender and accent, in this order. A vendor's
    custom voice maps to the default. Any other name is returned unchanged, for the core to refuse.
    """
    names = [voice.name for voice in voices]
    lower = name.lower()
    if name in names:
        return name
    if own := next((name for name in names if name.lower() == lower), None):
        return own
    first = _BLEND.split(lower)[0] if _KOKORO.match(lower) else lower
    known, traits = _find_traits(first)
    if not known:
        return name
    return _nearest_voice(first, traits, voices, default) if traits else default


def is_preset(name: str) -> bool:
    """Whether it is a vendor's own voice, which maps to the nearest: not one that was learned."""
    return bool(_find_traits(name.lower())[1])


def _find_traits(name: str) -> tuple[bool, str]:
    """Whether a vendor has such a name, and its traits ("": unknown)."""
    if name in _KNOWN:
        return True, _KNOWN[name]
    if kokoro := _KOKORO.fullmatch(name):
        return True, kokoro["traits"]
    if deepgram := _DEEPGRAM.fullmatch(name):
        accent = "b" if deepgram["own"] in _DEEPGRAM_BRITISH else "a"
        return True, accent + ("m" if deepgram["own"] in _DEEPGRAM_MEN else "f")
    if mistral := _MISTRAL.fullmatch(name):
        return True, _MISTRAL_LANGUAGES[mistral["language"]] + _MISTRAL_SPEAKERS[mistral["own"]]
    return _CUSTOM_VOICE.fullmatch(name) is not None, ""


def _nearest_voice(name: str, traits: str, voices: Sequence[Voice], default: str) -> str:
    ready = sorted((v for v in voices if v.ready), key=lambda voice: voice.name != default)
    own = _bare_name(name)
    for voice in ready:
        if voice.name.lower() == own:
            return voice.name
    language, gender = _LANGUAGES[traits[0]], _GENDERS[traits[1]]

    def similarity(voice: Voice) -> tuple[bool, bool, bool]:
        same_language = voice.language.partition("-")[0] == language.partition("-")[0]
        return same_language, voice.gender == gender, voice.language == language

    best = max(map(similarity, ready), default=None)
    nearest = [voice.name for voice in ready if similarity(voice) == best] or [default]
    return nearest[_tie_break_index(name) % len(nearest)]


def _bare_name(name: str) -> str:
    """The bare name: `emma` for `bf_emma` and `aura-2-emma-en`."""
    match = _KOKORO.fullmatch(name) or _DEEPGRAM.fullmatch(name) or _MISTRAL.fullmatch(name)
    return match["own"] if match else name


def _tie_break_index(name: str) -> int:
    """Index among equally near voices, the default first: spreads OpenAI's names over them."""
    return OPENAI_VOICES.index(name) if name in OPENAI_VOICES else 0
