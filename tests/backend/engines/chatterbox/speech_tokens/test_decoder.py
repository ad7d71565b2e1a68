"""The decoder draws the same tokens as upstream's loops."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.engines.chatterbox.speech_tokens.decoder import BURST, SpeechTokenDecoder, TokenSession
from backend.engines.chatterbox.speech_tokens.sampling import (
    Sampling,
    SamplingRows,
    draw,
    draw_turbo,
    standard_scores,
)
from tests.support.chatterbox.tiny import SPEECH_END, devices, quiet, tiny_t3, voice

COUNT = 24  # tokens compared
SAME_LOGITS = 1e-3
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


def upstream_tokens(t3: Any, seed: int, sampling: Sampling, *, turbo: bool) -> list[int]:
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


def create_session(seed: int, sampling: Sampling, device: str = "cpu") -> TokenSession:
    return TokenSession(sampling, torch.Generator(device).manual_seed(seed))


def draw_by_token(session: TokenSession, count: int, decoder: SpeechTokenDecoder) -> None:
    """The decoder's `_draw_noise`, a token at a time as upstream: on CUDA a block draws others."""
    while BURST * session.blocks < session.draws + count:
        for row in range(BURST):
            at = BURST * (session.blocks % 2) + row
            noise = decoder._noise[session.slot, at : at + 1]
            noise.exponential_(1, generator=session.generator)
        session.blocks += 1


def join(
    decoder: SpeechTokenDecoder, t3: Any, session: TokenSession, seed: int, turbo: bool
) -> None:
    conditioning = voice(seed, turbo=turbo).t3.to(device=t3.speech_head.weight.device)
    prefix = decoder.compute_prefix(t3.prepare_conditioning(conditioning))
    decoder._draw_noise = partial(draw_by_token, decoder=decoder)  # type: ignore[method-assign]
    decoder.join(session, prefix, text(seed, turbo=turbo))


@both
@devices
@pytest.mark.parametrize("which", range(3))
def test_single_session_draws_upstream_tokens(turbo: bool, which: int, device: str) -> None:
    t3, seed, sampling = tiny_t3(turbo=turbo).to(device), SEEDS[which], SAMPLINGS[turbo][which]
    expected = upstream_tokens(t3, seed, sampling, turbo=turbo)
    assert len(set(expected)) > 8, "the model speaks"
    decoder = SpeechTokenDecoder(t3, 1, 640)
    session = create_session(seed, sampling, device)
    join(decoder, t3, session, seed, turbo)
    for _ in range(COUNT):
        decoder.advance([session])
    assert session.tokens == expected


@both
@devices
def test_sessions_joining_and_leaving_at_any_step_draw_the_same_tokens_as_alone(
    turbo: bool, device: str
) -> None:
    t3 = tiny_t3(turbo=turbo).to(device)
    decoder = SpeechTokenDecoder(t3, 4, 640)
    sessions = {
        seed: create_session(seed, sampling, device)
        for seed, sampling in zip(SEEDS, SAMPLINGS[turbo], strict=True)
    }
    visitor = create_session(44, Sampling(), device)
    for step in range(60):
        for place, (seed, session) in enumerate(sessions.items()):
            if step == 5 * place:
                join(decoder, t3, session, seed, turbo)
        if step == 7:
            join(decoder, t3, visitor, 12, turbo)
        if step == 15:
            decoder.leave(visitor)
        alive = [session for session in (*sessions.values(), visitor) if session.slot >= 0]
        decoder.advance(
            [session for n, session in enumerate(alive) if (step + n) % 3]
        )  # not all are advanced
        for session in alive:
            if session.ended or len(session.tokens) >= COUNT:
                decoder.leave(session)
    for (seed, session), sampling in zip(sessions.items(), SAMPLINGS[turbo], strict=True):
        assert session.tokens[:COUNT] == upstream_tokens(t3, seed, sampling, turbo=turbo)
    assert decoder.free_slots == 4


