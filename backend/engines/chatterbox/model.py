"""The model: upstream's weights on a device, its voices, its parameters."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Device, EngineInfo, Parameter, Utterance
from backend.engines.chatterbox.decoder import SpeechTokenDecoder
from backend.engines.chatterbox.device_loss import noticing_loss
from backend.engines.chatterbox.engine import ChatterboxEngine, Parts
from backend.engines.chatterbox.flow import Flow
from backend.engines.chatterbox.memory import device_at, saying_what_to_do, slot_bytes, slots_on
from backend.engines.chatterbox.passage import Renderer
from backend.engines.chatterbox.recording import condition, conditioning_of, read_recording
from backend.engines.chatterbox.sampling import Sampling
from backend.engines.chatterbox.text import TextTokens
from backend.engines.chatterbox.utterance import ChatterboxParams
from backend.engines.chatterbox.vocoder import SAMPLE_RATE_HZ, Vocoder
from backend.engines.chatterbox.voice import Conditioning, VoiceCache
from backend.engines.chatterbox.voice_folder import VoiceFolder, checked
from backend.engines.chatterbox.watermark import Watermark
from backend.errors import UnknownVoice, Unsupported
from backend.events import Voice

log = structlog.get_logger(__name__)

BUILT_IN = "default"
_POSITIONS = 1536  # of a row: conditioning (35 or 376), 300 characters of text, 40 s of speech
_STEP_LIMIT_S = 120.0  # a graph may be captured in a step, and a CPU takes a minute for some

_COMMON = {
    "temperature": Parameter(0.05, 5.0, 0.8),
    "repetition_penalty": Parameter(1.0, 2.0, 1.2),
}
# Upstream's defaults; the ranges are those of its demonstration where it has one.
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
    """See `base.CloningModel`. `upstream`: a `ChatterboxTTS` or `ChatterboxTurboTTS` with its
    weights, on its device; `voices`: the folder of the learned voices. Raises `ConfigError` when
    the card has no room for an utterance.

    Its modules are used by one engine: the KV cache and the CUDA graphs belong to one thread.
    """

    def __init__(self, upstream: Any, settings: ChatterboxSettings, voices: Path) -> None:
        self._upstream = upstream
        self._settings = settings
        self._folder = VoiceFolder(voices)
        turbo = bool(upstream.t3.is_gpt)
        device = torch.device(upstream.device)
        self._slots = slots_on(device, settings.slots, slot_bytes(upstream.t3, _POSITIONS))
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
        )
        self._built_in: dict[str, Conditioning] = {}
        if upstream.conds is not None:
            self._built_in[BUILT_IN] = conditioning_of(upstream.conds)
        self._learned = dict(self._folder.load())
        self._name_default()

    @classmethod
    def load(cls, folder: Path, settings: ChatterboxSettings, voices: Path) -> ChatterboxModel:
        """Read the weights: Turbo's where the folder holds them, else the standard model's. Blocks
        (seconds). Raises `ConfigError` when the card is too full.
        """
        with saying_what_to_do():
            return cls(load_upstream(folder, settings.device), settings, voices)

    @property
    def device(self) -> Device | None:
        """See `base.Model`."""
        return device_at(torch.device(self._upstream.device))

    # --- voices -----------------------------------------------------------------------------------

    def voices(self) -> tuple[Voice, ...]:
        """See `base.Model`."""
        learned = [
            Voice(name, "en", "learned", ready=True, learned=True) for name in list(self._learned)
        ]
        return (*(Voice(name, "en", "built in", True) for name in self._built_in), *learned)

    def is_whole_word(self, word: str) -> bool:
        """See `Model.is_whole_word`: it has no lexicon."""
        return False

    def load_voice(self, name: str) -> None:
        """See `base.Model`: all voices are loaded."""
        self.conditioning(name)

    def learn(self, name: str, audio: Path) -> Voice:
        """See `base.CloningModel`. A learned voice of this name is replaced for utterances that
        begin later. Raises `BadMessage` (the name, a file that is no sound, too short, too long,
        silent), `Unsupported` (the name of a voice that came with the model), `EngineDead`.
        """
        self._check_own(checked(name))
        with noticing_loss(torch.device(self._upstream.device)):
            voice = condition(self._upstream, read_recording(audio))
        made = datetime.now(UTC).isoformat(timespec="seconds")
        self._folder.keep(name, voice, {"name": name, "engine": self.info.name, "made": made})
        self._learned[name] = voice
        self._name_default()
        return Voice(name, "en", "learned", ready=True, learned=True)

    def forget(self, name: str) -> None:
        """See `base.CloningModel`."""
        self._check_own(name)
        if name not in self._learned:
            raise self._unknown(name)
        del self._learned[name]
        self._folder.drop(name)
        self._name_default()

    def _name_default(self) -> None:
        """The voice that came with the weights; without it the first learned."""
        self.default_voice: str = next(iter({**self._built_in, **self._learned}), BUILT_IN)

    def _check_own(self, name: str) -> None:
        if name in self._built_in:
            raise Unsupported(f"voice {name!r} came with the model: it stays as it is")

    def _unknown(self, name: str) -> UnknownVoice:
        known = ", ".join(each.name for each in self.voices())
        known = known or "none; make one with duplex-tts voices add"
        return UnknownVoice(f"no voice {name[:40]!r}; voices: {known}")

    # --- what an engine asks ----------------------------------------------------------------------

    def conditioning(self, name: str) -> Conditioning:
        """The voice. Raises `UnknownVoice`."""
        voice = self._learned.get(name) or self._built_in.get(name)
        if voice is None:
            raise self._unknown(name)
        return voice

    def manner(self, utterance: Utterance) -> ChatterboxParams:
        """How an utterance is spoken: what it chose, and the model's defaults."""
        values = {name: each.default for name, each in self.info.parameters.items()}
        values |= utterance.parameters
        exaggeration = values.pop("exaggeration", 0.0)
        return ChatterboxParams(exaggeration, Sampling(**values))

    def create_engine(self) -> ChatterboxEngine:
        """See `base.Model`. Raises `ConfigError` when the card has been filled meanwhile,
        `EngineDead`. Blocks (seconds) on a card.
        """
        with saying_what_to_do(), noticing_loss(torch.device(self._upstream.device)):
            engine = ChatterboxEngine(self.info, self._parts(), self)
            engine.warm_up({**self._built_in, **self._learned}.get(self.default_voice))
        return engine

    def _parts(self) -> Parts:
        upstream, settings = self._upstream, self._settings
        flow = Flow(upstream.s3gen, block_causal=settings.block_causal)
        decoder = SpeechTokenDecoder(upstream.t3, self._slots, _POSITIONS)
        return Parts(
            decoder,
            Renderer(flow, Vocoder(upstream.s3gen.mel2wav), bool(upstream.t3.is_gpt)),
            TextTokens(upstream.tokenizer, upstream.t3),
            VoiceCache(upstream.t3, decoder, flow),
            Watermark(flow.device) if settings.watermark else None,
        )


