"""Speech tokens from text: upstream's T3, decoded for many sessions at once.

Sessions join and leave at any step (continuous batching). Active sessions occupy adjacent rows of
the cache; when one leaves, the last moves into its slot. A call draws up to `BURST` tokens of every
session that is advanced, whatever its length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.engines.chatterbox.device.fused import load_kernels
from backend.engines.chatterbox.device.graphs import GraphCache
from backend.engines.chatterbox.speech_tokens.backbone import (
    AttentionWatch,
    Heads,
    KeyValueCache,
    RowSpan,
    create_backbone,
)
from backend.engines.chatterbox.speech_tokens.sampling import (
    Sampling,
    SamplingRows,
    draw,
    draw_turbo,
    standard_scores,
)
from backend.engines.chatterbox.speech_tokens.word_times import STANDARD_HEADS, TURBO_HEADS

_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # sessions per step: padded to the next size
_REACH_STEP = 128  # positions: without kernels attention is truncated at the next multiple
BURST = 4  # most tokens of a session in one call: they need the device's answer once
_TEXT_STEP = 16  # tokens: texts are padded to a multiple when they are read
_LONGEST_WARM = 112  # text tokens of the readings that are captured at start


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values of a voice's conditioning, one row, computed once."""

    cache: KeyValueCache
    positions: int


