"""Speech tokens from text: upstream's T3, decoded for many sessions at once.

Sessions join and leave at any step (continuous batching). Active sessions occupy adjacent rows of
the cache; when one leaves, the last moves into its slot. A step draws one token for every session
that is advanced, whatever its length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from backend.engines.chatterbox.backbone import KeyValueCache, RowSpan, create_backbone
from backend.engines.chatterbox.graphs import GraphCache
from backend.engines.chatterbox.sampling import (
    Sampling,
    SamplingRows,
    draw,
    standard_scores,
    turbo_scores,
)

_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # sessions per step: padded to the next size
_REACH_STEP = 128  # positions: attention is truncated at the next multiple


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values of a voice's conditioning, one row, computed once."""

    cache: KeyValueCache
    positions: int


@dataclass(eq=False, slots=True)
class TokenSession:
    """Decoding state of one passage.

    `tokens`: the speech tokens so far, without the stop token. `ended`: the stop token was drawn or
    the row is full. `text`: the text tokens to speak. `attended`: of each speech token, the text
    token that the model attended to most; empty if that is not known. `slot`: -1 when not in the
    decoder.
    """

    sampling: Sampling
    generator: torch.Generator
    tokens: list[int] = field(default_factory=list)
    attended: list[int] = field(default_factory=list)
    ended: bool = False
    text: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    slot: int = -1
    position: int = 0


