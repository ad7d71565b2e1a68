"""Weights that attend as planted: what the model's attention is to be found with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from backend.engines.chatterbox.speech_tokens import decoder as decoder_module
from backend.engines.chatterbox.speech_tokens.decoder import SpeechTokenDecoder, TokenSession
from backend.engines.chatterbox.speech_tokens.sampling import Sampling
from backend.engines.chatterbox.speech_tokens.word_times import WordAligner
from tests.support.chatterbox.attending_t3 import HEAD, LAYER, attending_t3
from tests.support.chatterbox.tiny import quiet, voice

both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])
COUNT = 30  # speech tokens
TEXT_TOKENS = 20


def draw_tokens(t3: Any, text: Tensor, *, turbo: bool) -> tuple[TokenSession, Tensor]:
    """A session with some tokens, and the model's inputs for them: (1, n, size)."""
    decoder = SpeechTokenDecoder(t3, slots=1, length=600)
    conditioning = t3.prepare_conditioning(voice(1, turbo=turbo).t3)
    session = TokenSession(Sampling(), torch.Generator().manual_seed(1))
    with torch.inference_mode():
        decoder.join(session, decoder.compute_prefix(conditioning), text)
        while len(session.tokens) < COUNT:
            decoder.advance([session])
        inputs = decoder._embed_inputs(text, [*session.tokens[:COUNT]])[:1]
    return session, torch.cat([conditioning, inputs], 1)


def attend(t3: Any, x: Tensor, text_tokens: int) -> Tensor:
    """The named head's attention of each drawn token over the text, by `transformers`."""
    t3.tfmr.config._attn_implementation = "eager"
    with quiet(), torch.inference_mode():
        output = t3.tfmr(inputs_embeds=x, output_attentions=True, use_cache=False)
    weights: Tensor = output.attentions[LAYER][0, HEAD, -COUNT:]
    first = x.size(1) - COUNT - text_tokens - (not t3.is_gpt)  # the start token stands there twice
    return weights[:, first : first + text_tokens]


@both
@pytest.mark.parametrize("pace", [2, 5])
@pytest.mark.parametrize("seed", [1, 2])
def test_head_attends_to_one_text_token_after_another(
    turbo: bool, pace: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    t3 = attending_t3(turbo=turbo, pace=pace, text_tokens=TEXT_TOKENS)
    text = torch.randint(3, 250, (TEXT_TOKENS,), generator=torch.Generator().manual_seed(seed))
    monkeypatch.setattr(decoder_module, "STANDARD_HEADS", ((LAYER, HEAD),))
    monkeypatch.setattr(decoder_module, "TURBO_HEADS", ((LAYER, HEAD),))
    session, x = draw_tokens(t3, text, turbo=turbo)
    assert session.attended == [n // pace for n in range(COUNT)], "the decoder's own"
    weights = attend(t3, x, TEXT_TOKENS)
    assert weights.argmax(1).tolist() == [n // pace for n in range(COUNT)]
    assert weights.max(1).values.min() > 0.5, "of all positions, the voice's included"
    assert len(set(session.tokens)) > COUNT / 2, "the speech is not one token"


@both
def test_words_are_found_in_the_model_s_attention(turbo: bool) -> None:
    """Text tokens of a word each."""
    t3 = attending_t3(turbo=turbo, pace=3, text_tokens=TEXT_TOKENS)
    text = torch.randint(3, 250, (TEXT_TOKENS,), generator=torch.Generator().manual_seed(1))
    _, x = draw_tokens(t3, text, turbo=turbo)
    aligner = WordAligner()
    words = "word " * TEXT_TOKENS
    aligner.extend_text(words, range(5, 5 * TEXT_TOKENS + 1, 5))
    aligner.add_attended(attend(t3, x, TEXT_TOKENS).argmax(1).tolist())
    assert aligner.find_words(COUNT) == [(5 * n, 3.0 * n) for n in range(1, (COUNT - 7 + 2) // 3)]
