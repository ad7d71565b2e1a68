"""Phonemes laid out in time: what a growing utterance asks of a voice's networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from backend.engines.base import Pcm


@dataclass(frozen=True, slots=True)
class RowRules:
    """How an engine's rows are spoken.

    `row_ms`: length of a row. `continuation`: made-up phonemes behind unfinished text.
    `left_phonemes`: spoken ones that are encoded again as context; fewer beside many new ones, of
    which a plan has at most `new_phonemes`, so that both are about `most_phonemes`: a step.
    `first_step_rows`: rendered in an utterance's first step; each further step has twice as many,
    up to `step_rows`. `early_rows`: a word is heard this long before its phonemes' rows.
    `cut_rows`: where to look for the quietest row between two words, relative to the first row of
    the space. `pause_rows`: of silence behind a word without a known next word.
    """

    row_ms: float
    continuation: str
    left_phonemes: int
    new_phonemes: int
    most_phonemes: int
    first_step_rows: int
    step_rows: int
    early_rows: int
    cut_rows: tuple[int, int]
    pause_rows: int


class Timeline(Protocol):
    """The spoken and the planned rows of one utterance. Rows count from its beginning; phonemes
    from the last `rewrite`, where 0 is the one before the first.

    Rewritten from its seam on whenever more of the sentence is known. Spoken rows never change.
    """

    rules: RowRules

    @property
    def spoken(self) -> int:
        """Rows spoken since the utterance began."""

    @property
    def end(self) -> int:
        """The row behind the last."""

    def first_row(self, phoneme: int) -> int:
        """First row of a phoneme."""

    def find_seam(self) -> tuple[int, int]:
        """The phoneme where speech stopped, and how many of its rows were spoken."""

    def rewrite(self, phonemes: str, seam: tuple[int, int], origin: int, until: int) -> int:
        """Put `phonemes` behind the spoken rows, from `seam` on. `origin`: where the utterance's
        first phoneme would be among them; `until`: the first that is not to be spoken. Returns the
        number encoded.
        """

    def prepare(self, row: int) -> None:
        """Make known how loud the rows up to `row` are; may render them."""

    def quietest_row(self, start: int, end: int) -> int:
        """The unspoken row in [start, end) with the least energy."""

    def audible_rows(self, start: int, end: int) -> tuple[int, int]:
        """Rows [start, end) without silence at both ends; unchanged if all are silent."""

    def render_to(self, row: int) -> Pcm:
        """Samples from the seam to `row`, which becomes the seam."""

    def finish(self) -> Pcm:
        """The remaining samples; nothing follows."""
