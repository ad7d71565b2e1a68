import pytest

from duplex_tts.speechd.module_protocol import Kind, Message
from duplex_tts.speechd.spoken_text import SpokenText, spoken_text
from duplex_tts.speechd.voice_settings import VoiceSettings


def say(kind: Kind, text: str, **values: str) -> SpokenText:
    return spoken_text(Message(kind, text), VoiceSettings().update(values))


@pytest.mark.parametrize(
    ("text", "spoken"),
    [("a", "A"), ("A", "A"), ("é", "É"), ("7", "7"), (" ", "space"), (".", "dot"),
     ("_", "underscore"), ("€", "euro sign"), ("dot", "dot"), ("ß", "SS")],
)  # fmt: skip
def test_characters_are_named(text: str, spoken: str) -> None:
    assert say("char", text).text == spoken


def test_capitals_are_announced_on_request() -> None:
    assert say("char", "A", cap_let_recogn="spell").text == "capital A"
    assert say("char", "a", cap_let_recogn="spell").text == "A"


@pytest.mark.parametrize(
    ("text", "spoken"),
    [("shift_a", "shift A"), ("Control_Alt_Delete", "Control Alt Delete"),
     ("underscore", "underscore"), ("_", "underscore"),
     ("KP_5", "keypad 5"), ("esc", "escape"),
     (" ", "space"), ("F1", "F1")],
)  # fmt: skip
def test_keys_are_named(text: str, spoken: str) -> None:
    assert say("key", text).text == spoken


def test_a_sound_icon_is_spoken() -> None:
    assert say("sound_icon", "message-arrived").text == "message arrived"


def test_marks_are_found_where_they_stand_in_the_text() -> None:
    text = (
        '<speak><mark name="a"/>Fish &amp; <mark name=\'b\'/>chips.<mark name="__spd_0"/></speak>'
    )
    spoken = say("text", text)
    assert spoken == SpokenText("Fish & chips.", marks=((0, "a"), (7, "b"), (13, "__spd_0")))


def test_other_tags_are_left_to_the_server() -> None:
    text = '<speak>A &lt; <say-as interpret-as="characters">b</say-as><mark name="m"/> c</speak>'
    kept = 'A &lt; <say-as interpret-as="characters">b</say-as> c'
    assert say("text", text) == SpokenText(kept, ssml=True, marks=((len(kept) - 2, "m"),))


def test_what_only_looks_like_a_tag_is_text() -> None:
    assert say("text", "1 < 2 and 3 > 2").text == "1 < 2 and 3 > 2"


def test_punctuation_is_named_as_asked() -> None:
    text = "<speak>a@b (c), d!</speak>"
    assert say("text", text, punctuation_mode="none").text == "a@b (c), d!"
    assert say("text", text, punctuation_mode="some").text == "a at b (c), d!"
    most = " ".join(say("text", text, punctuation_mode="most").text.split())
    assert most == "a at b left paren c right paren , d!"
    every = " ".join(say("text", text, punctuation_mode="all").text.split())
    assert every == "a at b left paren c right paren comma, d exclamation mark!"


def test_text_is_spelt_on_request() -> None:
    assert say("text", "<speak>cab 1</speak>", spelling_mode="on").text == "C, A, B, 1"


def test_marks_count_the_names_of_punctuation() -> None:
    spoken = say("text", '<speak>a+<mark name="m"/>b</speak>', punctuation_mode="some")
    assert spoken.text[spoken.marks[0][0] :] == "b"
