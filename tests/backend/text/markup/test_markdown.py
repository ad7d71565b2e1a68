"""Markdown's marks are silent; their text is spoken."""

from __future__ import annotations

import pytest

from tests.backend.text.markup.texts import said


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**Note:** use the *second* option", "Note: use the second option"),
        ("This is **bold**, this ***both***.", "This is bold, this both."),
        ("width*height un*frigging*believable", "width height un frigging believable"),
        ("2 * 3 = 6, 2*3, a*b, 2*x and *5*", "2 * 3 = 6, 2*3, a*b, 2*x and 5"),
        ("2**10 and **2**", "2^10 and 2"),
        ("5* hotel", "5 hotel"),
        ("_so_ the snake_case __init__", "so the snake_case init"),
        ("foo__bar 1_000 x86_64", "foo bar 1_000 x86_64"),
        ("~~old~~ about ~5", "old about ~5"),
        ("# Heading\n### Deeper\n###### Last", "Heading Deeper Last"),
        ("#1 of all, C#, #AI", "#1 of all, C#, #AI"),
        ("Title\n=====\nSub\n---\ntext", "Title Sub text"),
        ("a = b == c", "a = b == c"),
        ("- one\n* two\n+ three\n• four\n> five", "one two three four five"),
        ("  - one\n  * two", "one two"),
        ("1. one\n2) two\n-5 degrees\n--help\n+1 555", "1. one 2) two -5 degrees --help +1 555"),
        ("> quoted\n>> twice\n>third\n>5 apples", "quoted twice third >5 apples"),
        ("- [ ] todo\n- [x] done\n- [X] done", "todo done done"),
        ("one\n\n---\n***\n* * *\n_____\ntwo", "one two"),
        ("a --- b - c", "a --- b - c"),
        ("Name | Age\n--- | ---\nBob | 5\n", "Name Age Bob 5"),
        ("| a | b |\n|:--|--:|\n| c | :-: |\n", "a b c :-:"),
        ("| a |\n|-|\n| -2 |", "a -2"),
        (":-) hi", ":-) hi"),
        ("run `make test` now", "run make test now"),
        ("the `<div>` tag, `a < b`", "the div tag, a < b"),
        ("it`s fine, `x`s", "it's fine, xs"),
        ("```python\nprint\n```\nend", "print end"),
        ("```print``` end", "print end"),
        ("~~~\ncode\n~~~", "code"),
        ("see [the page](http://example.com/a_b).", "see the page."),
        ("[a](x_(b)_c) [b](<x>) [c](y 'Title') d", "a b c d"),
        ('[c](y "A (long) title"). d', "c. d"),
        ("[a](open ended text", "a ended text"),
        ("![a cat](cat.png) and [![b](c)](d) e", "a cat and b e"),
        ("Wow![a](b)", "Wow!a"),
        ("It is [really] good [sic].", "It is really good sic."),
        ("foo[0] a[1]b (c)[d]", "foo 0 a 1 b (c)d"),
        ("Said[^1] so.\n[^1]: A note.", "Said so. A note."),
        ("f(x) = [1, 2](3)", "f(x) = 1, 2"),
        (r"5 \* 3 \_a\_ C:\Users", r"5 * 3 _a_ C:\Users"),
        (r"1\. Is \$5 \"it\"", '1. Is $5 "it"'),
        (
            "a -> b, C#, R&D, 50%, 20°C, © me@example.org",
            "a -> b, C#, R&D, 50%, 20°C, © me@example.org",
        ),
        ("********** a ---------- b", "a b"),
        ("...", "..."),
    ],
)
def test_only_text_that_is_read_aloud_remains(text: str, spoken: str) -> None:
    assert said(text) == spoken