@both
def test_session_ends_at_stop_token_which_is_not_kept(turbo: bool) -> None:
    t3 = tiny_t3(turbo=turbo)
    decoder = SpeechTokenDecoder(t3, 1, 640)
    session = create_session(11, Sampling())
    join(decoder, t3, session, 11, turbo)
    for _ in range(200):
        decoder.advance([session])
    assert session.ended
    assert 10 < len(session.tokens) < 100
    assert decoder.stop_token not in session.tokens


@both
def test_session_ends_when_its_row_is_full(turbo: bool) -> None:
    t3 = tiny_t3(turbo=turbo)
    length = (376 if turbo else 152) + 16 + 5 + 10
    decoder = SpeechTokenDecoder(t3, 1, length)
    session = create_session(11, Sampling())
    join(decoder, t3, session, 11, turbo)
    for _ in range(50):
        decoder.advance([session])
    assert session.ended
    assert len(session.tokens) < 20


def test_join_raises_if_text_does_not_fit() -> None:
    t3 = tiny_t3(turbo=False)
    decoder = SpeechTokenDecoder(t3, 1, 160)
    session = create_session(33, Sampling())
    with pytest.raises(ValueError, match="do not fit"):
        join(decoder, t3, session, 33, False)
    assert decoder.free_slots == 1


def test_cfg_weight_zero_disables_guidance() -> None:
    """Upstream's standard model fails without guidance; ours speaks, with other tokens."""
    t3 = tiny_t3(turbo=False)
    drawn = []
    for weight in (0.0, 1.0):
        decoder = SpeechTokenDecoder(t3, 1, 640)
        session = create_session(11, Sampling(cfg_weight=weight))
        join(decoder, t3, session, 11, False)
        for _ in range(10):
            decoder.advance([session])
        drawn.append(session.tokens)
    assert drawn[0] != drawn[1]


# --- extended text --------------------------------------------------------------------------------


def shorten(full: Tensor, count: int, *, turbo: bool) -> Tensor:
    """The first `count` tokens of a text, with the model's start and stop."""
    return full[:count].clone() if turbo else torch.cat([full[: count + 1], full[-1:]])


def upstream_logits(t3: Any, text_: Tensor, tokens: list[int], seed: int, turbo: bool) -> Tensor:
    """The last logits of upstream's own layers for this text and speech."""
    start = torch.tensor([[t3.hp.start_speech_token]])
    rows = 1 if turbo else 2
    with quiet(), torch.inference_mode():
        x, _ = t3.prepare_input_embeds(
            t3_cond=voice(seed, turbo=turbo).t3,
            text_tokens=text_.expand(rows, -1),
            speech_tokens=start.expand(rows, -1),
            cfg_weight=0.5,
        )
        speech = torch.tensor([tokens], dtype=torch.long)
        if turbo:
            x = torch.cat([x, t3.speech_emb(speech)], 1)
        else:
            speech = torch.cat([start, speech], 1)  # upstream feeds the start twice
            sounds = t3.speech_emb(speech) + t3.speech_pos_emb(speech)
            x = torch.cat([x, sounds.expand(2, -1, -1)], 1)
        logits: Tensor = t3.speech_head(t3.tfmr(inputs_embeds=x).last_hidden_state[:, -1])
    return logits


def draw_next(logits: Tensor, session: TokenSession, start: int) -> int:
    """A session's next token from upstream's logits."""
    rows, turbo = SamplingRows(1, logits.device), len(logits) == 1
    rows.set_row(0, session.sampling)
    seen = torch.zeros(1, logits.size(1), dtype=torch.bool)
    seen[0, session.tokens] = True
    if not (turbo and session.tokens):
        seen[0, start] = True
    generator = torch.Generator().manual_seed(session.generator.initial_seed())
    noise = torch.empty(session.draws + 1, logits.size(1)).exponential_(1, generator=generator)[-1:]
    if turbo:
        return int(draw_turbo(logits, seen, rows, noise))
    guided = logits[:1] + session.sampling.cfg_weight * (logits[:1] - logits[1:])
    return int(draw(standard_scores(guided, seen, rows, slice(0, 1)), noise))


