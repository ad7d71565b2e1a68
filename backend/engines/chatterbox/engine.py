"""The engine: advances many utterances, a few tokens and one batched render per step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol

import numpy as np
import structlog
import torch
from torch import Tensor

from backend.engines.base import Chunk, EngineInfo, Failure, Pcm, Release, Utterance
from backend.engines.chatterbox.device.device_loss import detect_device_loss
from backend.engines.chatterbox.device.graphs import BATCH_SIZES
from backend.engines.chatterbox.device.memory import compute_or_none
from backend.engines.chatterbox.device.render_times import RenderTimes
from backend.engines.chatterbox.passage import FIRST_TOKENS, Passage, RenderedSound
from backend.engines.chatterbox.renderer import Renderer
from backend.engines.chatterbox.sound.flow import LOOKAHEAD_TOKENS, RenderJob
from backend.engines.chatterbox.sound.watermark import Watermark
from backend.engines.chatterbox.speech_tokens.decoder import BURST, SpeechTokenDecoder
from backend.engines.chatterbox.text.text_tokens import TextTokens
from backend.engines.chatterbox.utterance import ChatterboxParams, ChatterboxUtterance
from backend.engines.chatterbox.voices.voice import Conditioning, VoiceCache
from backend.errors import EngineFailed

log = structlog.get_logger(__name__)

_JOINS_PER_STEP = 4  # each costs as much as a few tokens of all sessions
_USUAL_EXAGGERATION = 0.5
_ENOUGH_S = 0.5  # to play: until then others' first sounds come first
_FIRST_BURSTS = -(-(FIRST_TOKENS + LOOKAHEAD_TOKENS) // BURST)  # of tokens, for a first chunk
_LEAST_SHARE = 0.7  # of the longest render's length: shorter ones are rendered apart

_OUT_OF_MEMORY = (
    "the GPU has no memory left for this utterance; try again or lower chatterbox.slots"
)

Result = Chunk | Failure
_Ready = tuple[ChatterboxUtterance, Passage]


@dataclass(frozen=True, slots=True)
class EngineParts:
    """The components of an engine, all on one device."""

    decoder: SpeechTokenDecoder
    renderer: Renderer
    tokens: TextTokens
    voices: VoiceCache
    watermark: Watermark | None


class VoiceCatalogue(Protocol):
    """What the engine needs from the model."""

    def conditioning(self, name: str) -> Conditioning:
        """The voice. Raises `UnknownVoice`, `VoiceUnavailable`."""

    def params_for(self, utterance: Utterance) -> ChatterboxParams:
        """The utterance's parameters, with the model's defaults."""


class ChatterboxEngine:
    """See `base.Engine`."""

    def __init__(self, info: EngineInfo, parts: EngineParts, catalogue: VoiceCatalogue) -> None:
        self.info = info
        self._parts = parts
        self._catalogue = catalogue
        self._device = parts.renderer.flow.device
        self._utterances: dict[str, ChatterboxUtterance] = {}
        self._batch_limit = BATCH_SIZES[-1]  # passages per render
        self._render_times = RenderTimes()
        self._clock = time.monotonic

    def warm_up(self, voice: Conditioning | None) -> None:
        """Capture decoding steps and renders of a voice like this before any client waits for them.
        Blocks (seconds) on CUDA.
        """
        parts, started_s = self._parts, self._clock()
        prefix = None if voice is None else parts.voices.prefix(voice, _USUAL_EXAGGERATION)
        parts.decoder.warm_up(prefix)
        if voice is not None:
            prompt = parts.voices.sound_prompt(voice)
            slots = parts.decoder.free_slots
            self._batch_limit = next((n for n in BATCH_SIZES if n >= slots), BATCH_SIZES[-1])
            # Largest first: the memory pools hardly grow afterwards.
            for fewer, rows in reversed([*pairwise([0, *BATCH_SIZES])]):
                warm = partial(parts.renderer.warm_up, prompt, rows)
                if fewer < slots and not compute_or_none(warm):
                    self._batch_limit = max(1, fewer)
            self._render_times = parts.renderer.measure_times(prompt, self._batch_limit)
        if parts.renderer.flow.graphs.warm_ups:
            log.info("engine.warm", seconds=round(self._clock() - started_s, 1))

    def begin(self, utterance: Utterance) -> None:
        """See `base.Engine`."""
        voice = self._catalogue.conditioning(utterance.voice)
        params = self._catalogue.params_for(utterance)
        self._utterances[utterance.id] = ChatterboxUtterance(
            utterance, voice, params, self._clock, grows=self.info.incremental
        )

    def extend(self, utterance_id: str, release: Release) -> None:
        """See `base.Engine`."""
        with detect_device_loss(self._device):
            self._utterances[utterance_id].extend(release, self._device)

    def abort(self, utterance_id: str) -> None:
        """See `base.Engine`. Its decoder slot is free on return."""
        utterance = self._utterances.pop(utterance_id, None)
        if utterance is not None and utterance.passage is not None:
            with detect_device_loss(self._device):
                self._parts.decoder.leave(utterance.passage.session)

    def step(self, urgent: Sequence[str]) -> list[Result]:
        """See `base.Engine`. Utterances without a result continue in the next step."""
        with detect_device_loss(self._device):
            return self._step(urgent)

    def _step(self, urgent: Sequence[str]) -> list[Result]:
        utterances = [self._utterances[id_] for id_ in urgent if id_ in self._utterances]
        results: list[Result] = []
        joins = _JOINS_PER_STEP
        for utterance in utterances:
            if (chunk := utterance.take_silent_chunk()) is not None:
                results.append(chunk)
            elif joins and self._should_join(utterance):
                joins -= 1
                if (failure := self._join(utterance)) is not None:
                    results.append(failure)
        answered = {result.utterance_id for result in results}
        rest = [utterance for utterance in utterances if utterance.id not in answered]
        if not compute_or_none(lambda: self._decode(rest)):
            decoding = [each for each in rest if each.passage and each.passage.session.slot >= 0]
            least_urgent = decoding[-1:]
            return [*results, *(self._fail(each, _OUT_OF_MEMORY) for each in least_urgent)]
        return [*results, *self._render(rest)]

    # --- tokens -----------------------------------------------------------------------------------

    def _should_join(self, utterance: ChatterboxUtterance) -> bool:
        """Whether to join the current passage, or its extended text, to the decoder. May evict a
        waiting passage to free a slot.
        """
        passage = utterance.passage
        assert passage is not None
        inside = passage.session.slot >= 0
        due = passage.unread or not (inside or passage.session.ended)
        return due and (inside or self._make_room())

    def _join(self, utterance: ChatterboxUtterance) -> Failure | None:
        try:
            joined = compute_or_none(lambda: self._join_decoder(utterance))
        except ValueError as error:
            return self._fail(utterance, str(error))
        return None if joined else self._fail(utterance, _OUT_OF_MEMORY)

    def _join_decoder(self, utterance: ChatterboxUtterance) -> bool:
        passage, parts = utterance.passage, self._parts
        assert passage is not None
        prefix = parts.voices.prefix(utterance.voice, utterance.params.exaggeration)
        text = parts.tokens(passage.text, utterance.language)
        parts.decoder.join(passage.session, prefix, text.tokens)
        passage.prepare(parts.renderer, text.ends)
        return True

    def _make_room(self) -> bool:
        """Whether a slot is free, after evicting passages that wait for text if necessary; those
        are prefilled again when they continue.
        """
        decoder = self._parts.decoder
        for utterance in self._utterances.values():
            passage = utterance.passage
            if not decoder.free_slots and passage is not None and passage.waiting:
                decoder.leave(passage.session)
        return decoder.free_slots > 0

    def _decode(self, named: Sequence[ChatterboxUtterance]) -> bool:
        """Draw some tokens for every session that is not paused, including utterances not in
        `named`: they hold slots that others wait for. As many as a first sound needs, if one is
        waited for: the render that follows takes longer than they do.
        """
        others = [other for other in self._utterances.values() if other not in named]
        utterances = [each for each in (*named, *others) if each.passage]
        for _ in range(_FIRST_BURSTS):
            self._draw_burst([each.passage for each in utterances if each.passage])
            if not any(map(_needs_tokens, utterances)):
                break
        return True

    def _draw_burst(self, passages: Sequence[Passage]) -> None:
        decoder = self._parts.decoder
        active = [passage for passage in passages if not (passage.unread or passage.paused)]
        counts = [passage.draw_limit(BURST) for passage in active]
        decoder.advance([passage.session for passage in active], counts)
        for passage in active:
            if passage.is_runaway and not passage.session.ended:
                log.info("passage.runaway", characters=len(passage.text))
                passage.cut_off()
            if passage.has_all_tokens:
                decoder.leave(passage.session)

    # --- sound ------------------------------------------------------------------------------------

    def _render(self, utterances: Sequence[ChatterboxUtterance]) -> list[Result]:
        """Render the next chunk of the most urgent passage, and with it those of others."""
        batch = self._choose_batch(self._find_ready(utterances))
        if not batch:
            return []
        work = compute_or_none(lambda: self._create_jobs(batch))
        if work is None:
            return [self._fail(batch[-1][0], _OUT_OF_MEMORY)]
        sounds = compute_or_none(lambda: self._parts.renderer.render_next(work))
        if sounds is None:
            if len(batch) == 1:
                return [self._fail(batch[0][0], _OUT_OF_MEMORY)]
            self._batch_limit = len(batch) // 2  # for good: the card holds no more
            return []
        return [
            self._fail(utterance, _OUT_OF_MEMORY)
            if pcm is None
            else utterance.create_chunk(sound, pcm)
            for (utterance, _), sound, pcm in zip(
                batch, sounds, self._mark_sounds(sounds), strict=True
            )
        ]

    def _find_ready(self, utterances: Sequence[ChatterboxUtterance]) -> list[_Ready]:
        """Utterances whose next chunk can be rendered, most urgent first. While one waits for its
        first sound, those that have enough to play wait.
        """
        first_sound_due = any(each.passage and each.awaits_first_sound for each in utterances)
        return [
            (utterance, passage)
            for utterance in utterances
            if (passage := utterance.passage) is not None
            and passage.prepared
            and not (first_sound_due and utterance.in_hand_s > _ENOUGH_S)
            and passage.is_ready(hurry=utterance.running_dry)
        ]

    def _choose_batch(self, ready: Sequence[_Ready]) -> Sequence[_Ready]:
        """The most urgent, and others that make its render hardly longer: not longer than it, nor
        so short that padding them would cost more than another render.
        """
        if not ready:
            return []
        renderer, voices = self._parts.renderer, self._parts.voices
        lengths = [
            passage.next_length(renderer, voices.sound_prompt(utterance.voice))
            for utterance, passage in ready
        ]
        batch = [
            entry
            for entry, length in zip(ready, lengths, strict=True)
            if _LEAST_SHARE * lengths[0] <= length <= lengths[0]
        ]
        return batch[: min(self._batch_limit, self._render_times.most_rows(lengths[0]))]

    def _create_jobs(self, batch: Sequence[_Ready]) -> list[tuple[Passage, RenderJob]]:
        renderer, voices = self._parts.renderer, self._parts.voices
        return [
            (passage, passage.create_job(renderer, voices.sound_prompt(utterance.voice)))
            for utterance, passage in batch
        ]

    def _mark_sounds(self, sounds: Sequence[RenderedSound]) -> Sequence[Pcm | None]:
        """The samples of each, watermarked if configured; None where memory ran out."""
        samples: list[Tensor | None] = [sound.samples for sound in sounds]
        if self._parts.watermark is not None:
            samples = self._parts.watermark.apply([sound.samples for sound in sounds])
        # One copy from the device for all: each waits for it.
        marked = [each for each in samples if each is not None]
        together = torch.cat(marked).cpu().numpy() if marked else np.zeros(0, np.float32)
        ends = np.cumsum([0 if each is None else len(each) for each in samples])
        parts = np.split(together, ends[:-1])
        return [None if each is None else part for each, part in zip(samples, parts, strict=True)]

    def _fail(self, utterance: ChatterboxUtterance, why: str) -> Failure:
        """Abort the utterance; the others continue."""
        log.warning("utterance.failed", why=why)
        self.abort(utterance.id)
        return Failure(utterance.id, EngineFailed(why))


def _needs_tokens(utterance: ChatterboxUtterance) -> bool:
    """Whether its first sound waits for tokens that are being drawn."""
    passage = utterance.passage
    if passage is None or not utterance.awaits_first_sound or passage.session.slot < 0:
        return False
    return not (passage.unread or passage.paused or passage.is_ready(hurry=False))
