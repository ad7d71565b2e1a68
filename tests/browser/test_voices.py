"""Voices of one's own, before a server whose engine learns them: the real one has none yet."""

from __future__ import annotations

import io
import wave
from base64 import b64encode
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import FilePayload, Locator, Page, Route, expect

from tests.browser.speaking_page import SpeakingPage

pytestmark = pytest.mark.asyncio(loop_scope="package")

RATE_HZ = 24_000  # of what the page sends
LONGEST_S = 30


class Learner:
    """Answers in the server's place where voices are concerned."""

    def __init__(self) -> None:
        self.voices = [{"name": "heart", "language": "en", "description": "", "ready": True}]
        self.recordings: dict[str, bytes] = {}
        self.refusal = ""

    async def answer(self, route: Route) -> None:
        if route.request.method == "POST":
            await self._learn(route)
        elif route.request.method == "DELETE":
            gone = route.request.url.rsplit("/", 1)[1]
            self.voices = [voice for voice in self.voices if voice["name"] != gone]
            await route.fulfill(status=204)
        else:
            await route.fulfill(json={"default": "heart", "voices": self.voices, "clones": True})

    async def _learn(self, route: Route) -> None:
        if self.refusal:
            error = {"type": "error", "code": "bad_message", "message": self.refusal}
            await route.fulfill(status=400, json=error)
        else:
            fields = form(route)
            name = fields["name"].decode()
            self.recordings[name] = fields["audio"]
            self.voices.append({**self.voices[0], "name": name, "learned": True})
            await route.fulfill(status=201, json=self.voices[-1])


def form(route: Route) -> dict[str, bytes]:
    """The fields of a multipart form."""
    kind = route.request.headers["content-type"].encode()
    body = route.request.post_data_buffer
    assert body is not None
    message = message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + body, policy=HTTP)
    fields: dict[str, bytes] = {}
    for part in message.iter_parts():
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        fields[str(part.get_param("name", header="content-disposition"))] = payload
    return fields


