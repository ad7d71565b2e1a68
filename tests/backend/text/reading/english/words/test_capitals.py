"""Words in capitals are words, acronyms that are said, or letters."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.wording import WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("CALL US NOW", "call us now"),
        ("TELL US WHO DID IT.", "tell us who did it."),
        ("THE US ARMY IS HERE.", "the U S army is here."),
        ("MY CAR IS AT THE GYM.", "my car is at the gym."),
        ("HE IS AN IT GUY.", "he is an I T guy."),
        ("IT IS OVER.", "it is over."),
        ("WHAT IS IT?", "what is it?"),
        ("I AM HERE.", "I am here."),
        ("AM I LATE?", "am I late?"),
        ("AM I OK?", "am I okay?"),
        ("WHO ARE YOU?", "who are you?"),
        ("PLEASE CALL ME ASAP.", "please call me A S A P."),
        ("THE CEO OF IBM SAID NO.", "the C E O of I B M said no."),
        ("I'M HERE, DON'T GO.", "I'm here, don't go."),
        ("IT'S OVER", "it's over"),
        ("FBI'S CASE", "F B I's case"),
        ("WARNING: DO NOT OPEN.", "warning: do not open."),
        ("BREAKING NEWS", "breaking news"),
        ("This is VERY important.", "This is very important."),
        ("Do NOT open it.", "Do not open it."),
        ("US troops left.", "U S troops left."),
        ("The US army and the IT team", "The U S army and the I T team"),
        ("He works in IT.", "He works in I T."),
        ("WHO said so.", "W H O said so."),
        ("The WHO said so.", "The W H O said so."),
        ("Guess WHO came.", "Guess who came."),
        ("NASA and FBI came.", "Nasa and F B I came."),
        ("NASA's rover and the NBA's best", "Nasa's rover and the N B A's best"),
        ("CEOs and PCs", "C E O's and P C's"),
        ("The CEO's car", "The C E O's car"),
        ("GDP, EU, UN, UK.", "G D P, E U, U N, U K."),
        ("NATO, UNESCO, OPEC.", "Nato, unesco, opec."),
        ("HTTPS, SSH, DNS.", "H T T P S, S S H, D N S."),
        ("Use JSON, YAML and XML.", "Use Jason, yammel and X M L."),
        ("JPEG and PNG", "jay peg and P N G"),
        ("Use SQL now.", "Use sequel now."),
        ("Use RAM and a PIN.", "Use ram and a pin."),
        ("FYI, BTW, IMO.", "F Y I, by the way, I M O."),
        ("A CPU, a GPU and an API.", "a C P U, a G P U and an A P I."),
        ("OK, fine.", "okay, fine."),
        ("iOS and macOS here.", "I O S and mac O S here."),
        ("eBay and iPhone", "E bay and iPhone"),
        ("mRNA and tRNA", "M R N A and T R N A"),
        ("ChatGPT and OpenAI", "Chat G P T and Open A I"),
        ("PhD and BSc", "P H D and B S C"),
        ("IoT and SaaS", "I O T and sass"),
        ("YouTube, GitHub and McDonald", "YouTube, GitHub and McDonald"),
        ("getUserName and MyClass", "get User Name and MyClass"),
        ("LaTeX and MySQL", "lay tek and my sequel"),
        ("SOOOO LOOOL XXXL", "so lol X X X L"),
    ],
)
def test_capitals_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken
