"""A tiny Chatterbox: upstream's own classes with few, narrow layers, random weights, and an end of
speech that is reached without training.

Upstream's `generate` takes a third of a second, so every part of the engine can be compared with
it.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from chatterbox.models.s3gen.configs import CFM_PARAMS
    from chatterbox.models.s3gen.decoder import ConditionalDecoder
    from chatterbox.models.s3gen.f0_predictor import ConvRNNF0Predictor
    from chatterbox.models.s3gen.flow import CausalMaskedDiffWithXvec
    from chatterbox.models.s3gen.flow_matching import CausalConditionalCFM
    from chatterbox.models.s3gen.hifigan import HiFTGenerator
    from chatterbox.models.s3gen.s3gen import S3Token2Wav
    from chatterbox.models.s3gen.transformer.upsample_encoder import UpsampleConformerEncoder
    from chatterbox.models.t3 import T3
    from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS
    from chatterbox.models.t3.modules.t3_config import T3Config
    from chatterbox.models.voice_encoder import VoiceEncoder
    from chatterbox.mtl_tts import ChatterboxMultilingualTTS
    from chatterbox.tts import ChatterboxTTS
    from chatterbox.tts_turbo import ChatterboxTurboTTS

from bench.chatterbox.random_weights import Encoding, random_voice

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_cuda)])

SAME_MEL = 1e-3  # of natural logarithms: a hundredth of a decibel
SIZE = 64
SPEECH_END = 6562
END_AFTER = 35  # speech tokens, approximately
TURBO_PROMPT = 375


def tiny_t3(*, turbo: bool, engine: str = "") -> Any:
    """A T3 of two layers that ends its speech: channel 0 of the hidden states carries only the
    position, and the stop token's logit depends only on it. `engine`: which of two alike.
    """
    torch.manual_seed(0)
    if turbo:
        config = _turbo_config("GPT2_small" if engine == "chatterbox-nano" else "GPT2_medium")
    else:
        config = _standard_config(2454 if engine == "chatterbox-multilingual" else 704)
    with mock.patch.dict(LLAMA_CONFIGS, _BACKBONES):
        t3 = T3(config)
    with torch.no_grad():
        t3.speech_head.weight.mul_(4)
        t3.speech_head.weight[:, 0] = 0
        t3.speech_head.weight[6561:] = 0  # ids without sound are rarely drawn
        t3.speech_head.weight[6561:, 0] = 3
        t3.speech_head.weight[SPEECH_END, 0] = 1000
        _strengthen_attention(t3, turbo=turbo)
        for embedding in (t3.text_emb, t3.speech_emb):
            embedding.weight[:, 0] = 0
        t3.cond_enc.spkr_enc.weight[0] = 0
        t3.cond_enc.spkr_enc.bias[0] = 0
        _mark_positions(t3, turbo=turbo)
    return t3.eval().requires_grad_(requires_grad=False)


def _strengthen_attention(t3: Any, *, turbo: bool) -> None:
    """Scale up the attention weights: unscaled, text and voice would hardly matter."""
    for layer in t3.tfmr.h if turbo else t3.tfmr.layers:
        if turbo:
            layer.attn.c_attn.weight.mul_(8)
            layer.attn.c_proj.weight.mul_(16)
            continue
        for part in ("q", "k", "v", "o"):
            getattr(layer.self_attn, f"{part}_proj").weight.mul_(8)


def _mark_positions(t3: Any, *, turbo: bool) -> None:
    if turbo:
        for block in t3.tfmr.h:
            for out in (block.attn.c_proj, block.mlp.c_proj):
                out.weight[:, 0] = 0
                out.bias[0] = 0
        t3.tfmr.wpe.weight[:, 0] = -1
        t3.tfmr.wpe.weight[1 + TURBO_PROMPT + END_AFTER + 25 :, 0] = 1
        return
    t3.cond_enc.emotion_adv_fc.weight[0] = 0
    for layer in t3.tfmr.layers:
        layer.self_attn.o_proj.weight[0] = 0
        layer.mlp.down_proj.weight[0] = 0
    t3.text_pos_emb.emb.weight[:, 0] = 0
    t3.speech_pos_emb.emb.weight[:, 0] = -1
    t3.speech_pos_emb.emb.weight[END_AFTER:, 0] = 1


_GPT2 = LLAMA_CONFIGS["GPT2_medium"] | {
    "n_layer": 2,
    "n_embd": SIZE,
    "hidden_size": SIZE,
    "n_head": 4,
    "vocab_size": 8,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "n_positions": 2048,
    "n_ctx": 2048,
}
_LLAMA = LLAMA_CONFIGS["Llama_520M"] | {
    "num_hidden_layers": 2,
    "hidden_size": SIZE,
    "intermediate_size": 2 * SIZE,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": SIZE // 4,
}
_BACKBONES = {  # by upstream's names
    "GPT2_medium": _GPT2,
    "GPT2_small": _GPT2 | {"n_layer": 1, "n_head": 2},
    "Llama_520M": _LLAMA,
}


def _turbo_config(backbone: str) -> Any:
    config = T3Config(text_tokens_dict_size=512)
    config.llama_config_name = backbone
    config.speech_tokens_dict_size = 6563
    config.input_pos_emb = None
    config.speech_cond_prompt_len = TURBO_PROMPT
    config.use_perceiver_resampler = False
    config.emotion_adv = False
    return config


def _standard_config(text_tokens: int) -> Any:
    config = T3Config(text_tokens)
    config.use_perceiver_resampler = False  # its size is fixed to 1024
    config.max_speech_tokens = 1100
    config.max_text_tokens = 512
    return config


class TinyS3Gen(S3Token2Wav):  # type: ignore[misc]
    """Upstream's forward code, without the encoders of reference recordings."""

    def __init__(self, *, meanflow: bool) -> None:
        torch.nn.Module.__init__(self)
        self.meanflow = meanflow
        encoder = UpsampleConformerEncoder(
            output_size=512, attention_heads=2, linear_units=32, num_blocks=1, input_size=512
        )
        estimator = ConditionalDecoder(
            channels=[32],
            attention_head_dim=16,
            n_blocks=1,
            num_mid_blocks=2,
            num_heads=2,
            meanflow=meanflow,
        )
        decoder = CausalConditionalCFM(spk_emb_dim=80, cfm_params=CFM_PARAMS, estimator=estimator)
        self.flow = CausalMaskedDiffWithXvec(encoder=encoder, decoder=decoder)
        self.tokenizer = TinySpeechTokenizer()
        self.mel2wav = HiFTGenerator(
            sampling_rate=24000,
            base_channels=64,
            upsample_rates=[8, 5, 3],
            upsample_kernel_sizes=[16, 11, 7],
            source_resblock_kernel_sizes=[7, 7, 11],
            source_resblock_dilation_sizes=[[1, 3, 5]] * 3,
            f0_predictor=ConvRNNF0Predictor(cond_channels=32),
        )
        with torch.no_grad():  # random weights give no pitch: let it vary around 120 Hz
            self.mel2wav.f0_predictor.classifier.weight.mul_(20)
            self.mel2wav.f0_predictor.classifier.bias.fill_(120.0)
        ramp = (torch.cos(torch.linspace(torch.pi, 0, 480)) + 1) / 2
        fade = torch.cat([torch.zeros(480), ramp])
        self.register_buffer("trim_fade", fade, persistent=False)
        self.estimator_dtype = "fp32"
        self.resamplers: dict[Any, Any] = {}

    def embed_ref(self, wav: Any, rate_hz: int, device: str) -> dict[str, Any]:
        """A voice derived from a recording at 24 kHz, in an arbitrary but deterministic way."""
        assert rate_hz == 24_000
        tokens, lengths = self.tokenizer([wav])
        return {
            "prompt_token": tokens,
            "prompt_token_len": lengths,
            "prompt_feat": torch.sin(tokens.float())[0].repeat_interleave(2)[None, :, None]
            * torch.ones(80),
            "prompt_feat_len": None,
            "embedding": torch.cos(torch.arange(192) * tokens.float().mean())[None],
        }


class TinySpeechTokenizer(torch.nn.Module):  # type: ignore[misc]
    """Replaces the speech tokenizer: one token per 960 samples, from their loudness."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))  # upstream reads the device of the weights

    def forward(self, waves: Any, max_len: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """As upstream: tokens (1, n) and their number."""
        wave = torch.as_tensor(waves[0])
        frames = wave[: len(wave) // 960 * 960].view(-1, 960).abs().mean(1)
        tokens = (frames * 1e5).long()[None, :max_len] % 6561
        return tokens, torch.tensor([tokens.size(1)])


class CharacterTokenizer:
    """One token per character for the models with Llama, one per word for those with GPT-2."""

    rewriters: Mapping[str, Any] = {}

    @property
    def tokenizer(self) -> CharacterTokenizer:
        """As upstream's."""
        return self

    def encode(self, text: str) -> Encoding:
        """As of the package `tokenizers`."""
        pieces = list(re.finditer(r"\[SPACE\]|.", text, re.DOTALL))
        ids = [3 + ord(piece[0].replace("[SPACE]", " ")) % 250 for piece in pieces]
        return Encoding(ids, [piece.span() for piece in pieces])

    def text_to_tokens(self, text: str, language_id: str = "") -> torch.Tensor:
        """The interface of the standard and of the multilingual model."""
        return torch.tensor([self.encode(text.replace(" ", "[SPACE]")).ids])

    def __call__(self, text: str, **options: Any) -> Any:
        """Turbo's interface."""
        words = list(re.finditer(r"\S+", text))
        ids = [sum(map(ord, word[0])) % 512 for word in words]
        if options.get("return_tensors"):
            return SimpleNamespace(input_ids=torch.tensor([ids]))
        return {"input_ids": ids, "offset_mapping": [word.span() for word in words]}


def voice(seed: int, *, turbo: bool, prompt_tokens: int = 50) -> Any:
    """A voice with random conditionals."""
    return random_voice(turbo=turbo, device="cpu", seed=seed, prompt_tokens=prompt_tokens)


@cache
def _parts(turbo: bool) -> tuple[Any, Any, Any]:
    torch.manual_seed(1)
    s3gen = TinyS3Gen(meanflow=turbo).eval().requires_grad_(requires_grad=False)
    return tiny_t3(turbo=turbo), s3gen, VoiceEncoder().eval()


def tiny(*, turbo: bool, engine: str = "") -> Any:
    """An upstream model; those of a kind share their weights. `engine`: see `tiny_t3`."""
    t3, s3gen, encoder = _parts(turbo)
    if engine in ("chatterbox-multilingual", "chatterbox-nano"):
        t3 = tiny_t3(turbo=turbo, engine=engine)
    kind = ChatterboxTurboTTS if turbo else ChatterboxTTS
    if t3.hp.is_multilingual:
        kind = ChatterboxMultilingualTTS
    with quiet():
        return kind(t3, s3gen, encoder, CharacterTokenizer(), "cpu", voice(0, turbo=turbo))


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
