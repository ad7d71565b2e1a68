"""Upstream's modules, built and loaded from the files of a folder without any network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from backend.engines.chatterbox.text.language_parts import create_multilingual_tokenizer
from backend.engines.chatterbox.variants import FAST_SOUND, TURBO, VARIANTS, Variant
from backend.engines.weights import weights_folder
from backend.errors import ConfigError

_TURBO_PROMPT_TOKENS = 375
_SMALL = {"n_embd": 768, "hidden_size": 768, "n_head": 12, "n_layer": 12}  # GPT-2 small


def load_upstream(folder: Path, device: str, *, meanflow: bool = False) -> Any:
    """Load the model of `folder`, which is named after its engine, onto `device` (`auto`: CUDA if
    available), ready to serve. `meanflow`: with the fast S3Gen of Turbo, which lies beside it.
    Blocks (seconds). Raises `ConfigError` if that is missing.
    """
    from chatterbox.models.voice_encoder import VoiceEncoder
    from chatterbox.tts import Conditionals

    variant = VARIANTS[folder.name]
    sound = _sound_weights(variant, folder, meanflow=meanflow)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        parts = create_t3(variant), _create_s3gen(sound), VoiceEncoder()
    for part, path in zip(
        parts, (folder / variant.t3_file, sound, folder / "ve.safetensors"), strict=True
    ):
        _load_weights(part, path)
    conds = Conditionals.load(folder / "conds.pt", map_location="cpu").to(device)
    return assemble(variant, parts, create_tokenizer(variant, folder), device, conds)


def _sound_weights(variant: Variant, folder: Path, *, meanflow: bool) -> Path:
    if not meanflow or variant.turbo:
        return folder / variant.sound_file
    path = weights_folder(TURBO, folder.parent) / FAST_SOUND
    if not path.is_file():
        raise ConfigError(
            f"chatterbox.meanflow: no {FAST_SOUND} in {path.parent}; "
            f"run: duplex-tts download {TURBO}"
        )
    return path


def assemble(
    variant: Variant, parts: tuple[Any, Any, Any], tokenizer: Any, device: str, conds: Any
) -> Any:
    """Upstream's own object of a variant from its T3, S3Gen and voice encoder, in the precision in
    which it serves.
    """
    from chatterbox.mtl_tts import ChatterboxMultilingualTTS
    from chatterbox.tts import ChatterboxTTS
    from chatterbox.tts_turbo import ChatterboxTurboTTS

    kind = ChatterboxTurboTTS if variant.turbo else ChatterboxTTS
    if len(variant.languages) > 1:
        kind = ChatterboxMultilingualTTS
    for part in parts:
        part.to(device).eval()
    return set_precision(kind(*parts, tokenizer, device, conds))


def create_t3(variant: Variant) -> Any:
    """The language model with random weights, on the current default device."""
    from chatterbox.models.t3 import T3
    from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS
    from chatterbox.models.t3.modules.t3_config import T3Config

    LLAMA_CONFIGS.setdefault("GPT2_small", LLAMA_CONFIGS["GPT2_medium"] | _SMALL)
    config = T3Config(variant.text_tokens)
    config.llama_config_name = variant.backbone
    if variant.turbo:
        config.speech_tokens_dict_size = 6563
        config.input_pos_emb = None
        config.speech_cond_prompt_len = _TURBO_PROMPT_TOKENS
        config.use_perceiver_resampler = False
        config.emotion_adv = False
    t3 = T3(config)
    if variant.turbo:
        del t3.tfmr.wte  # never used
    return t3


def _create_s3gen(weights: Path) -> Any:
    from chatterbox.models.s3gen import S3Gen

    return S3Gen(meanflow=weights.name == FAST_SOUND)


def _load_weights(part: Any, path: Path) -> None:
    """Raises `ValueError` if weights are missing; buffers may be."""
    from safetensors.torch import load_file

    missing = part.load_state_dict(load_file(path), strict=False).missing_keys
    if lost := sorted(set(missing) & {name for name, _ in part.named_parameters()}):
        raise ValueError(f"{path.name} has no {', '.join(lost[:3])}")


def create_tokenizer(variant: Variant, folder: Path) -> Any:
    """Upstream's tokenizer of a variant."""
    from chatterbox.models.tokenizers import EnTokenizer

    if len(variant.languages) > 1:
        return create_multilingual_tokenizer(folder)
    if not variant.turbo:
        return EnTokenizer(str(folder / "tokenizer.json"))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, tokenizer_type="gpt2", local_files_only=True)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


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
