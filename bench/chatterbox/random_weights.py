"""Chatterbox with random weights: the full-size architecture without a download. It costs as much
as the trained model but speaks no words.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from backend.engines.chatterbox.upstream import assemble, create_t3
from backend.engines.chatterbox.variants import VARIANTS

ENGINES = tuple(VARIANTS)
_PROMPT_TOKENS = 250  # a reference of 10 s
_TURBO_PROMPT = 375


@dataclass(frozen=True, slots=True)
class Encoding:
    """As of the package `tokenizers`."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class ByteTokenizer:
    """About one token per four characters, as upstream's tokenizers; for all models."""

    rewriters: Mapping[str, Any] = {}

    @property
    def tokenizer(self) -> ByteTokenizer:
        """As upstream's."""
        return self

    def encode(self, text: str) -> Encoding:
        """As of the package `tokenizers`."""
        return _encode(text, 2, 250)

    def text_to_tokens(self, text: str, language_id: str = "") -> torch.Tensor:
        """The interface of the standard and of the multilingual model."""
        return torch.tensor([self.encode(text).ids])

    def __call__(self, text: str, **options: Any) -> Any:
        """Turbo's interface."""
        encoding = _encode(text, 4, 500)
        if options.get("return_tensors"):
            return SimpleNamespace(input_ids=torch.tensor([encoding.ids]))
        return {"input_ids": encoding.ids, "offset_mapping": encoding.offsets}


def _encode(text: str, size: int, count: int) -> Encoding:
    starts = range(0, len(text), size)
    offsets = [(start, min(start + size, len(text))) for start in starts]
    return Encoding([3 + sum(map(ord, text[a:b])) % count for a, b in offsets], offsets)


def random_upstream(engine: str, device: str, seed: int = 0) -> Any:
    """An upstream model with a random voice, in its serving precision. Blocks (half a minute on a
    CPU); takes up to 3.5 GB.
    """
    variant = VARIANTS[engine]
    with quiet():
        from chatterbox.models.s3gen import S3Gen
        from chatterbox.models.voice_encoder import VoiceEncoder

        torch.manual_seed(seed)
        with torch.device(device):
            parts = create_t3(variant), S3Gen(meanflow=variant.turbo), VoiceEncoder()
        voice = random_voice(turbo=variant.turbo, device=device)
        return assemble(variant, parts, ByteTokenizer(), device, voice)


def random_voice(
    *, turbo: bool, device: str, seed: int = 1, prompt_tokens: int = _PROMPT_TOKENS
) -> Any:
    """Random `Conditionals` in upstream's format."""
    from chatterbox.models.t3.modules.cond_enc import T3Cond
    from chatterbox.tts import Conditionals

    random = torch.Generator().manual_seed(seed)

    def ids(count: int) -> torch.Tensor:
        return torch.randint(0, 6561, (1, count), generator=random)

    conditioning = T3Cond(
        speaker_emb=torch.randn(1, 256, generator=random),
        cond_prompt_speech_tokens=ids(_TURBO_PROMPT if turbo else 150),
        emotion_adv=0.5 * torch.ones(1, 1, 1),
    )
    sound = {
        "prompt_token": ids(prompt_tokens),
        "prompt_token_len": torch.tensor([prompt_tokens]),
        "prompt_feat": torch.randn(1, 2 * prompt_tokens, 80, generator=random),
        "prompt_feat_len": None,
        "embedding": torch.randn(1, 192, generator=random),
    }
    return Conditionals(conditioning, sound).to(device)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress upstream's output and warnings."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
