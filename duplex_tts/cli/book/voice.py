"""Which language a book is read in: its own, if a voice of the server speaks it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx

from duplex_tts.books.book import BookFailed
from duplex_tts.channel.address import authorization, http_url
from duplex_tts.cli.server_api import ServerApi

TIMEOUT_S = 10.0
_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*")
_UNKNOWN = frozenset({"und", "mul", "zxx", "mis"})


def choose_language(voices: Sequence[Mapping[str, Any]], voice: str | None, tag: str) -> str | None:
    """Return the language to ask for, given the book's `tag`; None for the voice's own.

    With its region if a voice that is ready has just that. Raises `BookFailed` if no voice speaks
    it, unless a `voice` is named: that reads it all the same.
    """
    tag = tag.strip().replace("_", "-")
    if not _TAG.fullmatch(tag) or tag.lower() in _UNKNOWN:
        return None
    spoken = [_languages(each) for each in voices if voice is None or each.get("name") == voice]
    ready = [
        _languages(each)
        for each in voices
        if each.get("ready") and (voice is None or each.get("name") == voice)
    ]
    if _speaks(ready, tag):
        return tag
    primary = _primary(tag)
    if any(_primary(language) == primary for languages in spoken for language in languages):
        return primary
    if voice is not None:
        return None
    raise BookFailed(
        "no_voice",
        f"no voice here speaks the book's language, {tag}: `duplex-tts voices available "
        f"{primary}` lists voices to download; or choose one with --voice, or --language en",
    )


def fetch_voices(address: str, key: str | None) -> list[dict[str, Any]]:
    """Fetch the list of the server's voices; empty if there is no answer."""
    try:
        with httpx.Client(headers=authorization(key), timeout=TIMEOUT_S, trust_env=False) as client:
            voices = ServerApi(client, address).send_request("GET", "/v1/voices").get("voices")
    except httpx.HTTPError as error:
        raise BookFailed("connection_lost", f"{http_url(address, '')}: {error}") from error
    return voices if isinstance(voices, list) else []


def _languages(voice: Mapping[str, Any]) -> list[str]:
    return [str(voice.get("language") or ""), *map(str, voice.get("other_languages") or [])]


def _speaks(voices: Iterable[Sequence[str]], tag: str) -> bool:
    return any(tag.lower() == language.lower() for languages in voices for language in languages)


def _primary(tag: str) -> str:
    return tag.partition("-")[0].lower()
