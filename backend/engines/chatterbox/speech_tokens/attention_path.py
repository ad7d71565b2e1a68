"""The way of speech through the text tokens: the most likely non-decreasing sequence behind noisy
observations of which token each speech token attended to. Pure.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

LAG = 7  # speech tokens until a state is settled: drawn ahead of what is rendered
_OUTLIER = 2.0  # the cost of an observation this many text tokens off, or more
_SKIP = 1.0  # the cost of each text token that is passed over
_AHEAD_CHARACTERS = 12  # how far attention is believed at the start, then faster by
_CHARACTERS_PER_TOKEN = 1.25  # than anybody speaks: 31 a second

Costs = NDArray[np.float64]


class AttentionPath:
    """An online Viterbi search with a fixed lag: per observation the state stays or advances.

    States are the indices of text tokens. Work and memory per observation are bounded by the
    number of text tokens.
    """

    def __init__(self) -> None:
        self._costs: Costs = np.zeros(0)
        self._starts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._origins: deque[NDArray[np.int64]] = deque()  # of each state, of the unsettled steps
        self.count = 0
        """Observations so far."""
        self.left: list[int] = []
        """Per settled text token: how many observations came before the first of a later one."""

    def replace_text(self, starts: list[int], common: int) -> None:
        """Search among text tokens that start at these characters from now on. The first `common`
        are those of before; speech that went beyond them is taken to be in the last of them.
        """
        kept = self._costs[: max(1, common)].copy()
        if len(kept):
            kept[-1] = self._costs[len(kept) - 1 :].min()
        elif starts:
            kept = np.zeros(1)  # speech starts in the first
        self._costs = np.full(len(starts), np.inf)
        self._costs[: len(kept)] = kept
        self._starts = np.array(starts, dtype=np.int64)
        identity = np.arange(len(starts))
        for n, origin in enumerate(self._origins):
            self._origins[n] = identity.copy()
            self._origins[n][: len(kept)] = np.minimum(origin[: len(kept)], len(kept) - 1)
        del self.left[max(0, len(kept) - 1) :]

    @property
    def state(self) -> int:
        """The most likely state of the last observation. Later ones may revise it."""
        return int(self._costs.argmin())

    def observe(self, token: int | None) -> None:
        """Advance by one observation; None: one that says nothing."""
        costs, origin = self._advance()
        if token is not None:
            costs += np.minimum(np.abs(np.arange(len(costs)) - token), _OUTLIER)
        self._costs = costs - costs.min()
        self._origins.append(origin)
        self.count += 1
        if len(self._origins) > LAG:
            self._settle_first(self._trace_back()[0])

    def settle(self) -> None:
        """Settle all states: nothing follows."""
        for state in self._trace_back():
            self._settle_first(state)

    def _advance(self) -> tuple[Costs, NDArray[np.int64]]:
        """The cheapest way to each state, and the state that it comes from: itself or one before,
        in as far as speech can have got there.
        """
        index = np.arange(len(self._costs))
        base = self._costs - _SKIP * index
        cheapest = np.minimum.accumulate(base)
        cheapest_at = np.maximum.accumulate(np.where(base == cheapest, index, 0))
        costs, origin = self._costs.copy(), index.copy()
        from_before = cheapest[:-1] + _SKIP * index[:-1]
        moves = from_before < costs[1:]
        costs[1:][moves] = from_before[moves]
        origin[1:][moves] = cheapest_at[:-1][moves]
        limit = _AHEAD_CHARACTERS + _CHARACTERS_PER_TOKEN * self.count
        costs[1:][self._starts[1:] > limit] = np.inf
        return costs, origin

    def _trace_back(self) -> list[int]:
        """The most likely states of the unsettled observations, oldest first."""
        states = [self.state]
        for origin in reversed(self._origins):
            states.append(int(origin[states[-1]]))
        return states[-2::-1]  # without the one before the oldest

    def _settle_first(self, state: int) -> None:
        before = self.count - len(self._origins)
        self._origins.popleft()
        self.left += [before] * (state - len(self.left))