class SpeechTokenDecoder:
    """Decodes with the weights of an upstream `T3` in evaluation mode; not thread-safe.

    `slots`: concurrent sessions; `length`: positions per session (conditioning, text, speech).
    """

    def __init__(self, t3: Any, slots: int, length: int) -> None:
        self._t3 = t3
        self._turbo = bool(t3.is_gpt)
        self._width = 1 if self._turbo else 2  # rows per session: guidance adds an unconditional
        self._backbone = create_backbone(t3.tfmr)
        self._cache = KeyValueCache(self._backbone, slots * self._width, length)
        device = self._backbone.reference.device
        self._sessions: list[TokenSession] = []
        self._rows = SamplingRows(slots, device)
        vocabulary = t3.hp.speech_tokens_dict_size
        self._seen = torch.zeros(slots, vocabulary, dtype=torch.bool, device=device)
        self._noise = torch.ones(slots, vocabulary, device=device)
        # A step's inputs, a column per session: last token, its index in the speech, its position
        # in the row.
        self._inputs = torch.zeros(3, slots, dtype=torch.long, device=device)
        self._graphs = GraphCache(device)
        self.stop_token: int = t3.hp.stop_speech_token

    @property
    def free_slots(self) -> int:
        """How many more sessions may join."""
        return len(self._seen) - len(self._sessions)

    # --- joining and leaving ----------------------------------------------------------------------

    @torch.inference_mode()
    def compute_prefix(self, conditioning: Tensor) -> Prefix:
        """Run a voice's conditioning, (1, n, size) from `T3.prepare_conditioning`."""
        x = conditioning.to(self._backbone.reference.dtype)
        positions = torch.arange(x.size(1), device=x.device)[None]
        cache = KeyValueCache(self._backbone, 1, x.size(1))
        self._backbone(x, cache, RowSpan(0, positions, x.size(1)))
        return Prefix(cache, x.size(1))

    @torch.inference_mode()
    def join(self, session: TokenSession, prefix: Prefix, text: Tensor) -> None:
        """Add a session, or change its text; draws its first token if it has none. `text`: text
        tokens, (n,), with the model's start and stop. A session that has left continues where it
        was.

        A session already in keeps its speech; only the positions after the common prefix of the
        texts are recomputed. A stop drawn for another text is discarded. Raises `ValueError` if the
        row is too short: the session is then unchanged.
        """
        inside = session.slot >= 0
        if torch.equal(text, session.text) and (inside or session.ended):
            return
        x, first = self._embed_inputs(text, session.tokens), prefix.positions
        # The last speech token is not in `x`: the next step feeds it.
        if first + x.size(1) + bool(session.tokens) >= self._cache.length:
            raise ValueError(f"{text.numel()} text tokens do not fit into {self._cache.length}")
        cached = _common_prefix(text, session.text) if inside else 0
        if not inside:
            self._take_slot(session, prefix)
        session.text = text
        self._prefill(session, x[:, cached:], first + cached)

    def _take_slot(self, session: TokenSession, prefix: Prefix) -> None:
        session.slot = len(self._sessions)
        self._sessions.append(session)
        first_row = session.slot * self._width
        for row in range(first_row, first_row + self._width):
            self._cache.copy_row(row, prefix.cache, 0, prefix.positions)
        self._rows.set_row(session.slot, session.sampling)

    def _prefill(self, session: TokenSession, x: Tensor, first: int) -> None:
        """Run a session's text and speech inputs from position `first` on; draws the first speech
        token if there is none.
        """
        session.position, session.ended = first + x.size(1), False
        row = session.slot * self._width
        positions = torch.arange(first, session.position, device=x.device).expand(self._width, -1)
        hidden = self._backbone(x, self._cache, RowSpan(row, positions, session.position))[:, -1]
        seen, start = self._seen[session.slot], self._t3.hp.start_speech_token
        seen[:] = False
        seen[[start, *session.tokens]] = True
        if not session.tokens:
            self._draw_noise(session)
            token = self._sample(hidden, slice(session.slot, session.slot + 1))
            self._append_tokens([session], token.tolist())
        if self._turbo:  # upstream's Turbo penalises the start token in the first draw only
            seen[start] = start in session.tokens

    def leave(self, session: TokenSession) -> None:
        """Free the session's slot; does nothing if it has none."""
        if session.slot < 0:
            return
        last = self._sessions.pop()
        if last is not session:
            self._move_session(last, session.slot)
        session.slot = -1

    def _move_session(self, session: TokenSession, slot: int) -> None:
        for n in range(self._width):
            source, target = session.slot * self._width + n, slot * self._width + n
            self._cache.copy_row(target, self._cache, source, session.position)
        self._seen[slot] = self._seen[session.slot]
        self._rows.set_row(slot, session.sampling)
        self._sessions[slot] = session
        session.slot = slot

    def _embed_inputs(self, text: Tensor, tokens: Sequence[int]) -> Tensor:
        """Embed the text, the speech start and all but the last speech token: (width, n, size)."""
        t3, device = self._t3, self._backbone.reference.device
        text = text.to(device)[None]
        speech = torch.tensor([[t3.hp.start_speech_token, *tokens[:-1]]], device=device)
        text_x, speech_x = t3.text_emb(text), t3.speech_emb(speech)
        if self._turbo:
            return torch.cat([text_x, speech_x], 1)
        positions = t3.text_pos_emb(text)
        speech_x = speech_x + t3.speech_pos_emb(speech)
        speech_x = torch.cat([speech_x[:, :1], speech_x], 1)  # upstream feeds the start twice
        conditional = torch.cat([text_x + positions, speech_x], 1)
        unconditional = torch.cat([torch.zeros_like(text_x) + positions, speech_x], 1)
        return torch.cat([conditional, unconditional])

    # --- stepping ---------------------------------------------------------------------------------

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Capture steps of all sizes before any session joins. Blocks (seconds) on CUDA."""
        slots, length = self._seen.size(0), self._cache.length
        for count in sorted({min(size, slots) for size in _BUCKETS}, reverse=True):
            for reach in (*range(_REACH_STEP, length, _REACH_STEP), length):
                for _ in range(self._graphs.warm_ups):
                    self._graphs.run((count, reach), self._create_step(count, reach))

    @torch.inference_mode()
    def advance(self, sessions: Sequence[TokenSession]) -> None:
        """Draw the next token of each of these sessions; the others are unchanged."""
        sessions = [session for session in sessions if session.slot >= 0 and not session.ended]
        if not sessions:
            return
        for session in sessions:
            self._draw_noise(session)
        # All rows take part. A session that is not advanced writes where its next token will; one
        # that drew only the stop is prefilled again before it continues.
        columns = [((s.tokens or [0])[-1], len(s.tokens), s.position) for s in self._sessions]
        count = min(next(b for b in _BUCKETS if b >= len(columns)), self._seen.size(0))
        self._inputs[:, : len(columns)] = torch.tensor(columns).T
        self._inputs[2, len(columns) : count] = 0
        furthest = max(session.position for session in self._sessions) + 1
        reach = min(-(-furthest // _REACH_STEP) * _REACH_STEP, self._cache.length)
        tokens = self._graphs.run((count, reach), self._create_step(count, reach)).tolist()
        for session in sessions:
            session.position += 1
        self._append_tokens(sessions, [tokens[session.slot] for session in sessions])

    def _create_step(self, count: int, reach: int) -> Callable[[], Tensor]:
        def step() -> Tensor:
            token, speech_index, position = self._inputs[:, :count]
            self._seen[:count].scatter_(1, token[:, None], value=True)
            x = self._t3.speech_emb(token)
            if not self._turbo:
                x = x + self._t3.speech_pos_emb.emb(speech_index)
            x = x.repeat_interleave(self._width, 0)[:, None]
            positions = position.repeat_interleave(self._width)[:, None]
            hidden = self._backbone(x, self._cache, RowSpan(0, positions, reach))[:, -1]
            return self._sample(hidden, slice(0, count))

        return step

    def _sample(self, hidden: Tensor, slots: slice) -> Tensor:
        """Draw a token for each of these slots from its last hidden state."""
        logits = self._t3.speech_head(hidden).float()
        seen, noise = self._seen[slots], self._noise[slots]
        if self._turbo:
            return draw(turbo_scores(logits, seen, self._rows, slots), noise)
        with_text, without = logits.view(-1, 2, logits.size(-1)).unbind(1)
        logits = with_text + self._rows.cfg_weight[slots] * (with_text - without)
        return draw(standard_scores(logits, seen, self._rows, slots), noise)

    def _draw_noise(self, session: TokenSession) -> None:
        self._noise[session.slot : session.slot + 1].exponential_(1, generator=session.generator)

    def _append_tokens(self, sessions: Sequence[TokenSession], tokens: Sequence[int]) -> None:
        for session, token in zip(sessions, tokens, strict=True):
            full = session.position + 1 >= self._cache.length
            session.ended = token == self.stop_token or full
            if token != self.stop_token:
                session.tokens.append(token)


def _common_prefix(text: Tensor, other: Tensor) -> int:
    """Length of the common prefix of two texts, in tokens."""
    length = min(len(text), len(other))
    return int((text[:length] == other[:length]).cumprod(0).sum())
