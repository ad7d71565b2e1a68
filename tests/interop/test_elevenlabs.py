"""The elevenlabs SDK, with only its URL changed."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import pytest
from elevenlabs import PronunciationDictionaryVersionLocator, VoiceSettings
from elevenlabs.client import AsyncElevenLabs, ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.pronunciation_dictionaries import (
    BodyAddAPronunciationDictionaryV1PronunciationDictionariesAddFromRulesPostRulesItem_Alias as AliasRule,  # noqa: E501
)
from elevenlabs.pronunciation_dictionaries.rules import PronunciationDictionaryRule_Phoneme

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, SENTENCE, STORY, SpeechChecker, TimedRecording, decode
from tests.interop.live_servers import RunningServer
from tests.interop.timing import expect_cut

RACHEL = "21m00Tcm4TlvDq8ikWAM"  # a vendor id, as an unchanged application sends
CONTAINERS = {
    "mp3_44100_128": ("mp3", None),
    "mp3_22050_32": ("mp3", None),
    "opus_48000_64": ("ogg", None),
    "pcm_8000": ("s16le", 8000),
    "pcm_22050": ("s16le", 22050),
    "pcm_48000": ("s16le", 48000),
    "ulaw_8000": ("mulaw", 8000),
    "alaw_8000": ("alaw", 8000),
    "wav_24000": ("wav", None),
}


def connected(server: RunningServer, key: str = "any") -> ElevenLabs:
    client = ElevenLabs(base_url=server.http, api_key=key)
    client.text_to_speech._ws_base_url = server.ws
    return client


@pytest.fixture(scope="module")
def client(server: RunningServer) -> ElevenLabs:
    return connected(server)


@pytest.fixture
async def async_client(server: RunningServer) -> AsyncElevenLabs:
    return AsyncElevenLabs(base_url=server.http, api_key="any")


# --- over HTTP ------------------------------------------------------------------------------------


def test_default_format_is_mp3(client: ElevenLabs, checker: SpeechChecker) -> None:
    data = b"".join(client.text_to_speech.convert(RACHEL, text=STORY, model_id="eleven_v3"))
    checker.expect_speech(decode(data, "mp3"), STORY)


@pytest.mark.parametrize("output_format", CONTAINERS)
def test_every_format_speaks_the_text(
    client: ElevenLabs, checker: SpeechChecker, output_format: str
) -> None:
    container, rate_hz = CONTAINERS[output_format]
    pieces = client.text_to_speech.convert("heart", text=STORY, output_format=output_format)
    checker.expect_speech(decode(b"".join(pieces), container, rate_hz), STORY)


def test_audio_is_streamed(client: ElevenLabs) -> None:
    recording = TimedRecording()
    started_s = time.perf_counter()
    text = " ".join([STORY] * 5)
    for piece in client.text_to_speech.stream("heart", text=text, output_format="pcm_24000"):
        recording.add_piece(piece)
    ended_s = time.perf_counter()
    assert recording.first_s - started_s < 0.5 * (ended_s - started_s)


def test_timestamps_tile_the_text_and_match_the_audio(
    client: ElevenLabs, checker: SpeechChecker
) -> None:
    first, second = "Hello there, old friend. ", "How are you doing today?"
    response = client.text_to_speech.convert_with_timestamps(
        "heart", text=first + second, output_format="pcm_24000"
    )
    alignment = response.alignment
    assert alignment is not None
    assert "".join(alignment.characters) == first + second
    starts, ends = alignment.character_start_times_seconds, alignment.character_end_times_seconds
    assert all(end <= start for end, start in zip(ends[:-1], starts[1:], strict=True))
    clip = decode(base64.b64decode(response.audio_base_64), "s16le", 24000)
    assert abs(ends[-1] - clip.duration_s) < 0.05
    expect_cut(checker, clip, starts[len(first)], ("friend", "How"))


def test_streamed_timestamps_continue_across_lines(
    client: ElevenLabs, checker: SpeechChecker
) -> None:
    data, characters, starts = b"", "", []
    for line in client.text_to_speech.stream_with_timestamps(
        "heart", text=STORY, output_format="pcm_24000"
    ):
        data += base64.b64decode(line.audio_base_64)
        assert line.alignment is not None
        characters += "".join(line.alignment.characters)
        starts += line.alignment.character_start_times_seconds
    assert characters == STORY
    assert starts == sorted(starts)
    clip = decode(data, "s16le", 24000)
    expect_cut(checker, clip, starts[STORY.index("Every")], ("harbor", "Every"))


def test_a_break_tag_is_silence_even_if_split(client: ElevenLabs, checker: SpeechChecker) -> None:
    text = 'Hello there, <break time="1.0s" />how are you doing today?'
    whole = client.text_to_speech.convert("heart", text=text, output_format="pcm_24000")
    checker.expect_speech(decode(b"".join(whole), "s16le", 24000), HELLO, pause_s=1.0)
    pieces = client.text_to_speech.convert_realtime(
        "heart", text=iter(text), output_format="pcm_24000"
    )
    checker.expect_speech(decode(b"".join(pieces), "s16le", 24000), HELLO, pause_s=1.0)


async def test_async_client_streams_audio(
    async_client: AsyncElevenLabs, checker: SpeechChecker
) -> None:
    pieces = [
        piece
        async for piece in async_client.text_to_speech.stream(
            RACHEL, text=STORY, output_format="mp3_44100_64"
        )
    ]
    checker.expect_speech(decode(b"".join(pieces), "mp3"), STORY)


def test_speed_changes_the_duration(client: ElevenLabs) -> None:
    seconds = [
        decode(
            b"".join(
                client.text_to_speech.convert(
                    "heart",
                    text=STORY,
                    output_format="wav_24000",
                    voice_settings=VoiceSettings(speed=speed, stability=0.5),
                )
            )
        ).duration_s
        for speed in (1.0, 1.2)
    ]
    assert seconds[0] / seconds[1] == pytest.approx(1.2, rel=0.07)


def test_same_seed_gives_the_same_audio(client: ElevenLabs) -> None:
    def spoken() -> bytes:
        pieces = client.text_to_speech.convert(
            "heart", text=HELLO, seed=4294967295, output_format="pcm_16000"
        )
        return b"".join(pieces)

    assert spoken() == spoken()


# --- streamed text --------------------------------------------------------------------------------


def write_words(text: str, ended_s: list[float], word_s: float = 0.06) -> Iterator[str]:
    """Yield words as a model writes them; append the time of the last to `ended_s`."""
    for word in text.split():
        time.sleep(word_s)
        yield word + " "
    ended_s.append(time.perf_counter())


@pytest.mark.parametrize("output_format", ["mp3_44100_128", "pcm_24000"])
def test_realtime_is_heard_before_the_text_ends(
    client: ElevenLabs, checker: SpeechChecker, output_format: str
) -> None:
    ended_s: list[float] = []
    recording = TimedRecording()
    for piece in client.text_to_speech.convert_realtime(
        RACHEL, text=write_words(SENTENCE, ended_s), output_format=output_format
    ):
        recording.add_piece(piece)
    assert recording.first_s < ended_s[0], "no audio before the sentence was complete"
    container, rate_hz = CONTAINERS.get(output_format, ("s16le", 24000))
    checker.expect_speech(recording.clip(container, rate_hz), SENTENCE)


def test_realtime_applies_voice_settings(client: ElevenLabs, checker: SpeechChecker) -> None:
    pieces = client.text_to_speech.convert_realtime(
        "heart",
        text=iter(["Hello there, how are you? ", "I am fine, thank you."]),
        model_id="eleven_flash_v2_5",
        output_format="pcm_24000",
        voice_settings=VoiceSettings(speed=1.1, stability=0.4, use_speaker_boost=True),
    )
    clip = decode(b"".join(pieces), "s16le", 24000)
    checker.expect_speech(clip, "Hello there, how are you? I am fine, thank you.", speed=1.1)


def test_leaving_during_speech_leaves_only_the_next_text(
    client: ElevenLabs, checker: SpeechChecker
) -> None:
    for _ in range(3):
        left = client.text_to_speech.convert_realtime("heart", text=iter([f"{STORY} "] * 20))
        next(left)
        left.close()
    recording = TimedRecording()
    for piece in client.text_to_speech.convert_realtime(
        "heart", text=iter([HELLO]), output_format="pcm_24000"
    ):
        recording.add_piece(piece)
    assert recording.first_s - recording.started_s < 5  # the abandoned speech would take longer
    checker.expect_speech(recording.clip("s16le", 24000), HELLO)


# --- errors ---------------------------------------------------------------------------------------


def test_unknown_voice_error_lists_the_voices(client: ElevenLabs) -> None:
    with pytest.raises(ApiError) as caught:
        b"".join(client.text_to_speech.convert("haert", text=HELLO))
    assert caught.value.status_code == 404
    assert "heart" in caught.value.body["detail"]["message"]
    with pytest.raises(ApiError, match="voice_id_does_not_exist") as caught:
        b"".join(client.text_to_speech.convert_realtime("haert", text=iter([HELLO])))
    assert caught.value.status_code == 1008


def test_wrong_key_raises_the_sdk_error(keyed_server: RunningServer) -> None:
    wrong = connected(keyed_server, WRONG_KEY)
    with pytest.raises(ApiError) as caught:
        b"".join(wrong.text_to_speech.convert("heart", text=HELLO))
    assert caught.value.status_code == 401
    assert caught.value.body["detail"]["status"] == "invalid_api_key"
    with pytest.raises(ApiError) as caught:
        b"".join(wrong.text_to_speech.convert_realtime("heart", text=iter([HELLO])))
    assert (caught.value.status_code, "invalid_api_key" in str(caught.value)) == (1008, True)


def test_right_key_is_accepted(keyed_server: RunningServer, checker: SpeechChecker) -> None:
    assert keyed_server.key
    right = connected(keyed_server, keyed_server.key)
    pieces = right.text_to_speech.convert_realtime(
        "heart", text=iter([HELLO]), output_format="pcm_24000"
    )
    checker.expect_speech(decode(b"".join(pieces), "s16le", 24000), HELLO)


def test_voices_and_models_are_listed(client: ElevenLabs) -> None:
    assert "heart" in {voice.voice_id for voice in client.voices.search().voices}
    assert "heart" in {voice.name for voice in client.voices.get_all().voices}
    assert client.voices.get(RACHEL).voice_id == "heart"
    assert client.user.get().subscription.tier == "local"
    (model,) = client.models.list()
    assert model.can_do_text_to_speech


def test_pronunciation_dictionaries(client: ElevenLabs) -> None:
    alias = AliasRule(string_to_replace="Nguyen", alias="win")
    phoneme = PronunciationDictionaryRule_Phoneme(
        string_to_replace="Siobhan", phoneme="ʃɪˈvɔːn", alphabet="ipa"
    )
    dictionaries = client.pronunciation_dictionaries
    made = dictionaries.create_from_rules(rules=[alias], name="names")
    dictionaries.rules.add(made.id, rules=[phoneme])
    assert [rule.string_to_replace for rule in dictionaries.get(made.id).rules] == [
        "Nguyen",
        "Siobhan",
    ]
    pls = b"".join(dictionaries.download(made.id, made.version_id))
    uploaded = dictionaries.create_from_file(name="again", file=("names.pls", pls))
    assert uploaded.version_rules_num == 2
    listed = dictionaries.list().pronunciation_dictionaries
    assert {each.id for each in listed} >= {made.id, uploaded.id}
    locator = PronunciationDictionaryVersionLocator(
        pronunciation_dictionary_id=made.id, version_id=made.version_id
    )
    spoken = client.text_to_speech.convert(
        RACHEL, text="Nguyen.", pronunciation_dictionary_locators=[locator]
    )
    assert b"".join(spoken)
    dictionaries.rules.remove(made.id, rule_strings=["Nguyen"])
    dictionaries.update(made.id, archived=True)
    with pytest.raises(ApiError) as caught:
        dictionaries.get(made.id)
    assert caught.value.status_code == 404
