"""The Chatterbox model: upstream's weights on a device, its voices and parameters."""

from __future__ import annotations

import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Device, EngineInfo, EngineMemory, Utterance
from backend.engines.chatterbox.device.background import use_priority_stream
from backend.engines.chatterbox.device.device_loss import detect_device_loss
from backend.engines.chatterbox.device.memory import (
    GraphPools,
    describe_device,
    explain_out_of_memory,
    measure_free,
    slot_bytes,
    slots_for_device,
)
from backend.engines.chatterbox.device.weight_residency import WeightResidency
from backend.engines.chatterbox.engine import ChatterboxEngine, EngineParts
from backend.engines.chatterbox.renderer import Renderer
from backend.engines.chatterbox.sound.flow import Flow
from backend.engines.chatterbox.sound.vocoder import SAMPLE_RATE_HZ, HiftVocoder
from backend.engines.chatterbox.sound.watermark import Watermark
from backend.engines.chatterbox.speech_tokens.decoder import SpeechTokenDecoder
from backend.engines.chatterbox.speech_tokens.sampling import Sampling
from backend.engines.chatterbox.text.text_tokens import TextTokens
from backend.engines.chatterbox.upstream import load_upstream
from backend.engines.chatterbox.utterance import ChatterboxParams
from backend.engines.chatterbox.variants import variant_of
from backend.engines.chatterbox.voices.recording import (
    compute_conditioning,
    conditioning_of,
    read_recording,
)
from backend.engines.chatterbox.voices.voice import Conditioning, VoiceCache
from backend.engines.chatterbox.voices.voice_folder import (
    VoiceFolder,
    check_name,
    pack_voice,
    unpack_voice,
)
from backend.errors import UnknownVoice, Unsupported
from backend.events import Voice
from backend.text.markup.brackets import SOUNDS

log = structlog.get_logger(__name__)

BUILT_IN = "default"
_POSITIONS = 1536  # per row: conditioning (35 or 376), 300 characters of text, 40 s of speech
_STEP_LIMIT_S = 120.0  # a step may capture a graph; on a CPU some take a minute