class DecoderProbe:
    """Records a T3's latest logits and how many positions its layers have run."""

    def __init__(self, t3: Any, decoder: SpeechTokenDecoder) -> None:
        self.logits = torch.zeros(0)
        self.positions = 0
        t3.speech_head.register_forward_hook(self._record_logits)
        run = decoder._backbone

        def counted(x: Tensor, *where: Any) -> Tensor:
            self.positions += x.size(1)
            return run(x, *where)

        for name in ("layers", "heads", "head_size", "reference"):
            setattr(counted, name, getattr(run, name))
        decoder._backbone = counted  # type: ignore[assignment]

    def _record_logits(self, _: Any, __: Any, logits: Tensor) -> None:
        self.logits = logits


@both
@pytest.mark.parametrize("which", range(3))
def test_extended_text_continues_as_if_known_from_the_start(turbo: bool, which: int) -> None:
    """With the same speech so far, the next token is the one upstream would draw."""
    t3, sampling = tiny_t3(turbo=turbo), SAMPLINGS[turbo][which]
    decoder, session = SpeechTokenDecoder(t3, 2, 640), create_session(7, sampling)
    full = text(33, turbo=turbo)
    prefix = decoder.compute_prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
    probe = DecoderProbe(t3, decoder)
    decoder.join(session, prefix, shorten(full, 4, turbo=turbo))
    texts = [shorten(full, count, turbo=turbo) for count in (9, 20, 20, 12, len(full) - 2)]
    texts[2][8] += 1  # a word changes, too
    for known in texts:
        expected = upstream_logits(t3, session.text, session.tokens, 5, turbo)
        decoder.join(session, prefix, known)
        other = upstream_logits(t3, known, session.tokens, 5, turbo)
        assert (expected - other).abs().max() > 10 * SAME_LOGITS
        for _ in range(4):
            expected = upstream_logits(t3, known, session.tokens, 5, turbo)
            token = draw_next(expected, session, t3.hp.start_speech_token)
            decoder.advance([session])
            torch.testing.assert_close(probe.logits, expected, atol=SAME_LOGITS, rtol=0)
            assert session.tokens[-1] == token


@both
def test_extending_text_recomputes_only_new_text_and_speech(turbo: bool) -> None:
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    decoder, session = SpeechTokenDecoder(t3, 1, 640), create_session(7, Sampling())
    prefix = decoder.compute_prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
    decoder.join(session, prefix, shorten(full, 9, turbo=turbo))
    for _ in range(7):
        decoder.advance([session])
    probe = DecoderProbe(t3, decoder)
    decoder.join(session, prefix, shorten(full, 12, turbo=turbo))
    # Turbo: 3 text tokens and the start; standard: also the text stop, and the start twice.
    assert probe.positions == 3 + (1 if turbo else 3) + 6
    decoder.join(session, prefix, shorten(full, 12, turbo=turbo))
    assert probe.positions == 3 + (1 if turbo else 3) + 6, "nothing is new"


@both
@pytest.mark.parametrize("count", [0, 6])
def test_stop_drawn_for_shorter_text_is_discarded(turbo: bool, count: int) -> None:
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    known = shorten(full, 9, turbo=turbo)
    decoder, session = SpeechTokenDecoder(t3, 2, 640), create_session(7, SAMPLINGS[turbo][0])
    prefix = decoder.compute_prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
    reference, other = create_session(7, SAMPLINGS[turbo][0]), create_session(1, Sampling())
    decoder.join(reference, prefix, known)
    for _ in range(count + 1):
        decoder.advance([reference])
    decoder.leave(reference)
    decoder.stop_token = reference.tokens[count]
    decoder.join(session, prefix, known)
    decoder.join(other, prefix, known)
    for _ in range(count + 1):
        decoder.advance([session])
    decoder.stop_token = SPEECH_END
    assert (session.ended, session.tokens) == (True, reference.tokens[:count])
    decoder.advance([other])
    decoder.join(session, prefix, known)
    assert session.ended, "the stop holds for the same text"
    expected = upstream_logits(t3, full, session.tokens, 5, turbo)
    token = draw_next(expected, session, t3.hp.start_speech_token)
    decoder.join(session, prefix, full)
    decoder.advance([session])
    assert (session.ended, session.tokens) == (False, [*reference.tokens[:count], token])


def test_ended_session_does_not_rejoin_for_the_same_text() -> None:
    t3 = tiny_t3(turbo=True)
    decoder, session = SpeechTokenDecoder(t3, 1, 640), create_session(11, Sampling())
    join(decoder, t3, session, 11, True)
    for _ in range(200):
        decoder.advance([session])
    decoder.leave(session)
    count = len(session.tokens)
    join(decoder, t3, session, 11, True)
    assert (session.ended, len(session.tokens), decoder.free_slots) == (True, count, 1)


@both
def test_extending_text_does_not_affect_other_sessions(turbo: bool) -> None:
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    sampling = SAMPLINGS[turbo][0]

    def extend(decoder: SpeechTokenDecoder, session: TokenSession, step: int) -> list[TokenSession]:
        """Extend the session's text at some steps; returns the sessions to advance."""
        if step in (4, 8, 14):
            prefix = decoder.compute_prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
            decoder.join(session, prefix, shorten(full, step, turbo=turbo))
        return [session] if step % 4 else []

    alone, decoder = create_session(7, sampling), SpeechTokenDecoder(t3, 1, 640)
    for step in range(24):
        decoder.advance(extend(decoder, alone, step))
    session, decoder = create_session(7, sampling), SpeechTokenDecoder(t3, 4, 640)
    others = {11: create_session(11, sampling), 22: create_session(22, sampling)}
    visitor = create_session(44, Sampling())
    coming = {0: (others[11], 11), 2: (visitor, 12), 10: (others[22], 22)}
    for step in range(24):
        if step in coming:
            join(decoder, t3, *coming[step], turbo)
        if step == 9:
            decoder.leave(visitor)
        decoder.advance([*others.values(), visitor, *extend(decoder, session, step)])
    assert session.tokens == alone.tokens
    for seed, other in others.items():
        expected = upstream_tokens(t3, seed, sampling, turbo=turbo)
        assert other.tokens[:COUNT] == expected[: len(other.tokens)]


@both
def test_session_that_left_continues_where_it_was(turbo: bool) -> None:
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    decoder = SpeechTokenDecoder(t3, 1, 640)
    prefix = decoder.compute_prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
    stayed, came_back = create_session(7, Sampling()), create_session(7, Sampling())
    for session in (stayed, came_back):
        decoder.join(session, prefix, full)
        for step in range(16):
            if step == 8 and session is came_back:
                decoder.leave(session)
                decoder.join(session, prefix, full)
            decoder.advance([session])
        decoder.leave(session)
    assert came_back.tokens == stayed.tokens
    assert len(stayed.tokens) == 16


@both
def test_extension_that_does_not_fit_raises_and_changes_nothing(turbo: bool) -> None:
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    length = (376 if turbo else 152) + 33
    spoken = []
    for grows in (False, True):
        decoder, session = SpeechTokenDecoder(t3, 1, length), create_session(7, Sampling())
        prefix = decoder.compute_prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
        decoder.join(session, prefix, shorten(full, 9, turbo=turbo))
        for step in range(50):
            if grows and step == 4:
                with pytest.raises(ValueError, match="do not fit"):
                    decoder.join(session, prefix, full)
            decoder.advance([session])
        assert session.ended
        spoken.append(session.tokens)
    assert spoken[0] == spoken[1]
    assert len(spoken[0]) > 10


@both
@pytest.mark.parametrize("spare", [0, 1, 3])
def test_row_can_be_filled_to_its_last_position(turbo: bool, spare: int) -> None:
    """With a second session in the decoder: all rows take part in every step."""
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    decoder = SpeechTokenDecoder(t3, 2, 480 if turbo else 240)
    prefix = decoder.compute_prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
    session, other = create_session(7, Sampling()), create_session(8, Sampling())
    for each in (session, other):
        decoder.join(each, prefix, shorten(full, 5, turbo=turbo))
    for _ in range(7):
        decoder.advance([session])
    count = len(session.tokens)
    room = decoder._cache.length - prefix.positions - (1 if turbo else 2) - count
    longer = torch.arange(3, 3 + room - spare) % 250
    if not spare:
        with pytest.raises(ValueError, match="do not fit"):
            decoder.join(session, prefix, longer)
        return
    decoder.stop_token = -1
    decoder.join(session, prefix, longer)
    for _ in range(8):
        decoder.advance([session, other])
    assert (session.ended, len(session.tokens)) == (True, count + spare)
    assert (other.ended, len(other.tokens)) == (False, 8)


@both
def test_session_that_left_after_a_stop_draws_its_own_noise(turbo: bool) -> None:
    """Its text grew while another session was in its slot."""
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    drawn = []
    for leaves in (False, True):
        decoder, session = SpeechTokenDecoder(t3, 1, 640), create_session(7, Sampling())
        prefix = decoder.compute_prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
        decoder.join(session, prefix, shorten(full, 9, turbo=turbo))
        decoder.advance([session])
        session.ended, session.draws = True, session.draws + 1  # as after a stop
        if leaves:
            decoder.leave(session)
            other = create_session(8, Sampling())
            decoder.join(other, prefix, full)
            decoder.advance([other])
            decoder.leave(other)
        decoder.join(session, prefix, full)
        for _ in range(6):
            decoder.advance([session])
        drawn.append(session.tokens)
    assert drawn[0] == drawn[1]


# --- bursts ---------------------------------------------------------------------------------------


@both
def test_bursts_draw_the_tokens_of_single_steps(turbo: bool) -> None:
    """Also for sessions that want different numbers of tokens, leave in between, and stop."""
    t3 = tiny_t3(turbo=turbo)
    alone: dict[int, list[int]] = {}
    for seed in SEEDS:
        decoder, session = SpeechTokenDecoder(t3, 1, 640), create_session(seed, Sampling())
        join(decoder, t3, session, seed, turbo)
        while not session.ended:
            decoder.advance([session])
        alone[seed] = session.tokens
    decoder = SpeechTokenDecoder(t3, 4, 640)
    sessions = {seed: create_session(seed, Sampling()) for seed in SEEDS}
    step = 0
    while not all(session.ended for session in sessions.values()):
        for seed, session in sessions.items():
            if step == 9:
                decoder.leave(session)
            if session.slot < 0 and not session.ended:
                join(decoder, t3, session, seed, turbo)
        counts = [(step + n) % (BURST + 1) for n in range(len(sessions))]
        decoder.advance(list(sessions.values()), counts)
        step += 1
    assert {seed: session.tokens for seed, session in sessions.items()} == alone


@both
def test_stop_is_not_drawn_before_the_minimum(turbo: bool) -> None:
    t3 = tiny_t3(turbo=turbo)
    decoder = SpeechTokenDecoder(t3, 2, 640)
    free, bound = create_session(11, Sampling()), create_session(11, Sampling())
    bound.min_tokens = 90
    for session in (free, bound):
        join(decoder, t3, session, 11, turbo)
    while not (free.ended and bound.ended):
        decoder.advance([free, bound], [BURST, BURST])
    assert len(free.tokens) < 80
    assert len(bound.tokens) >= 90
    assert bound.tokens[: len(free.tokens)] == free.tokens
