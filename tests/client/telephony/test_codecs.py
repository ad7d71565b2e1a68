import av
import numpy as np
import pytest

from duplex_tts.telephony import UnsupportedCodec
from duplex_tts.telephony.codecs import find_codec


@pytest.mark.parametrize(("name", "reference"), [("PCMU", "pcm_mulaw"), ("PCMA", "pcm_alaw")])
def test_every_code_decodes_as_in_ffmpeg(name: str, reference: str) -> None:
    decoder = av.CodecContext.create(reference, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 8000, "mono"
    all_codes = bytes(range(256))
    (frame,) = decoder.decode(av.Packet(all_codes))

    decoded = np.frombuffer(find_codec(name, 8000).decode(all_codes), "<i2")

    np.testing.assert_array_equal(decoded, frame.to_ndarray().ravel())


@pytest.mark.parametrize("name", ["PCMU", "PCMA", "L16"])
def test_silence_decodes_to_zero_within_8(name: str) -> None:
    codec = find_codec(name, 8000)
    assert abs(int.from_bytes(codec.decode(codec.silence), "little", signed=True)) <= 8


def test_a_frame_is_20_ms() -> None:
    assert find_codec("PCMU", 8000).frame_bytes == 160
    assert find_codec("L16", 16000).frame_bytes == 640
    assert find_codec("L16", 16000).duration_ms(640) == 20.0


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [
        ("G722", 8000, 1),
        ("OPUS", 16000, 1),
        ("AMR-WB", 16000, 1),
        ("PCMU", 16000, 1),
        ("L16", 44100, 1),
        ("L16", 16000, 2),
    ],
)
def test_unsupported_codecs_raise_with_the_remedy(name: str, rate: int, channels: int) -> None:
    with pytest.raises(UnsupportedCodec, match=r"not supported; set up the stream with PCMU"):
        find_codec(name, rate, channels)