def load_upstream(folder: Path, device: str) -> Any:
    """Upstream's model with the weights in `folder`, on `device` (`auto`: CUDA where it is), as it
    is served. Blocks (seconds).
    """
    from chatterbox.tts import ChatterboxTTS
    from chatterbox.tts_turbo import ChatterboxTurboTTS

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    turbo = (folder / "t3_turbo_v1.safetensors").exists()
    return as_served((ChatterboxTurboTTS if turbo else ChatterboxTTS).from_local(folder, device))


def as_served(upstream: Any) -> Any:
    """Upstream's model in the precision in which it speaks: on CUDA the language model in bfloat16,
    the rest in fp32, because upstream lets token ids pass through floats.
    """
    for part in (upstream.t3, upstream.s3gen, upstream.ve):
        part.requires_grad_(requires_grad=False)
    if torch.device(upstream.device).type == "cuda":
        # Weights only: rotary frequencies, a buffer, would be off by whole turns.
        for weight in upstream.t3.parameters():
            weight.data = weight.data.to(torch.bfloat16)
        # What stays in fp32 multiplies matrices in TF32: a relative error of 1e-3, as in the
        # convolutions by torch's own default, at several times the speed. Token ids are looked up,
        # never multiplied. It holds for the process; torch's newer switch
        # (backends.cuda.matmul.fp32_precision) makes its older ones raise when they are asked.
        torch.set_float32_matmul_precision("high")
        # cuDNN's attention makes a plan for every new length, which a listener would wait for.
        torch.backends.cuda.enable_cudnn_sdp(False)
    return upstream