class ChatterboxModel:
    """See `base.CloningModel`. `upstream`: from `load_upstream`; `voices`: the folder of the
    learned voices. Raises `ConfigError` if the card has no room for an utterance.

    Create one engine only: its KV cache and CUDA graphs belong to one thread.
    """

    def __init__(self, upstream: Any, settings: ChatterboxSettings, voices: Path) -> None:
        self._upstream = upstream
        self._settings = settings
        self._folder = VoiceFolder(voices)
        variant = variant_of(upstream.t3)
        device = torch.device(upstream.device)
        self._weights = WeightResidency((upstream.t3, upstream.s3gen, upstream.ve))
        self._pools = GraphPools(self._weights.device)
        self._slot_bytes = slot_bytes(upstream.t3, _POSITIONS)
        self._slots = slots_for_device(device, settings.slots, self._slot_bytes)
        self._decoder: weakref.ref[SpeechTokenDecoder] | None = None  # of the engine there is
        self.info = EngineInfo(
            variant.engine,
            SAMPLE_RATE_HZ,
            variant.languages,
            incremental=settings.text_extension,
            max_batch=4 * self._slots,
            parameters=variant.parameters,
            clones=True,
            step_limit_s=_STEP_LIMIT_S,
            sounds=tuple(SOUNDS) if variant.turbo else (),
            missing_languages=getattr(upstream.tokenizer, "missing_languages", {}),
        )
        self._built_in: dict[str, Conditioning] = {}
        if upstream.conds is not None:
            self._built_in[BUILT_IN] = conditioning_of(upstream.conds)
        self._learned = dict(self._folder.load_voices())
        self._set_default_voice()

    @classmethod
    def load(cls, folder: Path, settings: ChatterboxSettings, voices: Path) -> ChatterboxModel:
        """Load the weights in `folder`, named after its engine. Blocks (seconds). Raises
        `ConfigError` if the card is too full.
        """
        with explain_out_of_memory():
            upstream = load_upstream(folder, settings.device, meanflow=settings.meanflow)
            return cls(upstream, settings, voices)

    @property
    def device(self) -> Device | None:
        """See `base.Model`."""
        return describe_device(torch.device(self._upstream.device))

    def measure_memory(self) -> EngineMemory:
        """See `base.MeasuredModel`."""
        decoder = self._decoder() if self._decoder else None
        slots_bytes = self._slots * self._slot_bytes if decoder else 0
        slots_used = self._slots - decoder.free_slots if decoder else 0
        return EngineMemory(
            self._weights.device_bytes,
            slots_bytes,
            self._pools.measure(),
            measure_free(self._weights.device),
            slots_used,
            self._slots,
        )

    # --- voices -----------------------------------------------------------------------------------

    def voices(self) -> tuple[Voice, ...]:
        """See `base.Model`."""
        names = (*self._built_in, *list(self._learned))
        return tuple(map(self._describe_voice, names))

    def _describe_voice(self, name: str) -> Voice:
        learned = name not in self._built_in
        own, *others = self.info.languages
        speaks = tuple(each for each in others if each not in self.info.missing_languages)
        description = "learned" if learned else "built in"
        return Voice(name, own, description, True, learned=learned, other_languages=speaks)

    def is_whole_word(self, word: str) -> bool:
        """See `Model.is_whole_word`: always False, it has no lexicon."""
        return False

    def load_voice(self, name: str) -> None:
        """See `base.Model`. All voices are loaded already."""
        self.conditioning(name)

    def learn(self, name: str, audio: Path) -> Voice:
        """See `base.CloningModel`. Replaces a learned voice of this name for later utterances.
        Raises `BadMessage` (invalid name; unreadable, too short, too long or silent recording),
        `Unsupported` (name of a built-in voice), `EngineDead`.
        """
        self._reject_built_in(check_name(name))
        device = torch.device(self._upstream.device)
        with detect_device_loss(device), self._weights.on_device():
            voice = compute_conditioning(self._upstream, read_recording(audio))
        made = datetime.now(UTC).isoformat(timespec="seconds")
        self._folder.save_voice(name, voice, {"name": name, "engine": self.info.name, "made": made})
        self._learned[name] = voice
        self._set_default_voice()
        return self._describe_voice(name)

    def forget(self, name: str) -> None:
        """See `base.CloningModel`."""
        self._reject_built_in(name)
        if name not in self._learned:
            raise self._unknown_voice(name)
        del self._learned[name]
        self._folder.delete_voice(name)
        self._set_default_voice()

    def export_voice(self, name: str) -> bytes:
        """See `base.SharingModel`."""
        if name not in self._learned:
            raise self._unknown_voice(name)
        return pack_voice(self._learned[name])

    def import_voice(self, name: str, exported: bytes) -> None:
        """See `base.SharingModel`."""
        self._reject_built_in(check_name(name))
        self._learned[name] = unpack_voice(exported)
        self._set_default_voice()

    def _set_default_voice(self) -> None:
        """The built-in voice, or else the first learned one."""
        self.default_voice: str = next(iter({**self._built_in, **self._learned}), BUILT_IN)

    def _reject_built_in(self, name: str) -> None:
        if name in self._built_in:
            raise Unsupported(f"voice {name!r} is built in and cannot be changed; use another name")

    def _unknown_voice(self, name: str) -> UnknownVoice:
        known = ", ".join(voice.name for voice in self.voices())
        known = known or "none; create one with duplex-tts voices add"
        return UnknownVoice(f"no voice {name[:40]!r}; voices: {known}")

    # --- for the engine ---------------------------------------------------------------------------

    def conditioning(self, name: str) -> Conditioning:
        """The voice's conditioning. Raises `UnknownVoice`."""
        voice = self._learned.get(name) or self._built_in.get(name)
        if voice is None:
            raise self._unknown_voice(name)
        return voice

    def params_for(self, utterance: Utterance) -> ChatterboxParams:
        """The utterance's parameters, with the model's defaults."""
        values = {name: parameter.default for name, parameter in self.info.parameters.items()}
        values |= utterance.parameters
        exaggeration = values.pop("exaggeration", 0.0)
        return ChatterboxParams(exaggeration, Sampling(**values))

    def create_engine(self) -> ChatterboxEngine:
        """See `base.Model`. Raises `ConfigError` if the card has been filled meanwhile,
        `EngineDead`. Blocks (seconds) on CUDA.
        """
        with explain_out_of_memory(), detect_device_loss(torch.device(self._upstream.device)):
            use_priority_stream(self._weights.device)
            engine = ChatterboxEngine(self.info, self._create_parts(), self)
            engine.warm_up({**self._built_in, **self._learned}.get(self.default_voice))
        return engine

    def release(self) -> None:
        """See `base.UnloadableModel`."""
        with detect_device_loss(torch.device(self._upstream.device)):
            # The dropped engine's vocoder put itself in there: its graphs would stay.
            self._upstream.s3gen.mel2wav.__dict__.pop("_istft", None)
            self._weights.release()

    def restore(self) -> None:
        """See `base.UnloadableModel`."""
        device = torch.device(self._upstream.device)
        with explain_out_of_memory(), detect_device_loss(device):
            self._weights.restore()

    def _create_parts(self) -> EngineParts:
        upstream, settings = self._upstream, self._settings
        flow = Flow(upstream.s3gen, block_causal=settings.block_causal)
        decoder = SpeechTokenDecoder(upstream.t3, self._slots, _POSITIONS)
        self._decoder = weakref.ref(decoder)
        return EngineParts(
            decoder,
            Renderer(
                flow,
                HiftVocoder(upstream.s3gen.mel2wav),
                turbo=bool(upstream.s3gen.meanflow),
                bounded=settings.bounded_prompt and not settings.block_causal,
            ),
            TextTokens(upstream.tokenizer, upstream.t3),
            VoiceCache(upstream.t3, decoder, flow),
            Watermark(flow.device) if settings.watermark else None,
        )
