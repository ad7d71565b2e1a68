"""The Chatterbox models: what tells them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.engines.base import Parameter

TURBO = "chatterbox-turbo"
STANDARD_SOUND, FAST_SOUND = "s3gen.safetensors", "s3gen_meanflow.safetensors"

_ENGLISH = ("en",)
# The first is that of a context that names none.
_LANGUAGES = (
    *_ENGLISH,
    "ar",
    "da",
    "de",
    "el",
    "es",
    "fi",
    "fr",
    "he",
    "hi",
    "it",
    "ja",
    "ko",
    "ms",
    "nl",
    "no",
    "pl",
    "pt",
    "ru",
    "sv",
    "sw",
    "tr",
    "zh",
)
_COMMON = {
    "temperature": Parameter(0.05, 5.0, 0.8),
    "repetition_penalty": Parameter(1.0, 2.0, 1.2),
}
# Upstream's defaults, and the ranges of its demo where it has one.
_GUIDED = {
    "exaggeration": Parameter(0.25, 2.0, 0.5),
    "cfg_weight": Parameter(0.0, 1.0, 0.5),
    "top_p": Parameter(0.0, 1.0, 1.0),
    "min_p": Parameter(0.0, 1.0, 0.05),
    **_COMMON,
}
_UNGUIDED = {"top_p": Parameter(0.0, 1.0, 0.95), **_COMMON}


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the models. `t3_file`: the weights of its language model, `backbone`: that one's name
    in upstream's configurations; `text_tokens`: the size of its vocabulary. `turbo`: built as
    Turbo: GPT-2 without guidance, sounds in brackets, and the fast S3Gen.
    """

    engine: str
    t3_file: str
    backbone: str
    text_tokens: int
    turbo: bool
    languages: tuple[str, ...]
    parameters: Mapping[str, Parameter]

    @property
    def sound_file(self) -> str:
        """The weights of its own S3Gen."""
        return FAST_SOUND if self.turbo else STANDARD_SOUND


VARIANTS = {
    variant.engine: variant
    for variant in (
        Variant(TURBO, "t3_turbo_v1.safetensors", "GPT2_medium", 50_276, True, _ENGLISH, _UNGUIDED),
        Variant("chatterbox", "t3_cfg.safetensors", "Llama_520M", 704, False, _ENGLISH, _GUIDED),
        Variant(
            "chatterbox-multilingual",
            "t3_mtl23ls_v3.safetensors",
            "Llama_520M",
            2454,
            False,
            _LANGUAGES,
            _GUIDED,
        ),
        Variant(
            "chatterbox-nano",
            "t3_nano_v1.safetensors",
            "GPT2_small",
            50_276,
            True,
            _ENGLISH,
            _UNGUIDED,
        ),
    )
}
"""By engine name."""


def variant_of(t3: Any) -> Variant:
    """Which model an upstream `T3` belongs to."""
    if not t3.is_gpt:
        return VARIANTS["chatterbox-multilingual" if t3.hp.is_multilingual else "chatterbox"]
    is_nano = t3.hp.llama_config_name == VARIANTS["chatterbox-nano"].backbone
    return VARIANTS["chatterbox-nano" if is_nano else TURBO]
