"""ChatterboxUtterance tokens from text: upstream's T3, decoded for many sessions at once.

Sessions join and leave at any step (continuous batching). Those that are alive lie in neighbouring
rows of the cache; when one leaves, the last takes its place. One step is one token for every
session that is advanced, whatever their lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from backend.engines.chatterbox.backbone import KeyValueCache, Span, backbone
from backend.engines.chatterbox.graphs import Graphs
from backend.engines.chatterbox.sampling import (
    Sampling,
    SamplingRows,
    draw,
    standard_scores,
    turbo_scores,
)

_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # sessions a step: padded up to the next
_REACH_STEP = 128  # positions: attention is cut at the next multiple


@dataclass(frozen=True, slots=True)
class Prefix:
    """A voice's conditioning, run through the layers once: one row of keys and values."""

    cache: KeyValueCache
    positions: int


@dataclass(eq=False, slots=True)
class TokenSession:
    """One utterance on its way from text tokens to speech tokens.

    `tokens`: what was drawn, the stop token not included. `ended`: it was drawn, or there is no
    room for more. `text`: the text tokens that it speaks.
    """

    sampling: Sampling
    generator: torch.Generator
    tokens: list[int] = field(default_factory=list)
    ended: bool = False
    text: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    slot: int = -1
    position: int = 0


