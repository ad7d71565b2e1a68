import pytest

from duplex_tts.speechd import module_protocol as protocol
from duplex_tts.speechd.module_protocol import (
    Command,
    ListVoices,
    Message,
    Parameters,
    Request,
    RequestReader,
)


def read(*lines: str) -> list[bytes | Request]:
    reader = RequestReader()
    return [answer for line in lines if (answer := reader.read_line(line)) is not None]


def test_a_message_is_read_up_to_the_lone_dot() -> None:
    assert read("SPEAK", "Hello", "there.", ".") == [
        b"202 OK RECEIVING MESSAGE\n",
        Message("text", "Hello\nthere."),
    ]


def test_a_doubled_leading_dot_is_one() -> None:
    assert read("SPEAK", "..net", ".")[-1] == Message("text", ".net")


def test_commands_in_a_text_are_text() -> None:
    assert read("SPEAK", "STOP", "QUIT", ".")[-1] == Message("text", "STOP\nQUIT")


@pytest.mark.parametrize(("command", "kind"), [("CHAR", "char"), ("KEY", "key")])
def test_the_space_has_a_name_on_the_wire(command: str, kind: str) -> None:
    message = read(command, "space", ".")[-1]
    assert isinstance(message, Message)
    assert (message.kind, message.text) == (kind, " ")


def test_an_empty_message_and_a_character_of_two_lines_are_refused() -> None:
    assert read("SPEAK", ".")[-1] == b"301 ERROR CANT SPEAK\n"
    assert read("CHAR", "a", "b", ".")[-1] == b"305 DATA MORE THAN ONE LINE\n"


def test_parameters_are_acknowledged_twice() -> None:
    first, request = read("SET", "rate=20", "language=NULL", ".")
    assert first == b"203 OK RECEIVING SETTINGS\n"
    assert request == Parameters(
        "SET", {"rate": "20", "language": "NULL"}, b"203 OK SETTINGS RECEIVED\n"
    )
    assert read("SET", "rate", ".")[-1] == b"302 ERROR BAD SYNTAX\n"


def test_other_commands() -> None:
    assert read("INIT", "STOP", "LIST VOICES", "LIST VOICES en none", "NOISE") == [
        Command("INIT"),
        Command("STOP"),
        ListVoices(None),
        ListVoices("en"),
        b"300 ERR UNKNOWN COMMAND\n",
    ]


def test_audio_has_no_line_feed_of_its_own() -> None:
    samples = b"\n\x7d" * 100
    (event,) = protocol.encode_audio(samples, 24_000)
    header, _, rest = event.partition(b"705-AUDIO\0")
    body, _, last = rest.partition(b"\n")
    assert b"705-num_samples=100\n" in header
    assert last == b"705 AUDIO\n"
    assert body == b"\x7d\x2a\x7d\x5d" * 100


def test_long_audio_is_several_events() -> None:
    events = list(protocol.encode_audio(bytes(10_000), 24_000))
    assert [b"num_samples=2400" in event for event in events] == [True, True, False]


def test_a_mark_is_one_line() -> None:
    assert protocol.encode_mark("a\nb") == b"700-a b\n700 INDEX MARK\n"


def test_a_refusal_of_init_gives_the_reason() -> None:
    assert protocol.encode_init("no server\ntry again", ready=False) == (
        b"399-no server\n399-try again\n399 ERR CANT INIT MODULE\n"
    )
