"""The mapping of other services' voice names."""

from __future__ import annotations

import pytest

from backend.events import Voice
from backend.protocols.openai import find_openai_voice
from backend.protocols.voice_names import OPENAI_VOICES, find_voice

VOICES = (
    Voice("heart", "en-US", "", True, gender="female"),
    Voice("emma", "en-GB", "", True, gender="female"),
    Voice("fenrir", "en-US", "", True, gender="male"),
    Voice("fable", "en-GB", "", True, gender="male"),
    Voice("kore", "en-US", "", False, gender="female"),
)
ONE_READY = (
    VOICES[0],
    *(Voice(v.name, v.language, "", False, gender=v.gender) for v in VOICES[1:]),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("heart", "heart"),
        ("Heart", "heart"),
        ("HEART", "heart"),
        ("kore", "kore"),
        ("Alloy", "heart"),
        ("ONYX", "fenrir"),
        ("fable", "fable"),
        ("af_heart", "heart"),
        ("AF_Bella", "heart"),
        ("am_michael", "fenrir"),
        ("bf_emma", "emma"),
        ("bf_lily", "emma"),
        ("bm_george", "fable"),
        ("bm_fenrir", "fenrir"),
        ("jf_alpha", "heart"),
        ("af_sky+af_bella", "heart"),
        ("am_adam(2)+af_bella(1)", "fenrir"),
        ("21m00Tcm4TlvDq8ikWAM", "heart"),
        ("pNInz6obpgDQGcFmaJgB", "fenrir"),
        ("JBFqnCBsd6RMkjVDRZzb", "fable"),
        ("a" * 20, "heart"),
        ("694f9389-aac1-45b6-b726-9d9369183238", "heart"),
        ("A0E99841-438C-4A64-B679-AE501E7D6091", "fenrir"),
        ("00000000-0000-0000-0000-000000000000", "heart"),
        ("aura-2-thalia-en", "heart"),
        ("aura-2-draco-en", "fable"),
        ("aura-orion-en", "fenrir"),
        ("aura-2-emma-en", "emma"),
        ("voice_68a1b2", "heart"),
        ("gb_jane_neutral", "emma"),
        ("gb_oliver_cheerful", "fable"),
        ("en_paul_sad", "fenrir"),
        ("fr_marie_happy", "heart"),
        ("tara", "heart"),
        ("Leo", "fenrir"),
    ],
)
def test_vendor_name_maps_to_the_nearest_voice(name: str, expected: str) -> None:
    assert find_voice(name, VOICES, "heart") == expected


@pytest.mark.parametrize(
    "name",
    ["nobody", "haert", "nova-3", "gb_jane", "de_paul_sad", "xf_heart", "af", "", "af_heart x"],
)
def test_unknown_name_is_returned_unchanged(name: str) -> None:
    assert find_voice(name, VOICES, "heart") == name


@pytest.mark.parametrize("name", ["am_michael", "bf_emma", "af_kore", "aura-2-zeus-en", "onyx"])
def test_vendor_names_never_select_a_voice_to_download(name: str) -> None:
    assert find_voice(name, ONE_READY, "heart") == "heart"


def test_openai_names_spread_over_equally_near_voices() -> None:
    four = tuple(Voice(name, "en", "", True) for name in "abcd")
    assert {find_openai_voice(name, four, "a") for name in OPENAI_VOICES} == set("abcd")
    assert find_openai_voice("Fable", ONE_READY, "heart") == "heart"
    assert find_openai_voice("kore", ONE_READY, "heart") == "kore", (
        "the server's own voice may be downloaded"
    )


def test_default_is_preferred_among_equally_near_voices() -> None:
    voices = (Voice("grandma", "en", "", True, learned=True), Voice("built_in", "en", "", True))
    for name in ("aura-2-thalia-en", "af_bella", "21m00Tcm4TlvDq8ikWAM"):
        assert find_voice(name, voices, "built_in") == "built_in"
