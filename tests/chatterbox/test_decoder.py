"""The decoder against upstream's own loops: the same tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.engines.chatterbox.decoder import SpeechTokenDecoder, TokenSession
from backend.engines.chatterbox.sampling import Sampling
from tests.chatterbox.tiny import SPEECH_END, devices, quiet, tiny_t3, voice

COUNT = 24  # tokens compared
SEEDS = (11, 22, 33)
SAMPLINGS = {
    False: (Sampling(), Sampling(temperature=1.0, top_p=0.8), Sampling(cfg_weight=0.9, min_p=0.0)),
    True: (Sampling(top_p=0.95), Sampling(temperature=1.3, top_p=0.6), Sampling(top_p=1.0)),
}
both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def text(seed: int, *, turbo: bool) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, 250, (5 + seed,), generator=random)
    return tokens if turbo else F.pad(F.pad(tokens, (1, 0), value=255), (0, 1), value=0)


def upstream(t3: Any, seed: int, sampling: Sampling, *, turbo: bool) -> list[int]:
    torch.manual_seed(seed)
    device = t3.speech_head.weight.device
    tokens = text(seed, turbo=turbo).to(device)
    conditioning = voice(seed, turbo=turbo).t3.to(device=device)
    with quiet(), torch.inference_mode():
        if turbo:
            drawn = t3.inference_turbo(
                conditioning,
                tokens[None],
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                repetition_penalty=sampling.repetition_penalty,
                max_gen_len=COUNT - 1,
            )
        else:
            drawn = t3.inference(
                t3_cond=conditioning,
                text_tokens=torch.stack([tokens, tokens]),
                max_new_tokens=COUNT,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                min_p=sampling.min_p,
                repetition_penalty=sampling.repetition_penalty,
                cfg_weight=sampling.cfg_weight,
            )
    return [token for token in drawn[0].tolist() if token != SPEECH_END]


def session(seed: int, sampling: Sampling, device: str = "cpu") -> TokenSession:
    return TokenSession(sampling, torch.Generator(device).manual_seed(seed))


def join(decoder: SpeechTokenDecoder, t3: Any, one: TokenSession, seed: int, turbo: bool) -> None:
    conditioning = voice(seed, turbo=turbo).t3.to(device=t3.speech_head.weight.device)
    prefix = decoder.prefix(t3.prepare_conditioning(conditioning))
    decoder.join(one, prefix, text(seed, turbo=turbo))


@both
@devices
@pytest.mark.parametrize("which", range(3))
def test_one_session_has_upstreams_tokens(turbo: bool, which: int, device: str) -> None:
    t3, seed, sampling = tiny_t3(turbo=turbo).to(device), SEEDS[which], SAMPLINGS[turbo][which]
    expected = upstream(t3, seed, sampling, turbo=turbo)
    assert len(set(expected)) > 8, "the model says something"
    decoder = SpeechTokenDecoder(t3, 1, 640)
    one = session(seed, sampling, device)
    join(decoder, t3, one, seed, turbo)
    for _ in range(COUNT - 1):
        decoder.advance([one])
    assert one.tokens == expected


@both
@devices
def test_sessions_that_come_and_go_at_any_step_have_the_tokens_of_each_alone(
    turbo: bool, device: str
) -> None:
    t3 = tiny_t3(turbo=turbo).to(device)
    decoder = SpeechTokenDecoder(t3, 4, 640)
    sessions = {
        seed: session(seed, sampling, device)
        for seed, sampling in zip(SEEDS, SAMPLINGS[turbo], strict=True)
    }
    passer_by = session(44, Sampling(), device)
    for step in range(60):
        for place, (seed, one) in enumerate(sessions.items()):
            if step == 5 * place:
                join(decoder, t3, one, seed, turbo)
        if step == 7:
            join(decoder, t3, passer_by, 12, turbo)
        if step == 15:
            decoder.leave(passer_by)
        alive = [one for one in (*sessions.values(), passer_by) if one.slot >= 0]
        decoder.advance([one for n, one in enumerate(alive) if (step + n) % 3])  # some wait
        for one in alive:
            if one.ended or len(one.tokens) >= COUNT:
                decoder.leave(one)
    for (seed, one), sampling in zip(sessions.items(), SAMPLINGS[turbo], strict=True):
        assert one.tokens[:COUNT] == upstream(t3, seed, sampling, turbo=turbo)
    assert decoder.free == 4


@both
def test_speech_ends_by_itself_and_the_end_is_no_token(turbo: bool) -> None:
    t3 = tiny_t3(turbo=turbo)
    decoder = SpeechTokenDecoder(t3, 1, 640)
    one = session(11, Sampling())
    join(decoder, t3, one, 11, turbo)
    for _ in range(200):
        decoder.advance([one])
    assert one.ended
    assert 10 < len(one.tokens) < 100
    assert decoder.stop not in one.tokens


@both
def test_a_full_row_ends_the_session(turbo: bool) -> None:
    t3 = tiny_t3(turbo=turbo)
    length = (376 if turbo else 152) + 16 + 5 + 10
    decoder = SpeechTokenDecoder(t3, 1, length)
    one = session(11, Sampling())
    join(decoder, t3, one, 11, turbo)
    for _ in range(50):
        decoder.advance([one])
    assert one.ended
    assert len(one.tokens) < 20


def test_a_text_that_does_not_fit_is_refused() -> None:
    t3 = tiny_t3(turbo=False)
    decoder = SpeechTokenDecoder(t3, 1, 160)
    one = session(33, Sampling())
    with pytest.raises(ValueError, match="do not fit"):
        join(decoder, t3, one, 33, False)
    assert decoder.free == 1


def test_guidance_of_zero_is_no_guidance() -> None:
    """Upstream's standard model fails without guidance; ours speaks, and differs from guided."""
    t3 = tiny_t3(turbo=False)
    drawn = []
    for weight in (0.0, 1.0):
        decoder = SpeechTokenDecoder(t3, 1, 640)
        one = session(11, Sampling(cfg_weight=weight))
        join(decoder, t3, one, 11, False)
        for _ in range(10):
            decoder.advance([one])
        drawn.append(one.tokens)
    assert drawn[0] != drawn[1]
