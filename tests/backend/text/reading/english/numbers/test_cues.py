from __future__ import annotations

import pytest

from tests.support.reading import read_aloud

CASES = [
    ("§ 5", "section five"),
    ("§5", "section five"),
    ("§§ 5-7", "sections five to seven"),
    ("№ 5", "number five"),
    ("No. 5", "Number five"),
    ("No.5", "Number five"),
    ("Nos. 5 and 6", "Numbers five and six"),
    ("p. 5", "page five"),
    ("p.5", "page five"),
    ("pp. 5–9", "pages five to nine"),
    ("fig. 3", "figure three"),
    ("Figs. 3-4", "Figures three to four"),
    ("Sec. 5", "Section five"),
    ("Ch. 5", "Chapter five"),
    ("Vol. 3", "Volume three"),
    ("vol. 3, no. 2", "volume three, number two"),
    ("Eq. 5", "Equation five"),
    ("Art. 5", "Article five"),
    ("approx. 5", "approximately five"),
    ("max. 5", "maximum five"),
    ("Para. 5", "Paragraph five"),
]


@pytest.mark.parametrize(("text", "spoken"), CASES)
def test_a_cue_is_read(text: str, spoken: str) -> None:
    assert read_aloud(text).lower() == spoken.lower()
