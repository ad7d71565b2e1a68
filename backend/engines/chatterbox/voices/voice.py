"""A voice's conditioning, and an engine's cache of what is computed from it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from backend.engines.chatterbox.sound.flow import Flow, SoundPrompt
from backend.engines.chatterbox.speech_tokens.decoder import Prefix, SpeechTokenDecoder

K = TypeVar("K")
T = TypeVar("T")

_MAX_CACHED = 32  # per kind; least recently used dropped. A Turbo prefix takes 37 MB on CUDA


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What upstream computes from a reference recording, on the CPU.

    `speaker`: (1, 256); `prompt_tokens`: (1, n) speech tokens; `sound`: from `S3Gen.embed_ref`.
    """

    speaker: Tensor
    prompt_tokens: Tensor
    sound: dict[str, Tensor]


class VoiceCache:
    """One engine's voices on its device: prompts and prefixes, computed once each."""

    def __init__(self, t3: Any, decoder: SpeechTokenDecoder, flow: Flow) -> None:
        self._t3 = t3
        self._decoder = decoder
        self._flow = flow
        self._prompts: OrderedDict[int, tuple[Conditioning, SoundPrompt]] = OrderedDict()
        self._prefixes: OrderedDict[tuple[int, float], tuple[Conditioning, Prefix]] = OrderedDict()

    def sound_prompt(self, voice: Conditioning) -> SoundPrompt:
        """The voice's prompt for the flow."""
        key = id(voice)  # the entry keeps the voice alive, so the id stays unique
        if key not in self._prompts:
            self._prompts[key] = voice, self._flow.create_prompt(voice.sound)
        return _get_recent(self._prompts, key)

    def prefix(self, voice: Conditioning, exaggeration: float) -> Prefix:
        """The voice's prefix for the decoder; `exaggeration`: emotion, 0 to 1 and beyond."""
        key = id(voice), exaggeration
        if key not in self._prefixes:
            self._prefixes[key] = (
                voice,
                self._decoder.compute_prefix(self._embed(voice, exaggeration)),
            )
        return _get_recent(self._prefixes, key)

    @torch.inference_mode()
    def _embed(self, voice: Conditioning, exaggeration: float) -> Tensor:
        from chatterbox.models.t3.modules.cond_enc import T3Cond

        device = self._flow.device
        conditioning = T3Cond(
            speaker_emb=voice.speaker.to(device),
            cond_prompt_speech_tokens=voice.prompt_tokens.to(device),
            emotion_adv=torch.full((1, 1, 1), exaggeration, device=device),
        )
        dtype = self._t3.speech_head.weight.dtype
        conditioning.to(dtype=dtype)
        embedded: Tensor = self._t3.prepare_conditioning(conditioning)
        return embedded


def _get_recent(kept: OrderedDict[K, tuple[Conditioning, T]], key: K) -> T:
    kept.move_to_end(key)
    if len(kept) > _MAX_CACHED:
        kept.popitem(last=False)
    return kept[key][1]