class SpeechTokenDecoder:
    """Decodes with the weights of an upstream `T3` in evaluation mode; not thread-safe.

    `slots`: sessions at once; `length`: positions of a session (conditioning, text, speech).
    """

    def __init__(self, t3: Any, slots: int, length: int) -> None:
        self._t3 = t3
        self._turbo = bool(t3.is_gpt)
        self._width = 1 if self._turbo else 2  # rows a session: guidance has an unconditional one
        self._backbone = backbone(t3.tfmr)
        self._cache = KeyValueCache(self._backbone, slots * self._width, length)
        device = self._backbone.reference.device
        self._sessions: list[TokenSession] = []
        self._rows = SamplingRows(slots, device)
        vocabulary = t3.hp.speech_tokens_dict_size
        self._seen = torch.zeros(slots, vocabulary, dtype=torch.bool, device=device)
        self._noise = torch.ones(slots, vocabulary, device=device)
        # What a step takes in, a column a session: its last token, its place among the speech
        # tokens, its position in the row.
        self._inputs = torch.zeros(3, slots, dtype=torch.long, device=device)
        self._graphs = Graphs(device)
        self.stop: int = t3.hp.stop_speech_token

    @property
    def free(self) -> int:
        """Sessions that may still join."""
        return len(self._seen) - len(self._sessions)

    # --- joining and leaving ----------------------------------------------------------------------

    @torch.inference_mode()
    def prefix(self, conditioning: Tensor) -> Prefix:
        """Run a voice's conditioning, (1, n, size) from `T3.prepare_conditioning`, once."""
        x = conditioning.to(self._backbone.reference.dtype)
        positions = torch.arange(x.size(1), device=x.device)[None]
        cache = KeyValueCache(self._backbone, 1, x.size(1))
        self._backbone(x, cache, Span(0, positions, x.size(1)))
        return Prefix(cache, x.size(1))

    @torch.inference_mode()
    def join(self, session: TokenSession, prefix: Prefix, text: Tensor) -> None:
        """Take a session in, and draw its first token where it has none. `text`: its text tokens,
        (n,), with start and stop where the model wants them. One that has left goes on where it
        was.

        One that is in goes on with its text grown or changed: its speech stays, and only what lies
        behind the text that is the same is computed again. A stop that was drawn on another text is
        forgotten. Raises `ValueError` when there is no room: then the session is as it was.
        """
        inside = session.slot >= 0
        if torch.equal(text, session.text) and (inside or session.ended):
            return
        x, first = self._inputs_of(text, session.tokens), prefix.positions
        # The last token of the speech is not in `x`: the next step feeds it.
        if first + x.size(1) + bool(session.tokens) >= self._cache.length:
            raise ValueError(f"{text.numel()} text tokens do not fit into {self._cache.length}")
        same = _same(text, session.text) if inside else 0
        if not inside:
            self._place(session, prefix)
        session.text = text
        self._read(session, x[:, same:], first + same)

    def _place(self, session: TokenSession, prefix: Prefix) -> None:
        session.slot = len(self._sessions)
        self._sessions.append(session)
        row = session.slot * self._width
        for each in range(row, row + self._width):
            self._cache.load(each, prefix.cache, 0, prefix.positions)
        self._rows.put(session.slot, session.sampling)

    def _read(self, session: TokenSession, x: Tensor, first: int) -> None:
        """Run the inputs of a session's text and speech, those from position `first` on, and draw
        the first token of speech where there is none.
        """
        session.position, session.ended = first + x.size(1), False
        row = session.slot * self._width
        positions = torch.arange(first, session.position, device=x.device).expand(self._width, -1)
        hidden = self._backbone(x, self._cache, Span(row, positions, session.position))[:, -1]
        seen, start = self._seen[session.slot], self._t3.hp.start_speech_token
        seen[:] = False
        seen[[start, *session.tokens]] = True
        if not session.tokens:
            self._exponential(session)
            token = self._choose(hidden, slice(session.slot, session.slot + 1))
            self._take([session], token.tolist())
        if self._turbo:  # upstream's Turbo counts the start token for the first draw only
            seen[start] = start in session.tokens

    def leave(self, session: TokenSession) -> None:
        """Free the session's place; one that is not in is fine."""
        if session.slot < 0:
            return
        last = self._sessions.pop()
        if last is not session:
            self._move(last, session.slot)
        session.slot = -1

    def _move(self, session: TokenSession, slot: int) -> None:
        for n in range(self._width):
            source, target = session.slot * self._width + n, slot * self._width + n
            self._cache.load(target, self._cache, source, session.position)
        self._seen[slot] = self._seen[session.slot]
        self._rows.put(slot, session.sampling)
        self._sessions[slot] = session
        session.slot = slot

    def _inputs_of(self, text: Tensor, tokens: Sequence[int]) -> Tensor:
        """The embedded text, the start of speech, and the speech without its last token, (width, n,
        size).
        """
        t3, device = self._t3, self._backbone.reference.device
        text = text.to(device)[None]
        speech = torch.tensor([[t3.hp.start_speech_token, *tokens[:-1]]], device=device)
        words, sounds = t3.text_emb(text), t3.speech_emb(speech)
        if self._turbo:
            return torch.cat([words, sounds], 1)
        places = t3.text_pos_emb(text)
        sounds = sounds + t3.speech_pos_emb(speech)
        sounds = torch.cat([sounds[:, :1], sounds], 1)  # upstream starts speech twice
        conditional = torch.cat([words + places, sounds], 1)
        unconditional = torch.cat([torch.zeros_like(words) + places, sounds], 1)
        return torch.cat([conditional, unconditional])

    # --- stepping ---------------------------------------------------------------------------------

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Capture the steps of all sizes, while nobody is in: nobody waits for it later. Blocks
        (seconds) on a card.
        """
        most, length = self._seen.size(0), self._cache.length
        for count in sorted({min(each, most) for each in _BUCKETS}, reverse=True):
            for reach in (*range(_REACH_STEP, length, _REACH_STEP), length):
                for _ in range(self._graphs.warm_ups):
                    self._graphs.run((count, reach), self._step(count, reach))

    @torch.inference_mode()
    def advance(self, sessions: Sequence[TokenSession]) -> None:
        """Draw the next token of each of these sessions; the others stay as they are."""
        sessions = [session for session in sessions if session.slot >= 0 and not session.ended]
        if not sessions:
            return
        for session in sessions:
            self._exponential(session)
        # All rows take part: a session that is not advanced writes where its next token will, also
        # one that drew nothing but the stop: it is read again before it goes on.
        columns = [((s.tokens or [0])[-1], len(s.tokens), s.position) for s in self._sessions]
        count = min(next(b for b in _BUCKETS if b >= len(columns)), self._seen.size(0))
        self._inputs[:, : len(columns)] = torch.tensor(columns).T
        self._inputs[2, len(columns) : count] = 0
        furthest = max(session.position for session in self._sessions) + 1
        reach = min(-(-furthest // _REACH_STEP) * _REACH_STEP, self._cache.length)
        tokens = self._graphs.run((count, reach), self._step(count, reach)).tolist()
        for session in sessions:
            session.position += 1
        self._take(sessions, [tokens[session.slot] for session in sessions])

    def _step(self, count: int, reach: int) -> Callable[[], Tensor]:
        def step() -> Tensor:
            token, place, position = self._inputs[:, :count]
            self._seen[:count].scatter_(1, token[:, None], value=True)  # for the draws from now on
            x = self._t3.speech_emb(token)
            if not self._turbo:
                x = x + self._t3.speech_pos_emb.emb(place)
            x = x.repeat_interleave(self._width, 0)[:, None]
            positions = position.repeat_interleave(self._width)[:, None]
            hidden = self._backbone(x, self._cache, Span(0, positions, reach))[:, -1]
            return self._choose(hidden, slice(0, count))

        return step

    def _choose(self, hidden: Tensor, slots: slice) -> Tensor:
        """Draw for the sessions in these slots from their last hidden states."""
        logits = self._t3.speech_head(hidden).float()
        seen, noise = self._seen[slots], self._noise[slots]
        if self._turbo:
            return draw(turbo_scores(logits, seen, self._rows, slots), noise)
        with_text, without = logits.view(-1, 2, logits.size(-1)).unbind(1)
        logits = with_text + self._rows.cfg_weight[slots] * (with_text - without)
        return draw(standard_scores(logits, seen, self._rows, slots), noise)

    def _exponential(self, session: TokenSession) -> None:
        self._noise[session.slot : session.slot + 1].exponential_(1, generator=session.generator)

    def _take(self, sessions: Sequence[TokenSession], tokens: Sequence[int]) -> None:
        for session, token in zip(sessions, tokens, strict=True):
            full = session.position + 1 >= self._cache.length
            session.ended = token == self.stop or full
            if token != self.stop:
                session.tokens.append(token)


def _same(text: Tensor, other: Tensor) -> int:
    """How many tokens two texts have in common at their beginning."""
    both = min(len(text), len(other))
    return int((text[:both] == other[:both]).cumprod(0).sum())
