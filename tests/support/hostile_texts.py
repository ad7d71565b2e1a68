"""Hostile texts: long without a space, or long when read aloud."""

from __future__ import annotations

import base64
import random
import string

REPEATED = [
    ("a@b.c/", 250), ("a-b", 500), ("ab1", 500), ("a.b", 500), ("1a", 900), ("aB", 900),
    ("'", 2000), ("s'", 900), ("don't", 300), ("'a'", 500), ("$1", 900), ("IV", 700),
    ("1,2,3,", 400), ("12/25/2024", 150), ("3:30pm", 250), ("Don't-", 200), ("well-known-", 150),
    ("9", 4000), ("x", 3000), ("A", 1500), ("e\u0301", 1500), ("日本a1", 500), (", ", 700),
    (",", 2000), ("≥", 900), ("½", 900), ("%", 1500), ("5¢", 600), ("1km", 500), ("...", 700),
    ("- ", 700), ("1 - ", 400), ("xq zv ", 250), ("W ", 700), ("😀", 900),
    ("a\n", 500), ("\t", 900),
]  # fmt: skip


def _random_texts() -> dict[str, str]:
    rng = random.Random(11)
    url_letters = string.ascii_letters + string.digits + "-_=&%"
    token = [base64.urlsafe_b64encode(rng.randbytes(n)).decode().rstrip("=") for n in (60, 600, 64)]
    words = ["the", "quick", "brown", "fox", "jumps", "over", "every", "house", "in", "town"]
    return {
        "base64": base64.b64encode(rng.randbytes(3000)).decode(),
        "token": ".".join(token),
        "address": "https://example.com/"
        + "/".join("".join(rng.choices(url_letters, k=12)) for _ in range(60)),
        "digits": "".join(rng.choices(string.digits, k=4000)),
        "letters": "".join(rng.choices(string.ascii_letters, k=4000)),
        **{f"words{mark}": mark.join(rng.choices(words, k=300)) for mark in "-/._@&—'"},
        **{
            f"drawn{n}": "".join(rng.choices(alphabet, k=900))
            for n, alphabet in enumerate(
                [
                    "ab1.,-'/@$",
                    "0123456789,.$-/:",
                    "abc'’-",
                    "$£€¥123.,kmb",
                    "aA ",
                    " .,-a1'",
                    string.printable,
                    "".join(map(chr, range(0xA0, 0x250))),
                ]
            )
        },
    }


HOSTILE = {f"{text!r} times {times}": text * times for text, times in REPEATED} | _random_texts()