def recording(seconds: float, rate_hz: int = 8000) -> FilePayload:
    """A file with a tone on the left and nothing on the right."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    pcm = np.zeros((len(time_s), 2), "<i2")
    pcm[:, 0] = 16_000 * np.sin(2 * np.pi * 200 * time_s)
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.tobytes())
    return {"name": "anna.wav", "mimeType": "audio/wav", "buffer": data.getvalue()}


def sound(data: bytes) -> np.ndarray[Any, Any]:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (1, RATE_HZ, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@pytest_asyncio.fixture(loop_scope="package")
async def learner(page: Page) -> Learner:
    learner = Learner()
    await page.route("**/v1/voices", learner.answer)
    await page.route("**/v1/voices/*", learner.answer)
    return learner


@pytest_asyncio.fixture(loop_scope="package")
async def speaking(page: Page, url: str, learner: Learner) -> AsyncIterator[SpeakingPage]:
    speaking = await SpeakingPage(page).open(url)
    await page.get_by_text("Add a voice").click()
    yield speaking
    assert not [each for each in speaking.complaints if "400" not in each]


def status(speaking: SpeakingPage) -> Locator:
    return speaking.page.locator("#new-voice-status")


async def test_a_file_becomes_a_voice_that_speaks_from_now_on(
    speaking: SpeakingPage, learner: Learner
) -> None:
    add = speaking.page.get_by_role("button", name="Add", exact=True)
    await expect(add).to_be_disabled()
    await speaking.page.get_by_label("an audio file").set_input_files(recording(LONGEST_S + 2))
    await expect(status(speaking)).to_have_text("The first 30 seconds of it are used.")
    await expect(speaking.page.get_by_label("Its name")).to_be_focused()
    await speaking.page.keyboard.type("Anna")
    await speaking.press("Enter")
    await expect(status(speaking)).to_have_text("Anna can speak now.")
    pcm = sound(learner.recordings["Anna"])
    assert len(pcm) == LONGEST_S * RATE_HZ
    assert np.abs(pcm).max() == pytest.approx(8000, rel=0.02)  # both channels, mixed
    crossings = np.count_nonzero(np.diff(np.signbit(pcm)))
    assert crossings == pytest.approx(2 * 200 * LONGEST_S, rel=0.01)  # as fast as it was
    await expect(speaking.page.locator("#voices input[value=Anna]")).to_be_checked()
    await speaking.text.fill("I am Anna.")
    await speaking.press("Enter")
    await expect(speaking.notice).to_contain_text("Speaking with heart instead")
    assert next(m["voice"] for m in speaking.sent if m["type"] == "start") == "Anna"


async def test_a_file_may_be_dropped(speaking: SpeakingPage) -> None:
    await speaking.page.evaluate(
        """(file) => {
          const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt());
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], "anna.wav"));
          for (const type of ["dragover", "drop"]) {
            const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
            document.getElementById("record").dispatchEvent(event);
            if (!event.defaultPrevented) throw new Error("the browser would open the file");
          }
        }""",
        b64encode(recording(6)["buffer"]).decode(),
    )
    await expect(speaking.page.locator("#new-voice-preview")).to_be_visible()
    await expect(speaking.page.get_by_label("Its name")).to_be_focused()


async def test_one_may_record_oneself_with_the_keyboard(
    speaking: SpeakingPage, learner: Learner
) -> None:
    await speaking.page.context.grant_permissions(["microphone"])
    await speaking.page.get_by_role("button", name="Record").focus()
    await speaking.press("Enter")
    stop = speaking.page.get_by_role("button", name="Stop (6 s)")
    await expect(stop).to_be_focused(timeout=20_000)
    await speaking.press("Enter")
    await expect(speaking.page.get_by_label("Its name")).to_be_focused()
    await speaking.page.keyboard.type("My own")
    await speaking.press("Enter")
    await expect(status(speaking)).to_have_text("My-own can speak now.")
    pcm = sound(learner.recordings["My-own"])
    assert len(pcm) > 5 * RATE_HZ
    assert np.abs(pcm).max() > 1000  # the browser's own microphone of tests beeps


async def test_what_cannot_become_a_voice_is_refused_in_words(
    speaking: SpeakingPage, learner: Learner
) -> None:
    file = speaking.page.get_by_label("an audio file")
    await file.set_input_files(recording(1.5))
    await expect(status(speaking)).to_have_text("This is too short (1.5 s): at least 5 seconds.")
    await file.set_input_files({"name": "a.wav", "mimeType": "audio/wav", "buffer": b"no sound"})
    await expect(status(speaking)).to_contain_text("not a sound that this browser can read")
    await file.set_input_files(recording(6))
    learner.refusal = "there is a voice of this name already"
    await speaking.page.get_by_label("Its name").fill("heart")
    await speaking.press("Enter")
    await expect(status(speaking)).to_have_text(
        "The voice was not added: there is a voice of this name already"
    )
    learner.refusal = ""
    await speaking.page.get_by_label("Its name").fill("another")
    await speaking.press("Enter")  # the recording is still there
    await expect(status(speaking)).to_have_text("another can speak now.")


async def test_a_learned_voice_can_be_removed_and_the_server_s_own_cannot(
    speaking: SpeakingPage, learner: Learner
) -> None:
    await speaking.page.get_by_label("an audio file").set_input_files(recording(6))
    await speaking.page.get_by_label("Its name").fill("Anna")
    await speaking.press("Enter")
    await expect(speaking.page.get_by_role("button", name="Remove heart")).to_have_count(0)
    await speaking.page.get_by_role("button", name="Remove Anna").click()
    assert len(learner.voices) == 2  # a second word is wanted
    await speaking.page.get_by_role("button", name="Really remove Anna").click()
    await expect(speaking.page.locator("#voices input")).to_have_count(1)
    await expect(speaking.page.locator("#voices input[value=heart]")).to_be_focused()


async def test_a_microphone_that_is_denied_is_said(speaking: SpeakingPage) -> None:
    await speaking.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () =>"
        "  Promise.reject(new DOMException('no', 'NotAllowedError')) }"
    )
    await speaking.page.get_by_role("button", name="Record").click()
    await expect(status(speaking)).to_have_text(
        "This browser was not allowed to use the microphone."
    )


async def test_axe_finds_no_serious_fault_there(speaking: SpeakingPage) -> None:
    await speaking.page.get_by_label("an audio file").set_input_files(recording(6))
    await expect(speaking.page.locator("#new-voice-preview")).to_be_visible()
    found = (await Axe().run(speaking.page)).response["violations"]
    assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []
