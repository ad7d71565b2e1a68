"""The decoder against upstream's own loops: the same tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.engines.chatterbox.decoder import SpeechTokenDecoder, TokenSession
from backend.engines.chatterbox.sampling import (
    Sampling,
    SamplingRows,
    draw,
    standard_scores,
    turbo_scores,
)
from tests.support.chatterbox.tiny import SPEECH_END, devices, quiet, tiny_t3, voice

COUNT = 24  # tokens compared
SAME_LOGITS = 1e-3  # a thousandth of a probability
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


# --- a text that grows ----------------------------------------------------------------------------


def short(full: Tensor, count: int, *, turbo: bool) -> Tensor:
    """The text when `count` of its tokens were typed."""
    return full[:count].clone() if turbo else torch.cat([full[: count + 1], full[-1:]])


def upstreams_logits(t3: Any, text_: Tensor, tokens: list[int], seed: int, turbo: bool) -> Tensor:
    """What upstream's own layers make of all the text and of this speech: the last logits."""
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
            speech = torch.cat([start, speech], 1)  # upstream starts speech twice
            sounds = t3.speech_emb(speech) + t3.speech_pos_emb(speech)
            x = torch.cat([x, sounds.expand(2, -1, -1)], 1)
        logits: Tensor = t3.speech_head(t3.tfmr(inputs_embeds=x).last_hidden_state[:, -1])
    return logits


def drawn_from(logits: Tensor, one: TokenSession, noise: torch.Generator, start: int) -> int:
    """The next token of a session, from upstream's logits; `noise` draws what the session will."""
    rows, turbo = SamplingRows(1, logits.device), len(logits) == 1
    rows.put(0, one.sampling)
    seen = torch.zeros(1, logits.size(1), dtype=torch.bool)
    seen[0, one.tokens] = True
    if not (turbo and one.tokens):
        seen[0, start] = True
    e = torch.empty(1, logits.size(1)).exponential_(1, generator=noise)
    if turbo:
        return int(draw(turbo_scores(logits, seen, rows, slice(0, 1)), e))
    guided = logits[:1] + one.sampling.cfg_weight * (logits[:1] - logits[1:])
    return int(draw(standard_scores(guided, seen, rows, slice(0, 1)), e))


def same_noise(one: TokenSession) -> torch.Generator:
    noise = torch.Generator()
    noise.set_state(one.generator.get_state())
    return noise


class Heard:
    """The logits of a T3's latest step, and how many positions its layers have run."""

    def __init__(self, t3: Any, decoder: SpeechTokenDecoder) -> None:
        self.logits = torch.zeros(0)
        self.positions = 0
        t3.speech_head.register_forward_hook(self._hear)
        run = decoder._backbone

        def counted(x: Tensor, *where: Any) -> Tensor:
            self.positions += x.size(1)
            return run(x, *where)

        for name in ("layers", "heads", "head_size", "reference"):
            setattr(counted, name, getattr(run, name))
        decoder._backbone = counted  # type: ignore[assignment]

    def _hear(self, _: Any, __: Any, logits: Tensor) -> None:
        self.logits = logits


@both
@pytest.mark.parametrize("which", range(3))
def test_a_text_that_grew_is_spoken_on_as_if_all_of_it_had_been_known(
    turbo: bool, which: int
) -> None:
    """The same speech before it, and what upstream's layers draw then."""
    t3, sampling = tiny_t3(turbo=turbo), SAMPLINGS[turbo][which]
    decoder, one = SpeechTokenDecoder(t3, 2, 640), session(7, sampling)
    full = text(33, turbo=turbo)
    prefix = decoder.prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
    heard = Heard(t3, decoder)
    decoder.join(one, prefix, short(full, 4, turbo=turbo))
    texts = [short(full, count, turbo=turbo) for count in (9, 20, 20, 12, len(full) - 2)]
    texts[2][8] += 1  # not only grown: a word in it is another
    for known in texts:
        expected = upstreams_logits(t3, one.text, one.tokens, 5, turbo)
        decoder.join(one, prefix, known)
        other = upstreams_logits(t3, known, one.tokens, 5, turbo)
        assert (expected - other).abs().max() > 10 * SAME_LOGITS
        for _ in range(4):
            expected = upstreams_logits(t3, known, one.tokens, 5, turbo)
            token = drawn_from(expected, one, same_noise(one), t3.hp.start_speech_token)
            decoder.advance([one])
            torch.testing.assert_close(heard.logits, expected, atol=SAME_LOGITS, rtol=0)
            assert one.tokens[-1] == token


@both
def test_of_a_text_that_grew_only_what_is_new_and_the_speech_is_computed(turbo: bool) -> None:
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    decoder, one = SpeechTokenDecoder(t3, 1, 640), session(7, Sampling())
    prefix = decoder.prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
    decoder.join(one, prefix, short(full, 9, turbo=turbo))
    for _ in range(6):
        decoder.advance([one])
    heard = Heard(t3, decoder)
    decoder.join(one, prefix, short(full, 12, turbo=turbo))
    # Turbo: 3 text tokens, the start; standard: the stop of text as well, and the start twice.
    assert heard.positions == 3 + (1 if turbo else 3) + 6
    decoder.join(one, prefix, short(full, 12, turbo=turbo))
    assert heard.positions == 3 + (1 if turbo else 3) + 6, "nothing is new"


