"""The engine: many utterances on one card, a few tokens and one render at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
import torch

from backend.engines.base import Chunk, EngineInfo, Failure, Release, Utterance
from backend.engines.chatterbox.decoder import SpeechTokenDecoder
from backend.engines.chatterbox.passage import Passage, Renderer, Sound
from backend.engines.chatterbox.speech import Manner, Speech
from backend.engines.chatterbox.text import TextTokens
from backend.engines.chatterbox.vocoder import SAMPLE_RATE_HZ
from backend.engines.chatterbox.voice import Conditioning, VoiceShelf
from backend.engines.chatterbox.watermark import Watermark
from backend.errors import EngineFailed

log = structlog.get_logger(__name__)

_BURST = 4  # tokens a step: more urgent speech waits no longer than for these and one render
_TOGETHER = 16  # passages in one render

Result = Chunk | Failure


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of, all on one device."""

    decoder: SpeechTokenDecoder
    renderer: Renderer
    tokens: TextTokens
    voices: VoiceShelf
    watermark: Watermark | None


class Catalogue(Protocol):
    """What the engine asks the model."""

    def conditioning(self, name: str) -> Conditioning:
        """The voice. Raises `UnknownVoice`, `VoiceUnavailable`."""

    def manner(self, utterance: Utterance) -> Manner:
        """How the utterance is spoken."""


class ChatterboxEngine:
    """See `base.Engine`."""

    def __init__(self, info: EngineInfo, parts: Parts, catalogue: Catalogue) -> None:
        self.info = info
        self._parts = parts
        self._catalogue = catalogue
        self._speeches: dict[str, Speech] = {}
        self._together = _TOGETHER
        self._clock = time.monotonic

    def begin(self, utterance: Utterance) -> None:
        """See `base.Engine`."""
        voice = self._catalogue.conditioning(utterance.voice)
        manner = self._catalogue.manner(utterance)
        self._speeches[utterance.id] = Speech(
            utterance, voice, manner, self._clock, grows=self.info.incremental
        )

    def extend(self, utterance_id: str, release: Release) -> None:
        """See `base.Engine`."""
        self._speeches[utterance_id].extend(release, self._parts.renderer.flow.device)

    def abort(self, utterance_id: str) -> None:
        """See `base.Engine`. Its place in the decoder is free at once."""
        speech = self._speeches.pop(utterance_id, None)
        if speech is not None and speech.passage is not None:
            self._parts.decoder.leave(speech.passage.session)

    def step(self, urgent: Sequence[str]) -> list[Result]:
        """See `base.Engine`. Who has no result here goes on in the next step."""
        speeches = [self._speeches[each] for each in urgent if each in self._speeches]
        results: list[Result] = []
        for speech in speeches:
            if (chunk := speech.silent()) is not None:
                results.append(chunk)
            elif (failure := self._join(speech)) is not None:
                results.append(failure)
        answered = {result.utterance_id for result in results}
        rest = [speech for speech in speeches if speech.id not in answered]
        try:
            self._decode([speech.passage for speech in rest if speech.passage is not None])
        except torch.OutOfMemoryError as error:  # who can wait longest makes room
            return [*results, self._failed(rest[-1], error)]
        return [*results, *self._render(rest)]

    # --- tokens -----------------------------------------------------------------------------------

    def _join(self, speech: Speech) -> Failure | None:
        """Bring the passage at hand into the decoder, or its text when that has grown."""
        passage, decoder = speech.passage, self._parts.decoder
        assert passage is not None
        inside = passage.session.slot >= 0
        if not passage.unread and (inside or passage.session.ended):
            return None
        if not (inside or self._has_room()):
            return None
        try:
            prefix = self._parts.voices.prefix(speech.voice, speech.manner.exaggeration)
            decoder.join(passage.session, prefix, self._parts.tokens(passage.text))
            passage.prepare(self._parts.renderer)
        except (torch.OutOfMemoryError, ValueError) as error:
            return self._failed(speech, error)
        return None

    def _has_room(self) -> bool:
        """Whether a passage may come in. One that waits for text makes room; it is read again, from
        the start, when it goes on.
        """
        decoder = self._parts.decoder
        for speech in self._speeches.values():
            if not decoder.free and speech.passage is not None and speech.passage.waiting:
                decoder.leave(speech.passage.session)
        return decoder.free > 0

    def _decode(self, passages: Sequence[Passage]) -> None:
        """Some tokens for everybody who is in and has not paused; all advance together."""
        decoder = self._parts.decoder
        for _ in range(_BURST):
            speaking = [each for each in passages if each.prepared and not each.paused]
            decoder.advance([passage.session for passage in speaking])
            for passage in speaking:
                if passage.runaway and not passage.session.ended:
                    log.info("passage.runaway", characters=len(passage.text))
                    passage.session.ended, passage.open = True, False
                if passage.over:
                    decoder.leave(passage.session)

    # --- sound ------------------------------------------------------------------------------------

    def _render(self, speeches: Iterable[Speech]) -> list[Result]:
        """The next chunk of the most urgent passage, and of those that are about as long."""
        renderer, voices = self._parts.renderer, self._parts.voices
        work = [
            (speech, passage, passage.job(renderer, voices.prompt(speech.voice)))
            for speech in speeches
            if (passage := speech.passage) is not None
            and passage.prepared
            and passage.ready(hurry=speech.hurry)
        ]
        alike = [each for each in work if each[2].padded == work[0][2].padded][: self._together]
        if not alike:
            return []
        try:
            sounds = renderer.sounds([(passage, job) for _, passage, job in alike])
        except torch.OutOfMemoryError as error:
            if len(alike) == 1:
                return [self._failed(alike[0][0], error)]
            self._together = len(alike) // 2  # the card does not hold more: from now on
            return []
        pairs = zip(alike, sounds, strict=True)
        return [self._chunk(speech, sound) for (speech, *_), sound in pairs]

    def _chunk(self, speech: Speech, sound: Sound) -> Chunk:
        pcm = sound.samples.cpu().numpy()
        if self._parts.watermark is not None:
            pcm = self._parts.watermark.apply(pcm, SAMPLE_RATE_HZ)
        return speech.chunk(sound, pcm)

    def _failed(self, speech: Speech, error: Exception) -> Failure:
        """Give the utterance up; the others go on."""
        log.warning("utterance.failed", why=str(error).splitlines()[0])
        self.abort(speech.id)
        if isinstance(error, torch.OutOfMemoryError):
            torch.cuda.empty_cache()
            return Failure(speech.id, EngineFailed("the card has no memory left for this"))
        return Failure(speech.id, EngineFailed(str(error)))
