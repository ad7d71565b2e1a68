"""The names that other services give their voices, and which voice of this server speaks for each.

One table for all vendors, so that a client needs no change but the URL. Plain and synchronous.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from backend.events import Voice

FindVoice = Callable[[str], str]
"""The name of the server's voice for any name: `find_voice` with the voices that there are."""

# What is sought of a voice, written as Kokoro begins its names: the language, then `f` or `m`.
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

OPENAI_VOICES = tuple(_OPENAI)
_KNOWN = {name.lower(): sought for name, sought in {**_OPENAI, **_ELEVENLABS, **_CARTESIA}.items()}

_KOKORO = re.compile(rf"(?P<sought>[{''.join(_LANGUAGES)}][fm])_(?P<own>\w+)", re.ASCII)
_BLEND = re.compile(r"[+-]|\(\d*\.?\d*\)")  # "af_sky(2)+af_bella(1)": the first one speaks
_DEEPGRAM = re.compile(r"(?:aura(?:-\d+)?|flux)-(?P<own>\w+)-[a-z]{2,3}", re.ASCII)
_MADE_BY_A_CUSTOMER = re.compile(
    r"voice_\w+"  # OpenAI
    r"|[a-z0-9]{20}"  # ElevenLabs
    r"|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",  # Cartesia
    re.ASCII,
)


def find_voice(name: str, voices: Sequence[Voice], default: str) -> str:
    """The voice of this server that `name` means; upper and lower case are the same.

    A voice of the server is itself. A voice of a vendor is the nearest that needs no download: the
    one of its name, else one of its language, gender and accent, in this order. One that a
    vendor's customer has made is the default voice. Any other name is returned as it is: a mistake,
    and the core says so.
    """
    names = [voice.name for voice in voices]
    lower = name.lower()
    if name in names:
        return name
    if own := next((each for each in names if each.lower() == lower), None):
        return own
    first = _BLEND.split(lower)[0] if _KOKORO.match(lower) else lower
    known, sought = _sought(first)
    if not known:
        return name
    return _nearest(first, sought, voices, default) if sought else default


def _sought(name: str) -> tuple[bool, str]:
    """Whether a vendor has such a name, and what is sought of a voice for it ("": nothing)."""
    if name in _KNOWN:
        return True, _KNOWN[name]
    if kokoro := _KOKORO.fullmatch(name):
        return True, kokoro["sought"]
    if deepgram := _DEEPGRAM.fullmatch(name):
        accent = "b" if deepgram["own"] in _DEEPGRAM_BRITISH else "a"
        return True, accent + ("m" if deepgram["own"] in _DEEPGRAM_MEN else "f")
    return _MADE_BY_A_CUSTOMER.fullmatch(name) is not None, ""


def _nearest(name: str, sought: str, voices: Sequence[Voice], default: str) -> str:
    ready = sorted((v for v in voices if v.ready), key=lambda voice: voice.name != default)
    own = _own_name(name)
    for voice in ready:
        if voice.name.lower() == own:
            return voice.name
    language, gender = _LANGUAGES[sought[0]], _GENDERS[sought[1]]

    def likeness(voice: Voice) -> tuple[bool, bool, bool]:
        alike = voice.language.partition("-")[0] == language.partition("-")[0]
        return alike, voice.gender == gender, voice.language == language

    best = max(map(likeness, ready), default=None)
    nearest = [voice.name for voice in ready if likeness(voice) == best] or [default]
    return nearest[_number(name) % len(nearest)]


def _own_name(name: str) -> str:
    """What a vendor calls the voice: `emma` of `bf_emma` and of `aura-2-emma-en`."""
    match = _KOKORO.fullmatch(name) or _DEEPGRAM.fullmatch(name)
    return match["own"] if match else name


def _number(name: str) -> int:
    """Which of several that are as near, the default being the first: OpenAI's names differ."""
    return OPENAI_VOICES.index(name) if name in OPENAI_VOICES else 0