@both
@pytest.mark.parametrize("count", [0, 6])
def test_a_stop_that_was_drawn_on_a_shorter_text_is_forgotten(turbo: bool, count: int) -> None:
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    known = short(full, 9, turbo=turbo)
    decoder, one = SpeechTokenDecoder(t3, 2, 640), session(7, SAMPLINGS[turbo][0])
    prefix = decoder.prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
    foretold, other = session(7, SAMPLINGS[turbo][0]), session(1, Sampling())
    decoder.join(foretold, prefix, known)
    for _ in range(count):
        decoder.advance([foretold])
    decoder.leave(foretold)
    decoder.stop = foretold.tokens[count]
    decoder.join(one, prefix, known)
    decoder.join(other, prefix, known)
    for _ in range(count):
        decoder.advance([one])
    decoder.stop = SPEECH_END
    assert (one.ended, one.tokens) == (True, foretold.tokens[:count])
    decoder.advance([other])
    decoder.join(one, prefix, known)
    assert one.ended, "the same text has the same end"
    expected = upstreams_logits(t3, full, one.tokens, 5, turbo)
    token = drawn_from(expected, one, same_noise(one), t3.hp.start_speech_token)
    decoder.join(one, prefix, full)
    if count:
        decoder.advance([one])
    assert (one.ended, one.tokens) == (False, [*foretold.tokens[:count], token])


def test_who_has_ended_need_not_come_in_again_for_the_same_text() -> None:
    t3 = tiny_t3(turbo=True)
    decoder, one = SpeechTokenDecoder(t3, 1, 640), session(11, Sampling())
    join(decoder, t3, one, 11, True)
    for _ in range(200):
        decoder.advance([one])
    decoder.leave(one)
    count = len(one.tokens)
    join(decoder, t3, one, 11, True)
    assert (one.ended, len(one.tokens), decoder.free) == (True, count, 1)


@both
def test_a_growing_text_leaves_the_others_as_they_are(turbo: bool) -> None:
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    sampling = SAMPLINGS[turbo][0]

    def grown(decoder: SpeechTokenDecoder, one: TokenSession, step: int) -> list[TokenSession]:
        """The one who speaks and pauses: who is to be advanced."""
        if step in (4, 8, 14):
            prefix = decoder.prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
            decoder.join(one, prefix, short(full, step, turbo=turbo))
        return [one] if step % 4 else []

    alone, decoder = session(7, sampling), SpeechTokenDecoder(t3, 1, 640)
    for step in range(24):
        decoder.advance(grown(decoder, alone, step))
    one, decoder = session(7, sampling), SpeechTokenDecoder(t3, 4, 640)
    others = {11: session(11, sampling), 22: session(22, sampling)}
    passer_by = session(44, Sampling())
    coming = {0: (others[11], 11), 2: (passer_by, 12), 10: (others[22], 22)}
    for step in range(24):
        if step in coming:
            join(decoder, t3, *coming[step], turbo)
        if step == 9:
            decoder.leave(passer_by)
        decoder.advance([*others.values(), passer_by, *grown(decoder, one, step)])
    assert one.tokens == alone.tokens
    for seed, other in others.items():
        expected = upstream(t3, seed, sampling, turbo=turbo)
        assert other.tokens[:COUNT] == expected[: len(other.tokens)]


@both
def test_who_has_left_goes_on_where_it_was(turbo: bool) -> None:
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    decoder = SpeechTokenDecoder(t3, 1, 640)
    prefix = decoder.prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
    stayed, came_back = session(7, Sampling()), session(7, Sampling())
    for one in (stayed, came_back):
        decoder.join(one, prefix, full)
        for step in range(16):
            if step == 8 and one is came_back:
                decoder.leave(one)
                decoder.join(one, prefix, full)
            decoder.advance([one])
        decoder.leave(one)
    assert came_back.tokens == stayed.tokens
    assert len(stayed.tokens) == 17


@both
def test_a_text_that_grows_beyond_the_row_is_refused_and_spoken_without_it(turbo: bool) -> None:
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    length = (376 if turbo else 152) + 33
    spoken = []
    for grows in (False, True):
        decoder, one = SpeechTokenDecoder(t3, 1, length), session(7, Sampling())
        prefix = decoder.prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
        decoder.join(one, prefix, short(full, 9, turbo=turbo))
        for step in range(50):
            if grows and step == 4:
                with pytest.raises(ValueError, match="do not fit"):
                    decoder.join(one, prefix, full)
            decoder.advance([one])
        assert one.ended
        spoken.append(one.tokens)
    assert spoken[0] == spoken[1]
    assert len(spoken[0]) > 10


@both
@pytest.mark.parametrize("spare", [0, 1, 3])
def test_a_row_can_be_filled_to_its_last_place(turbo: bool, spare: int) -> None:
    """Beside one that is in: all rows take part in every step."""
    t3, full = tiny_t3(turbo=turbo), text(33, turbo=turbo)
    decoder = SpeechTokenDecoder(t3, 2, 480 if turbo else 240)
    prefix = decoder.prefix(t3.prepare_conditioning(voice(5, turbo=turbo).t3))
    one, other = session(7, Sampling()), session(8, Sampling())
    for each in (one, other):
        decoder.join(each, prefix, short(full, 5, turbo=turbo))
    for _ in range(6):
        decoder.advance([one])
    count = len(one.tokens)
    room = decoder._cache.length - prefix.positions - (1 if turbo else 2) - count
    longer = torch.arange(3, 3 + room - spare) % 250
    if not spare:
        with pytest.raises(ValueError, match="do not fit"):
            decoder.join(one, prefix, longer)
        return
    decoder.stop = -1
    decoder.join(one, prefix, longer)
    for _ in range(8):
        decoder.advance([one, other])
    assert (one.ended, len(one.tokens)) == (True, count + spare)
    assert (other.ended, len(other.tokens)) == (False, 9)
