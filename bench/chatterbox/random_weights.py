"""Chatterbox with random weights: the full-size architecture without a download. It costs as much
as the trained model but speaks no words.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from backend.engines.chatterbox.model import set_precision

ENGINES = ("chatterbox-turbo", "chatterbox")
_PROMPT_TOKENS = 250  # a reference of 10 s
_TURBO_PROMPT = 375
_TURBO_TEXT_TOKENS = 50_276


class ByteTokenizer:
    """About one token per four characters, as upstream's tokenizers; for both models."""

    def text_to_tokens(self, text: str) -> torch.Tensor:
        """The standard model's interface."""
        ids = [3 + sum(map(ord, text[n : n + 2])) % 250 for n in range(0, len(text), 2)]
        return torch.tensor([ids])

    def __call__(self, text: str, **_: Any) -> Any:
        """Turbo's interface."""

        class Encoding:
            input_ids = torch.tensor(
                [[sum(map(ord, text[n : n + 4])) for n in range(0, len(text), 4)]]
            )

            def __getitem__(self, name: str) -> torch.Tensor:
                return torch.as_tensor(getattr(self, name))

        return Encoding()


def random_upstream(engine: str, device: str, seed: int = 0) -> Any:
    """A `ChatterboxTTS` or `ChatterboxTurboTTS` with a random voice, in its serving precision.
    Blocks (half a minute); takes 3.5 GB.
    """
    with quiet():
        from chatterbox.models.s3gen import S3Gen
        from chatterbox.models.t3 import T3
        from chatterbox.models.voice_encoder import VoiceEncoder
        from chatterbox.tts import ChatterboxTTS
        from chatterbox.tts_turbo import ChatterboxTurboTTS

        turbo = engine == "chatterbox-turbo"
        torch.manual_seed(seed)
        t3 = T3(_turbo_config()) if turbo else T3()
        if turbo:
            del t3.tfmr.wte
        parts = [t3, S3Gen(meanflow=turbo), VoiceEncoder()]
        for part in parts:
            part.to(device).eval()
        kind = ChatterboxTurboTTS if turbo else ChatterboxTTS
        voice = random_voice(turbo=turbo, device=device)
        return set_precision(kind(*parts, ByteTokenizer(), device, voice))


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


def _turbo_config() -> Any:
    """The configuration of upstream's `ChatterboxTurboTTS.from_local`."""
    from chatterbox.models.t3.modules.t3_config import T3Config

    config = T3Config(text_tokens_dict_size=_TURBO_TEXT_TOKENS)
    config.llama_config_name = "GPT2_medium"
    config.speech_tokens_dict_size = 6563
    config.input_pos_emb = None
    config.speech_cond_prompt_len = _TURBO_PROMPT
    config.use_perceiver_resampler = False
    config.emotion_adv = False
    return config


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
