"""What is heard of a text does not depend on how fast it was typed, or how it was cut."""

from __future__ import annotations

import random

import numpy as np
import pytest

from backend.events import Audio, End, Start, Text
from tests.support.engines.fake_engine import decode_pcm
from tests.support.scripted_session import ScriptedClient, run_script

TEXTS = [
    # numbers
    "Room 007 has 1,250 seats and 3.75 doors.",
    "Press 1,2 or 3, then 1,234,567.",
    "It fell by -12.5 to 1/2 and 3 1/4.",
    "She came 1st, then 22nd, in Part II and Chapter IX.",
    "6.02e23 is more than 10 000 and 10^6.",
    "Turn to pages 5-9, then 10–12.",
    # money
    "It costs $3.50/hr, or $1.2 million a year.",
    "EUR 29,99 and 15 € and £7.",
    "A $5 bill, 20 cents and ¥3000.",
    "Pay USD 1,000.50 or 99¢.",
    # dates and times
    "On July 4, 2026 at 5 p.m. we met.",
    "From 3/12/2024 to 2025-01-31.",
    "The 1990s, the '80s and 44 BC.",
    "At 10:30 AM, not 22:05, on Mon. 3 Feb.",
    "9-5 on weekdays; 14:00–15:30 on Sat.",
    # units
    "Run 5 km at 12 km/h for 30 min.",
    "A 6'2\" man weighs 80kg at 37.5 °C.",
    "A 2x4, 3 m², 10 GB and 5 Mbit/s.",
    "I ran 5 miles. kg is a unit.",
    "It takes 5 m or 5 men.",
    # numbers that are read digit by digit
    "Call +1 (555) 010-0199 ext. 42 now.",
    "Dial 911, or 0800 123 456.",
    "Card 4111 1111 1111 1111, PIN 0042.",
    "Version 2.10.3 on 192.168.1.20, ISBN 978-3-16-148410-0.",
    # mathematics
    "If x = 3 then 5 - 3 < x^2 + 1.",
    "2 × 3 ≠ 5 ± 1 and √16 = 4.",
    "About 50% of 3/4, ~20, ≥ 7.",
    "Solve $x^2 + y^2 = z^2$ for z.",
    # capitals and abbreviations
    "CALL US NOW, said the FBI to NASA.",
    "The CEO of IBM, a PhD, uses JSON and SQL.",
    "Dr. Smith of 12 Main St. met St. John.",
    "Mr. and Mrs. Li, etc., i.e. both.",
    "The max. speed, approx. 30, vs. min. 5.",
    "It is the U.S. It is not the U.K. today.",
    "No. 5 lives. No. He left at 5 p.m. She stayed.",
    "World War II and Henry VIII, I think.",
    "He read it. I read it, and live live.",
    # addresses and code
    "See https://www.example.com/a_b?x=1#top, please.",
    "Mail jo.li@example.co.uk or @jo about #news.",
    "Open /usr/local/bin/run.sh or C:\\Temp\\a.txt.",
    "Call `get_user_name()` in main.py, myVar == 3.",
    "Use C++, C#, Node.js and .NET 8 with --help.",
    "Commit 3f2a9bc fixes #16 and v1.2.",
    # Markdown
    "# The title\n\nSome **bold** and _thin_ words, `code` too.",
    "- one\n- [x] two\n1. three\n2. four\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\nDone.",
    "See [the page](https://example.com) ![a cat](c.png) now.",
    "> Quoted *words*\n\n---\n\nAnd ~~struck~~ ones.",
    "```python\nx = 1\n```\nThat was it.",
    # HTML, reasoning, pauses, characters
    "<b>Bold</b> &amp; <i>thin</i>, 5 &lt; 6.<br>Next.",
    "<think>Is it 5? No.</think>It is 6.",
    "Wait. [pause 500ms] Now [laugh] go.",
    "Tom & Jerry <3 cheese -> yes <- no.",
    "A cafe\u0301 in Zu\u0308rich, so\u00adft and\u200bnone.",
    "Nice 🙂👍🏽 work… “really” – ‘yes’!",
    "Ⅳ, ½ cup, x², H₂O and ﬁne ＡＢＣ.",
    "Wow!!! What?! No... well—yes.",
    "AND/OR, he/she, w/o and 24/7.",
    "o'clock, rock 'n' roll, y'all, gonna.",
    "aaaa1111bbbb2222 and 1234567890123456789012345678901234567",
]


def hear(pieces: list[str], pause_s: float) -> str:
    """What is heard of a text that comes in pieces, one every `pause_s`; silence is left out."""

    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", language="en", format="pcm_f32le"))
        for piece in pieces:
            client.send(Text("a", piece))
            await client.wait(pause_s)
        client.send(End("a"))
        await client.wait_settled()

    client = run_script(script)
    client.assert_sums()
    assert client.codes() == []
    data = b"".join(audio.data for audio in client.events_of(Audio))
    pcm = np.frombuffer(data, "<f4")
    return decode_pcm(pcm[pcm != 0])


def cut_at_random(text: str, rng: random.Random) -> list[str]:
    ends = sorted({*rng.sample(range(len(text)), k=len(text) // 4), len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("text", TEXTS)
def test_typed_text_is_read_like_the_whole(text: str) -> None:
    whole = hear([text], 0.0)
    assert whole
    for characters_per_s in (1.0, 5.5, 40.0):
        assert hear(list(text), 1 / characters_per_s) == whole, characters_per_s
    pieces = cut_at_random(text, random.Random(text))
    assert hear(pieces, 0.05) == whole, pieces
