"""The engine: many utterances on one card, a few tokens and one render at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol

import structlog

from backend.engines.base import Chunk, EngineInfo, Failure, Pcm, Release, Utterance
from backend.engines.chatterbox.decoder import SpeechTokenDecoder
from backend.engines.chatterbox.device_loss import noticing_loss
from backend.engines.chatterbox.graphs import ROWS
from backend.engines.chatterbox.memory import fits
from backend.engines.chatterbox.passage import Renderer
from backend.engines.chatterbox.text import TextTokens
from backend.engines.chatterbox.utterance import ChatterboxParams, ChatterboxUtterance
from backend.engines.chatterbox.vocoder import SAMPLE_RATE_HZ
from backend.engines.chatterbox.voice import Conditioning, VoiceCache
from backend.engines.chatterbox.watermark import Watermark
from backend.errors import EngineFailed

log = structlog.get_logger(__name__)

_BURST = 4  # tokens a step: more urgent speech waits no longer than for these and one render
_JOINS = 4  # a step: each costs as much as some tokens of all who speak

_FULL = "the card has no memory left for this"

Result = Chunk | Failure


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of, all on one device."""

    decoder: SpeechTokenDecoder
    renderer: Renderer
    tokens: TextTokens
    voices: VoiceCache
    watermark: Watermark | None


class Catalogue(Protocol):
    """What the engine asks the model."""

    def conditioning(self, name: str) -> Conditioning:
        """The voice. Raises `UnknownVoice`, `VoiceUnavailable`."""

    def manner(self, utterance: Utterance) -> ChatterboxParams:
        """How the utterance is spoken."""


