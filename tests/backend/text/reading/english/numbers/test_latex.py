from __future__ import annotations

import pytest

from tests.support.reading import read_aloud

CASES = [
    ("$x^2 + y^2 = z^2$ holds", "X squared plus Y squared equals Z squared holds"),
    ("$$E=mc^2$$", "E equals M C squared"),
    ("$x$ is", "X is"),
    ("Let $x$ be", "Let X be"),
    ("\\frac{1}{2}", "one half"),
    ("\\frac{a}{b}", "A over B"),
    ("$\\frac{3}{4}$ cup", "three quarters cup"),
    ("$\\sqrt{2}$", "square root of two"),
    ("\\alpha", "alpha"),
    ("\\(x^2\\)", "X squared"),
    ("$a_1 + a_2$", "A sub one plus A sub two"),
]


@pytest.mark.parametrize(("text", "spoken"), CASES)
def test_a_formula_is_read(text: str, spoken: str) -> None:
    assert read_aloud(text).lower() == spoken.lower()
