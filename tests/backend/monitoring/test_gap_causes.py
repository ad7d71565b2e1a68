"""Finding the cause of a gap in playback."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.monitoring.gap_causes import CAUSES, Cause, Delivery, explain_gap
from tests.support.repository import ROOT

GOAL_S = 0.15
DRY_S = 10.0


@pytest.mark.parametrize(
    ("delivery", "cause"),
    [
        (Delivery(10.3, 10.3), "rendered_late"),
        (Delivery(10.1, 10.1, ((5.0, 9.0),)), "rendered_late"),  # the text had arrived before
        (Delivery(13.1, 13.1, ((9.0, 13.0),)), "text_late"),
        # The text arrived late, and was then rendered within the goal, or far too slowly:
        (Delivery(10.17, 10.17, ((9.0, 10.05),)), "text_late"),
        (Delivery(12.0, 12.0, ((9.0, 10.1),)), "rendered_late"),
        (Delivery(12.0, 12.0, ((9.0, 10.4), (10.5, 11.9))), "text_late"),  # the first was silent
        (Delivery(9.0, 12.0), "slow_reader"),
        (Delivery(10.4, 10.5), "rendered_late"),
        (Delivery(10.1, 10.5), "slow_reader"),
        (Delivery(9.0, 12.0, reconnected=True), "disconnected"),
        (Delivery(12.0, 12.1, reconnected=True), "rendered_late"),
        (Delivery(10.3, 10.3, failure="engine_failed"), "refused"),
        (Delivery(15.3, 15.3, ((10.2, 15.2),), "timeout"), "text_late"),
    ],
)
def test_the_cause_is_the_largest_part_of_the_gap(delivery: Delivery, cause: Cause) -> None:
    assert explain_gap(DRY_S, delivery, GOAL_S).cause == cause


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_is_documented_with_an_example(cause: Cause) -> None:
    document = ROOT / "docs" / "debugging-gaps.md"
    (explained,) = re.findall(rf"^### `{cause}`.*?(?=^###)", document.read_text(), re.S | re.M)
    assert f'{{"cause": "{cause}", "gap_ms": ' in explained
    assert "\n* " in explained  # what to do


times = st.floats(0, 20, allow_nan=False)


@given(
    st.lists(times, min_size=2, max_size=8).map(sorted),
    times,
    times,
    st.sampled_from([None, "timeout"]),
    st.booleans(),
)
def test_the_parts_add_up_to_the_gap(
    edges: list[float], queued_s: float, taken_s: float, failure: str | None, reconnected: bool
) -> None:
    spans = tuple(zip(edges[::2], edges[1::2], strict=False))
    queued_s, taken_s = sorted((queued_s, taken_s))
    taken_s = max(taken_s, DRY_S)
    gap = explain_gap(DRY_S, Delivery(queued_s, taken_s, spans, failure, reconnected), GOAL_S)
    assert gap.cause in CAUSES
    assert min(gap.text_s, gap.render_s, gap.reader_s) >= 0
    assert gap.text_s + gap.render_s + gap.reader_s == pytest.approx(gap.seconds)
    assert gap.seconds == pytest.approx(taken_s - DRY_S, abs=1e-6)
