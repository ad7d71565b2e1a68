"""The Chatterbox model: upstream's weights on a device, its voices and parameters."""

from __future__ import annotations

import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Device, EngineInfo, EngineMemory, Parameter, Utterance
from backend.engines.chatterbox.background import use_priority_stream
from backend.engines.chatterbox.decoder import SpeechTokenDecoder
from backend.engines.chatterbox.device_loss import detect_device_loss
from backend.engines.chatterbox.engine import ChatterboxEngine, EngineParts
from backend.engines.chatterbox.flow import Flow
from backend.engines.chatterbox.memory import (
    GraphPools,
    describe_device,
    explain_out_of_memory,
    measure_free,
    slot_bytes,
    slots_for_device,
)
from backend.engines.chatterbox.passage import Renderer
from backend.engines.chatterbox.recording import (
    compute_conditioning,
    conditioning_of,
    read_recording,
)
from backend.engines.chatterbox.sampling import Sampling
from backend.engines.chatterbox.text import TextTokens
from backend.engines.chatterbox.utterance import ChatterboxParams
from backend.engines.chatterbox.vocoder import SAMPLE_RATE_HZ, HiftVocoder
from backend.engines.chatterbox.voice import Conditioning, VoiceCache
from backend.engines.chatterbox.voice_folder import VoiceFolder, check_name
from backend.engines.chatterbox.watermark import Watermark
from backend.engines.chatterbox.weight_residency import WeightResidency
from backend.errors import UnknownVoice, Unsupported
from backend.events import Voice
from backend.text.markup.brackets import SOUNDS

log = structlog.get_logger(__name__)

BUILT_IN = "default"
_POSITIONS = 1536  # per row: conditioning (35 or 376), 300 characters of text, 40 s of speech
_STEP_LIMIT_S = 120.0  # a step may capture a graph; on a CPU some take a minute

_COMMON = {
    "temperature": Parameter(0.05, 5.0, 0.8),
    "repetition_penalty": Parameter(1.0, 2.0, 1.2),
}
# Upstream's defaults, and the ranges of its demo where it has one.
PARAMETERS = {
    "chatterbox": {
        "exaggeration": Parameter(0.25, 2.0, 0.5),
        "cfg_weight": Parameter(0.0, 1.0, 0.5),
        "top_p": Parameter(0.0, 1.0, 1.0),
        "min_p": Parameter(0.0, 1.0, 0.05),
        **_COMMON,
    },
    "chatterbox-turbo": {"top_p": Parameter(0.0, 1.0, 0.95), **_COMMON},
}


class ChatterboxModel:
    """See `base.CloningModel`. `upstream`: a loaded `ChatterboxTTS` or `ChatterboxTurboTTS`;
    `voices`: the folder of the learned voices. Raises `ConfigError` if the card has no room for an
    utterance.

    Create one engine only: its KV cache and CUDA graphs belong to one thread.
    """

    def __init__(self, upstream: Any, settings: ChatterboxSettings, voices: Path) -> None:
        self._upstream = upstream
        self._settings = settings
        self._folder = VoiceFolder(voices)
        turbo = bool(upstream.t3.is_gpt)
        device = torch.device(upstream.device)
        self._weights = WeightResidency((upstream.t3, upstream.s3gen, upstream.ve))
        self._pools = GraphPools(self._weights.device)
        self._slot_bytes = slot_bytes(upstream.t3, _POSITIONS)
        self._slots = slots_for_device(device, settings.slots, self._slot_bytes)
        self._decoder: weakref.ref[SpeechTokenDecoder] | None = None  # of the engine there is
        name = "chatterbox-turbo" if turbo else "chatterbox"
        self.info = EngineInfo(
            name,
            SAMPLE_RATE_HZ,
            ("en",),
            incremental=settings.text_extension,
            max_batch=4 * self._slots,
            parameters=PARAMETERS[name],
            clones=True,
            step_limit_s=_STEP_LIMIT_S,
            sounds=tuple(SOUNDS) if turbo else (),
        )
        self._built_in: dict[str, Conditioning] = {}
        if upstream.conds is not None:
            self._built_in[BUILT_IN] = conditioning_of(upstream.conds)
        self._learned = dict(self._folder.load_voices())
        self._set_default_voice()

    @classmethod
    def load(cls, folder: Path, settings: ChatterboxSettings, voices: Path) -> ChatterboxModel:
        """Load the weights in `folder`, Turbo's or the standard model's. Blocks (seconds). Raises
        `ConfigError` if the card is too full.
        """
        with explain_out_of_memory():
            return cls(load_upstream(folder, settings.device), settings, voices)

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
        learned = [
            Voice(name, "en", "learned", ready=True, learned=True) for name in list(self._learned)
        ]
        return (*(Voice(name, "en", "built in", True) for name in self._built_in), *learned)

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
        return Voice(name, "en", "learned", ready=True, learned=True)

    def forget(self, name: str) -> None:
        """See `base.CloningModel`."""
        self._reject_built_in(name)
        if name not in self._learned:
            raise self._unknown_voice(name)
        del self._learned[name]
        self._folder.delete_voice(name)
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
            Renderer(flow, HiftVocoder(upstream.s3gen.mel2wav), bool(upstream.t3.is_gpt)),
            TextTokens(upstream.tokenizer, upstream.t3),
            VoiceCache(upstream.t3, decoder, flow),
            Watermark(flow.device) if settings.watermark else None,
        )


def load_upstream(folder: Path, device: str) -> Any:
    """Load upstream's model from `folder` onto `device` (`auto`: CUDA if available), ready to
    serve. Blocks (seconds).
    """
    from chatterbox.tts import ChatterboxTTS
    from chatterbox.tts_turbo import ChatterboxTurboTTS

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    turbo = (folder / "t3_turbo_v1.safetensors").exists()
    return set_precision(
        (ChatterboxTurboTTS if turbo else ChatterboxTTS).from_local(folder, device)
    )


def set_precision(upstream: Any) -> Any:
    """Set an upstream model's precision: on CUDA bfloat16 for the language model, fp32 for the
    rest, because upstream's token ids pass through floats. Returns the model.
    """
    for part in (upstream.t3, upstream.s3gen, upstream.ve):
        part.requires_grad_(requires_grad=False)
    if torch.device(upstream.device).type == "cuda":
        # Weights only: the rotary frequencies, a buffer, would be off by whole turns.
        for weight in upstream.t3.parameters():
            weight.data = weight.data.to(torch.bfloat16)
        # fp32 matrices are multiplied in TF32, process-wide: relative error 1e-3, as in torch's
        # convolutions by default, and several times faster. Token ids are looked up, never
        # multiplied. Torch's newer switch (backends.cuda.matmul.fp32_precision) makes reading the
        # older ones raise.
        torch.set_float32_matmul_precision("high")
        # cuDNN's attention builds a plan for every new length, which delays speech.
        torch.backends.cuda.enable_cudnn_sdp(False)
    return upstream
