"""Speaks messages on one session with the server, and keeps short ones for the next time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Literal

from duplex_tts.channel.context import Context, Parameters
from duplex_tts.errors import ClientError, SpeechFailed
from duplex_tts.events import Audio, Error
from duplex_tts.session import Session
from duplex_tts.speechd.speech_parts import MarkedAudio, SoundCache, SpeechPart
from duplex_tts.speechd.spoken_text import SpokenText
from duplex_tts.speechd.voice_settings import VoiceSettings

FIRST_SOUND_TIMEOUT_S = 1.5
"""After this long without audio the server counts as lost."""

CACHE_BYTES = 32 * 2**20  # about 700 words
_VOICE_REFUSALS = ("unknown_voice", "voice_unavailable", "unsupported")
_CACHED_LENGTH = 64  # characters: labels, keys, letters
RATE_HZ = 24_000


@dataclass(frozen=True, slots=True)
class OfferedVoice:
    """A voice of the server. `ready`: its weights need no download."""

    name: str
    languages: tuple[str, ...]
    ready: bool


@dataclass(frozen=True, slots=True)
class VoiceOffer:
    """The server's voices, and the name of the default one."""

    default: str
    voices: Sequence[OfferedVoice]

    def choose(self, settings: VoiceSettings) -> str | None:
        """The voice named, else one that speaks the language, the default one first; else None."""
        names = {voice.name for voice in self.voices}
        if settings.voice in names:
            return settings.voice
        if settings.language is None:
            return self.default
        wanted = _primary_tag(settings.language)
        able = [v for v in self.voices if wanted in {_primary_tag(tag) for tag in v.languages}]
        able.sort(key=lambda voice: (voice.name != self.default, not voice.ready))
        return able[0].name if able and able[0].ready else None


def _primary_tag(language: str) -> str:
    return language.replace("_", "-").split("-")[0].lower()


class ServerVoice:
    """Speaks on a session; at most one message at a time is heard."""

    def __init__(self, session: Session, offer: VoiceOffer) -> None:
        self._session = session
        self.offer = offer
        self._cache = SoundCache(CACHE_BYTES)
        self._refused: set[str] = set()  # voices that the server lists and cannot load

    async def speak(
        self, text: SpokenText, settings: VoiceSettings
    ) -> AsyncGenerator[SpeechPart, None]:
        """Yield the speech as it is rendered. Leaving it cancels.

        Raises `ClientError` if the server refuses, is lost, or sends no sound in time.
        """
        key = self._cache_key(text, settings)
        if key is not None and (pcm := self._cache.get(key)) is not None:
            yield pcm
            return
        spoken: list[bytes] = []
        async with aclosing(self._render_with_some_voice(text, settings)) as parts:
            async for part in parts:
                if isinstance(part, bytes):
                    spoken.append(part)
                yield part
        if key is not None:
            self._cache.put(key, b"".join(spoken))

    async def prepare(self, texts: Iterable[SpokenText], settings: VoiceSettings) -> None:
        """Render texts ahead, after all that is spoken. Ends silently at the first error."""
        with suppress(ClientError):
            for text in texts:
                key = self._cache_key(text, settings)
                if key is None or self._cache.get(key) is not None:
                    continue
                parts = [part async for part in self._render(text, settings, "background")]
                self._cache.put(key, b"".join(part for part in parts if isinstance(part, bytes)))

    async def _render_with_some_voice(
        self, text: SpokenText, settings: VoiceSettings
    ) -> AsyncGenerator[SpeechPart, None]:
        """Render, with the default voice if the server refuses the one that was chosen."""
        voice = self._voice_name(settings)
        try:
            async with aclosing(self._render(text, settings, "interactive")) as parts:
                async for part in parts:
                    yield part
            return
        except SpeechFailed as error:
            if voice == self.offer.default or error.code not in _VOICE_REFUSALS:
                raise
        self._refused.add(voice)
        async with aclosing(self._render(text, settings, "interactive")) as parts:
            async for part in parts:
                yield part

    def _cache_key(self, text: SpokenText, settings: VoiceSettings) -> object | None:
        """What the sound depends on; None if it is not kept. Volume and pitch are applied later."""
        if text.marks or text.ssml or len(text.text) > _CACHED_LENGTH:
            return None
        return text.text, settings.speed, self._voice_name(settings)

    def _voice_name(self, settings: VoiceSettings) -> str:
        chosen = self.offer.choose(settings)
        return self.offer.default if chosen is None or chosen in self._refused else chosen

    async def _render(
        self,
        text: SpokenText,
        settings: VoiceSettings,
        priority: Literal["interactive", "background"],
    ) -> AsyncGenerator[SpeechPart, None]:
        parameters: Parameters = {
            "voice": self._voice_name(settings),
            "speed": settings.speed,
            "format": "pcm_s16le",
            "sample_rate": RATE_HZ,
            "priority": priority,
        }
        if text.ssml:
            parameters["ssml"] = True
        context = await self._session.start(**parameters)
        writing = asyncio.create_task(_send_text(context, text.text), name="text")
        try:
            marked = MarkedAudio(text.marks, RATE_HZ)
            async for audio in _receive_audio(context):
                for part in marked.add_audio(audio):
                    yield part
            for mark in marked.finish():
                yield mark
        finally:
            writing.cancel()
            if not context.over:
                with suppress(ClientError):
                    context.cancel_now()


async def _send_text(context: Context, text: str) -> None:
    with suppress(ClientError):  # the context's iteration raises it
        await context.push(text)
        await context.end()


async def _receive_audio(context: Context) -> AsyncGenerator[Audio, None]:
    """Yield the audio of a context. Raises `ClientError`, also if none comes in time."""
    try:
        async with asyncio.timeout(FIRST_SOUND_TIMEOUT_S) as limit:
            async for event in context:
                if isinstance(event, Audio):
                    limit.reschedule(None)
                    yield event
                elif isinstance(event, Error):
                    raise SpeechFailed(event.message, [event])
    except TimeoutError:
        message = f"the server sends no sound within {FIRST_SOUND_TIMEOUT_S:g} s"
        raise SpeechFailed(message) from None
