"""A hibari voice's score and vocoder as one timeline. See `incremental.timeline.Timeline`."""

from __future__ import annotations

from backend.engines.base import Pcm
from backend.engines.hibari.score import ROW_MS, Score
from backend.engines.hibari.vocoder import StreamingVocoder
from backend.engines.incremental.timeline import RowRules

_RULES = RowRules(
    row_ms=ROW_MS,
    continuation="ðə ðə ðə",  # best of about thirty: length, pitch, PLCMOS against the whole
    left_phonemes=200,
    new_phonemes=260,
    most_phonemes=320,  # the time to encode grows with the square
    first_step_rows=160,
    step_rows=160,
    early_rows=2,
    cut_rows=(-3, 1),
    pause_rows=3,
)


class HibariTimeline:
    """Implements `Timeline`: one vocoder runs through the whole sentence, so waveforms are never
    joined.
    """

    rules = _RULES

    def __init__(self, score: Score, vocabulary: dict[str, int], seed: int) -> None:
        self._score = score
        self._vocabulary = vocabulary
        self._vocoder = StreamingVocoder(seed)
        self.first_row = score.first_row
        self.find_seam = score.find_seam
        self.quietest_row = score.quietest_row
        self.audible_rows = score.audible_rows
        self.finish = self._vocoder.finish

    @property
    def spoken(self) -> int:
        """See `Timeline.spoken`."""
        return self._score.spoken

    @property
    def end(self) -> int:
        """See `Timeline.end`."""
        return self._score.end

    def rewrite(self, phonemes: str, seam: tuple[int, int], origin: int, until: int) -> int:
        """See `Timeline.rewrite`."""
        ids = [0, *(self._vocabulary[c] for c in phonemes.rstrip()), 0]
        self._score.rewrite(ids, seam)
        return len(ids)

    def prepare(self, row: int) -> None:
        """See `Timeline.prepare`: the networks tell the energy of rows not rendered."""

    def render_to(self, row: int) -> Pcm:
        """See `Timeline.render_to`."""
        return self._vocoder.push_frames(*self._score.render_to(row))