class ChatterboxEngine:
    """See `base.Engine`."""

    def __init__(self, info: EngineInfo, parts: Parts, catalogue: Catalogue) -> None:
        self.info = info
        self._parts = parts
        self._catalogue = catalogue
        self._device = parts.renderer.flow.device
        self._speeches: dict[str, ChatterboxUtterance] = {}
        self._together = ROWS[-1]  # passages in one render
        self._clock = time.monotonic

    def warm_up(self, voice: Conditioning | None) -> None:
        """Make ready what would else be made while somebody listens: steps, and renders of a voice
        like this. Blocks (seconds) on a card.
        """
        parts, started_s = self._parts, self._clock()
        parts.decoder.warm_up()
        if voice is not None:
            prompt = parts.voices.prompt(voice)
            for fewer, rows in reversed([*pairwise([0, *ROWS])]):  # then the pools hardly grow
                warm = partial(parts.renderer.warm_up, prompt, rows)
                if fewer < parts.decoder.free and not fits(warm):
                    self._together = max(1, fewer)
        if parts.renderer.flow.graphs.warm_ups:
            log.info("engine.warm", seconds=round(self._clock() - started_s, 1))

    def begin(self, utterance: Utterance) -> None:
        """See `base.Engine`."""
        voice = self._catalogue.conditioning(utterance.voice)
        manner = self._catalogue.manner(utterance)
        self._speeches[utterance.id] = ChatterboxUtterance(
            utterance, voice, manner, self._clock, grows=self.info.incremental
        )

    def extend(self, utterance_id: str, release: Release) -> None:
        """See `base.Engine`."""
        with noticing_loss(self._device):
            self._speeches[utterance_id].extend(release, self._device)

    def abort(self, utterance_id: str) -> None:
        """See `base.Engine`. Its place in the decoder is free at once."""
        speech = self._speeches.pop(utterance_id, None)
        if speech is not None and speech.passage is not None:
            with noticing_loss(self._device):
                self._parts.decoder.leave(speech.passage.session)

    def step(self, urgent: Sequence[str]) -> list[Result]:
        """See `base.Engine`. Who has no result here goes on in the next step."""
        with noticing_loss(self._device):
            return self._step(urgent)

    def _step(self, urgent: Sequence[str]) -> list[Result]:
        speeches = [self._speeches[each] for each in urgent if each in self._speeches]
        results: list[Result] = []
        joins = _JOINS
        for speech in speeches:
            if (chunk := speech.silent()) is not None:
                results.append(chunk)
            elif joins and self._comes_in(speech):
                joins -= 1
                if (failure := self._join(speech)) is not None:
                    results.append(failure)
        answered = {result.utterance_id for result in results}
        rest = [speech for speech in speeches if speech.id not in answered]
        if not fits(lambda: self._decode(rest)):
            inside = [each for each in rest if each.passage and each.passage.session.slot >= 0]
            # Who can wait longest makes room.
            return [*results, *(self._failed(each, _FULL) for each in inside[-1:])]
        return [*results, *self._render(rest)]

    # --- tokens -----------------------------------------------------------------------------------

    def _comes_in(self, speech: ChatterboxUtterance) -> bool:
        """Whether the passage at hand, or its text that has grown, is to go into the decoder, where
        there is room for it.
        """
        passage = speech.passage
        assert passage is not None
        inside = passage.session.slot >= 0
        due = passage.unread or not (inside or passage.session.ended)
        return due and (inside or self._has_room())

    def _join(self, speech: ChatterboxUtterance) -> Failure | None:
        try:
            return None if fits(lambda: self._read(speech)) else self._failed(speech, _FULL)
        except ValueError as error:
            return self._failed(speech, str(error))

    def _read(self, speech: ChatterboxUtterance) -> bool:
        passage, parts = speech.passage, self._parts
        assert passage is not None
        prefix = parts.voices.prefix(speech.voice, speech.manner.exaggeration)
        parts.decoder.join(passage.session, prefix, parts.tokens(passage.text))
        passage.prepare(parts.renderer)
        return True

    def _has_room(self) -> bool:
        """Whether a passage may come in. One that waits for text makes room; it is read again, from
        the start, when it goes on.
        """
        decoder = self._parts.decoder
        for speech in self._speeches.values():
            if not decoder.free and speech.passage is not None and speech.passage.waiting:
                decoder.leave(speech.passage.session)
        return decoder.free > 0

    def _decode(self, named: Sequence[ChatterboxUtterance]) -> bool:
        """Some tokens for everybody who is in and has not paused; all advance together, also those
        whose turn it is not: they have places that others wait for.
        """
        decoder = self._parts.decoder
        others = [each for each in self._speeches.values() if each not in named]
        passages = [each.passage for each in (*named, *others) if each.passage]
        for _ in range(_BURST):
            speaking = [each for each in passages if not (each.unread or each.paused)]
            decoder.advance([passage.session for passage in speaking])
            for passage in speaking:
                if passage.runaway and not passage.session.ended:
                    log.info("passage.runaway", characters=len(passage.text))
                    passage.session.ended, passage.open = True, False
                if passage.over:
                    decoder.leave(passage.session)
        return True

    # --- sound ------------------------------------------------------------------------------------

    def _render(self, speeches: Iterable[ChatterboxUtterance]) -> list[Result]:
        """The next chunk of the most urgent passage, and of those that are about as long."""
        renderer, voices = self._parts.renderer, self._parts.voices
        ready = [
            (speech, passage)
            for speech in speeches
            if (passage := speech.passage) is not None
            and passage.prepared
            and passage.ready(hurry=speech.hurry)
        ]
        work = fits(
            lambda: [
                (who, each, each.job(renderer, voices.prompt(who.voice))) for who, each in ready
            ]
        )
        if work is None:
            return [self._failed(ready[-1][0], _FULL)]
        alike = [each for each in work if each[2].padded == work[0][2].padded][: self._together]
        if not alike:
            return []
        sounds = fits(lambda: renderer.sounds([(passage, job) for _, passage, job in alike]))
        if sounds is None:
            if len(alike) == 1:
                return [self._failed(alike[0][0], _FULL)]
            self._together = len(alike) // 2  # the card does not hold more: from now on
            return []
        plain, watermark = [sound.samples.cpu().numpy() for sound in sounds], self._parts.watermark
        pcm: Sequence[Pcm | None] = watermark.apply(plain, SAMPLE_RATE_HZ) if watermark else plain
        return [
            self._failed(speech, _FULL) if samples is None else speech.chunk(sound, samples)
            for (speech, *_), sound, samples in zip(alike, sounds, pcm, strict=True)
        ]

    def _failed(self, speech: ChatterboxUtterance, why: str) -> Failure:
        """Give the utterance up; the others go on."""
        log.warning("utterance.failed", why=why)
        self.abort(speech.id)
        return Failure(speech.id, EngineFailed(why))