@dataclass(eq=False, slots=True)
class TokenSession:
    """Decoding state of one passage.

    `tokens`: the speech tokens so far, without the stop token; `attended`: of each, the text token
    that the model attended to most, empty if that is not known. `min_tokens`: with fewer the stop
    token is not drawn. `ended`: the stop token was drawn or the row is full. `text`: the text
    tokens to speak, from position `text_at` on. `slot`: -1 when not in the decoder. `draws`: tokens
    drawn, also a discarded stop; `blocks`: blocks of noise drawn for them, the last two of which
    are `noise` while the session is outside.
    """

    sampling: Sampling
    generator: torch.Generator
    tokens: list[int] = field(default_factory=list)
    attended: list[int] = field(default_factory=list)
    min_tokens: int = 0
    ended: bool = False
    text: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    text_at: int = 0
    slot: int = -1
    position: int = 0
    draws: int = 0
    noise: Tensor | None = None
    blocks: int = 0


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
        # Two blocks of noise per session, drawn in turn: a burst may span both.
        self._noise = torch.ones(slots, 2 * BURST, vocabulary, device=device)
        # A burst's inputs, a column per session; see `_column`.
        self._inputs = torch.zeros(8, slots, dtype=torch.long, device=device)
        self._heads = find_text_heads(t3, self._backbone)
        self._by_row = load_kernels(device) is not None
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
        self._backbone(x, cache, RowSpan(slice(0, 1), positions, x.size(1)))
        return Prefix(cache, x.size(1))

    @torch.inference_mode()
    def join(self, session: TokenSession, prefix: Prefix, text: Tensor) -> None:
        """Add a session, or change its text. `text`: text tokens, (n,), with the model's start and
        stop. A session that has left continues where it was. Waits for what is
        queued on the device.

        A session already in keeps its speech; only the positions after the common prefix of the
        texts are recomputed. A stop drawn for another text is discarded. Raises `ValueError` if the
        row is too short: the session is then unchanged.
        """
        inside = session.slot >= 0
        if torch.equal(text, session.text) and (inside or session.ended):
            return
        # One more for the last speech token, which the next step feeds.
        length = prefix.positions + len(text) + self._before_speech + len(session.tokens)
        if length + 1 >= self._cache.length:
            raise ValueError(f"{text.numel()} text tokens do not fit into {self._cache.length}")
        cached = _common_prefix(text, session.text) if inside else 0
        if not inside:
            self._take_slot(session, prefix)
        session.text, session.text_at = text, prefix.positions
        session.position, session.ended = length, False
        if cached or session.tokens:
            self._prefill(session, cached, prefix.positions)
        else:
            self._read_text(session.slot, text, prefix.positions)
        self._mark_seen(session)

    def _take_slot(self, session: TokenSession, prefix: Prefix) -> None:
        session.slot = len(self._sessions)
        self._sessions.append(session)
        first_row = session.slot * self._width
        for row in range(first_row, first_row + self._width):
            self._cache.copy_row(row, prefix.cache, 0, prefix.positions)
        self._rows.set_row(session.slot, session.sampling)
        if session.noise is not None:
            self._noise[session.slot] = session.noise

    def _prefill(self, session: TokenSession, cached: int, first: int) -> None:
        """Run a session's text, from token `cached` on, and its speech; `first`: the text's
        position.
        """
        x = self._embed_inputs(session.text, session.tokens)[:, cached:]
        positions = torch.arange(first + cached, session.position, device=x.device)
        row = session.slot * self._width
        rows, positions = slice(row, row + self._width), positions.expand(self._width, -1)
        self._backbone(x, self._cache, RowSpan(rows, positions, session.position))

    def _read_text(self, slot: int, text: Tensor, first: int) -> None:
        """Run a text at positions from `first` on, padded so that few shapes occur. The padding's
        keys and values are overwritten before a position attends to them.
        """
        size = -(-(len(text) + self._before_speech) // _TEXT_STEP) * _TEXT_STEP
        size = min(size, self._cache.length - first)
        ids = F.pad(text, (0, size - len(text)))
        inputs = torch.cat([ids, torch.tensor([slot, len(text)])]).to(self._seen.device)
        self._graphs.run(("text", first, size), self._create_reading(first, size), inputs)

    def _create_reading(self, first: int, size: int) -> Callable[[Tensor], Tensor]:
        def read(inputs: Tensor) -> Tensor:
            slot, end = inputs[size], inputs[size + 1]
            x = self._embed_inputs(inputs[:size], ())[:, :size]
            if self._before_speech:
                start = self._embed_inputs(inputs[:0], ())
                x = torch.where((torch.arange(size, device=x.device) == end)[:, None], start, x)
            positions = torch.arange(first, first + size, device=x.device).expand(self._width, -1)
            rows = slot * self._width + torch.arange(self._width, device=x.device)
            return self._backbone(x, self._cache, RowSpan(rows, positions, first + size))

        return read

    def _mark_seen(self, session: TokenSession) -> None:
        seen, start = self._seen[session.slot], self._t3.hp.start_speech_token
        seen[:] = False
        if session.tokens:
            seen[[start, *session.tokens]] = True
            if self._turbo:  # upstream's Turbo penalises the start token in the first draw only
                seen[start] = start in session.tokens

    def leave(self, session: TokenSession) -> None:
        """Free the session's slot; does nothing if it has none."""
        if session.slot < 0:
            return
        last = self._sessions.pop()
        session.noise = self._noise[session.slot].clone()  # it may come back with a longer text
        if last is not session:
            self._move_session(last, session.slot)
        session.slot = -1

    def _move_session(self, session: TokenSession, slot: int) -> None:
        for n in range(self._width):
            source, target = session.slot * self._width + n, slot * self._width + n
            self._cache.copy_row(target, self._cache, source, session.position)
        self._seen[slot] = self._seen[session.slot]
        self._noise[slot] = self._noise[session.slot]
        self._rows.set_row(slot, session.sampling)
        self._sessions[slot] = session
        session.slot = slot

    @property
    def _before_speech(self) -> int:
        """Positions between text and speech: the standard model is fed the start twice."""
        return 0 if self._turbo else 1

    def _embed_inputs(self, text: Tensor, tokens: Sequence[int]) -> Tensor:
        """Embed the text, the speech start and the speech, without the last of these, which the
        next step feeds: (width, n, size).
        """
        t3, device = self._t3, self._backbone.reference.device
        text = text.to(device)[None]
        if tokens:
            speech = torch.tensor([[t3.hp.start_speech_token, *tokens[:-1]]], device=device)
        else:
            speech = text[:, :0]
        text_x, speech_x = t3.text_emb(text), t3.speech_emb(speech)
        if self._turbo:
            return torch.cat([text_x, speech_x], 1)
        start = torch.full((1, 1), t3.hp.start_speech_token, device=device)
        start_x = t3.speech_emb(start) + t3.speech_pos_emb(start)
        if tokens:
            speech_x = speech_x + t3.speech_pos_emb(speech)
        positions = t3.text_pos_emb(text)
        conditional = torch.cat([text_x + positions, start_x, speech_x], 1)
        unconditional = torch.cat([torch.zeros_like(text_x) + positions, start_x, speech_x], 1)
        return torch.cat([conditional, unconditional])

    # --- stepping ---------------------------------------------------------------------------------

    @torch.inference_mode()
    def warm_up(self, prefix: Prefix | None = None) -> None:
        """Capture steps of all sizes, and readings of texts after a prefix like this, before any
        session joins. Blocks (seconds) on CUDA.
        """
        slots = self._seen.size(0)
        for count in sorted({min(size, slots) for size in _BUCKETS}, reverse=True):
            for reach in self._reaches():
                for sorts in (False, True) if not self._turbo else (True,):
                    for _ in range(self._graphs.warm_ups):
                        shape = count, reach, sorts
                        self._graphs.run(shape, self._create_burst(*shape))
        if prefix is not None and self._graphs.warm_ups:
            for size in range(_TEXT_STEP, _LONGEST_WARM + 1, _TEXT_STEP):
                for _ in range(self._graphs.warm_ups):
                    text = torch.zeros(size - self._before_speech, dtype=torch.long)
                    self._read_text(0, text, prefix.positions)

    def _reaches(self) -> list[int | None]:
        if self._by_row:
            return [None]
        return [*range(_REACH_STEP, self._cache.length, _REACH_STEP), self._cache.length]

    @torch.inference_mode()
    def advance(
        self, sessions: Sequence[TokenSession], counts: Sequence[int] | None = None
    ) -> None:
        """Draw the next tokens of each of these sessions: one, or its count, at most `BURST`. It
        may draw fewer at the end of its speech. The other sessions are unchanged. Blocks until the
        device has drawn them.
        """
        limits = {
            session: min(count, self._cache.length - 1 - session.position)
            for session, count in zip(sessions, counts or [1] * len(sessions), strict=True)
            if session.slot >= 0 and not session.ended and count > 0
        }
        if not limits:
            return
        for session, count in limits.items():
            self._draw_noise(session, count)
        # All rows take part. A session that is not advanced writes where its next token will; one
        # that drew only the stop is prefilled again before it continues.
        columns = [self._column(session, limits.get(session, 0)) for session in self._sessions]
        slots = self._seen.size(0)
        size = min(next(b for b in _BUCKETS if b >= len(columns)), slots)
        columns += [(0,) * len(self._inputs)] * (size - len(columns))
        self._inputs[:, :size] = torch.tensor(columns).T
        sorts = self._turbo or any(session.sampling.top_p < 1 for session in self._sessions)
        shape = size, self._reach(max(limits.values())), sorts
        most = BURST if self._graphs.warm_ups else max(limits.values())
        drawn, attended = self._graphs.run(shape, self._create_burst(*shape, most)).tolist()
        for session, count in limits.items():
            self._append_tokens(session, [tokens[session.slot] for tokens in drawn[:count]])
            if self._heads:
                missing = len(session.tokens) - len(session.attended)
                session.attended += [each[session.slot] for each in attended[:missing]]

    def _column(self, session: TokenSession, count: int) -> tuple[int, ...]:
        """Last token, its index in the speech, its position in the row, tokens to draw, tokens
        without a stop, tokens drawn, the text's position and length.
        """
        start = self._t3.hp.start_speech_token
        token, index = (session.tokens or [start])[-1], len(session.tokens)
        text = session.text_at, len(session.text)
        return token, index, session.position, count, session.min_tokens, session.draws, *text

    def _reach(self, count: int) -> int | None:
        if self._by_row:
            return None
        furthest = max(session.position for session in self._sessions) + count
        return min(-(-furthest // _REACH_STEP) * _REACH_STEP, self._cache.length)

    def _create_burst(
        self, size: int, reach: int | None, sorts: bool, most: int = BURST
    ) -> Callable[[], Tensor]:
        """Draws `most` tokens of the first `size` slots, and finds the text token that each
        attends to: (2, most, size).
        """

        def draw_burst() -> Tensor:
            token, index, position, count, least, draws, *text = self._inputs[:, :size].unbind()
            drawn, attended = [], []
            for n in range(most):
                noise = self._noise[:size].flatten(0, 1)
                row = torch.arange(size, device=token.device) * 2 * BURST
                noise = noise.index_select(0, row + (draws + n) % (2 * BURST))
                watch = AttentionWatch(self._heads, text[0], text[1], self._width)
                hidden = self._feed_tokens((token, index, position), reach, watch)
                new = self._draw_tokens(hidden, index, (least, noise, sorts))
                going_on = n < count
                token = torch.where(going_on, new, token)
                index, position = index + going_on, position + going_on
                drawn.append(new)
                attended.append(watch.most_attended())
            return torch.stack([torch.stack(drawn), torch.stack(attended)])

        return draw_burst

    def _feed_tokens(
        self, inputs: tuple[Tensor, Tensor, Tensor], reach: int | None, watch: AttentionWatch
    ) -> Tensor:
        """The hidden states after the last tokens, (rows, size)."""
        token, index, position = inputs
        self._seen[: len(token)].scatter_(1, token[:, None], value=True)
        x = self._t3.speech_emb(token)
        if not self._turbo:
            x = x + self._t3.speech_pos_emb.emb(index)
        x = x.repeat_interleave(self._width, 0)[:, None]
        positions = position.repeat_interleave(self._width)[:, None]
        span = RowSpan(slice(0, len(x)), positions, reach, watch if self._heads else None)
        return self._backbone(x, self._cache, span)[:, -1]

    def _draw_tokens(
        self, hidden: Tensor, index: Tensor, sampling: tuple[Tensor, Tensor, bool]
    ) -> Tensor:
        """Draw the next tokens, (n,). `sampling`: fewest tokens, noise, whether top_p matters."""
        least, noise, sorts = sampling
        slots, start = slice(0, len(index)), self._t3.hp.start_speech_token
        logits = self._guided_logits(hidden, slots)
        stop = logits[:, self.stop_token]
        logits[:, self.stop_token] = stop.masked_fill(index < least, float("-inf"))
        seen, rows = self._seen[slots], self._rows
        if self._turbo:
            new = draw_turbo(logits, seen, rows, noise)
            self._seen[slots, start] &= index != 0  # penalised in the first draw only
            return new
        return draw(standard_scores(logits, seen, rows, slots, sorts=sorts), noise)

    def _guided_logits(self, hidden: Tensor, slots: slice) -> Tensor:
        """Logits of each slot, in fp32: near 20 those of bfloat16 are 0.125 apart."""
        logits = _float_logits(hidden, self._t3.speech_head)
        if self._turbo:
            return logits
        with_text, without = logits.view(-1, 2, logits.size(-1)).unbind(1)
        return with_text + self._rows.cfg_weight[slots] * (with_text - without)

    def _draw_noise(self, session: TokenSession, count: int) -> None:
        while BURST * session.blocks < session.draws + count:
            row = BURST * (session.blocks % 2)
            block = self._noise[session.slot, row : row + BURST]
            block.exponential_(1, generator=session.generator)
            session.blocks += 1

    def _append_tokens(self, session: TokenSession, tokens: Sequence[int]) -> None:
        for token in tokens:
            session.position, session.draws = session.position + 1, session.draws + 1
            full = session.position + 1 >= self._cache.length
            session.ended = token == self.stop_token or full
            if token != self.stop_token:
                session.tokens.append(token)
            if session.ended:
                return


def find_text_heads(t3: Any, backbone: Any) -> Heads:
    """The heads of this model that move through the text as it is spoken; empty if unknown."""
    known = TURBO_HEADS if t3.is_gpt else STANDARD_HEADS
    return [(layer, head) for layer, head in known if layer < backbone.layers]


def _float_logits(hidden: Tensor, head: Any) -> Tensor:
    """The head's outputs in fp32, whatever the weights' precision."""
    if not hidden.is_cuda or hidden.dtype == torch.float32:
        logits: Tensor = head(hidden).float()
        return logits
    logits = torch.mm(hidden, head.weight.T, out_dtype=torch.float32)
    return logits if head.bias is None else logits + head.bias


def _common_prefix(text: Tensor, other: Tensor) -> int:
    """Length of the common prefix of two texts, in tokens."""
    length = min(len(text), len(other))
    return int((text[:length] == other[:length]).cumprod(0).sum())
