"""Learned voices: the page with a real server whose fake engine can learn voices."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from axe_playwright_python.async_playwright import Axe
from numpy.typing import NDArray
from playwright.async_api import FilePayload, Locator, Page, expect

from backend.events import Voice
from tests.browser.speaking_page import SpeakingPage
from tests.support.engines.cloning_model import CloningModel, recording
from tests.support.live_server import live_server

pytestmark = pytest.mark.asyncio(loop_scope="package")

SENT_HZ = 24_000
LONGEST_S = 30


HUMMING = """() => {  // the browser's fake microphone only clicks
  navigator.mediaDevices.getUserMedia = async () => {
    const audio = new AudioContext();
    const voice = new OscillatorNode(audio, { type: "sawtooth", frequency: 130 });
    const level = new GainNode(audio, { gain: 0.2 });
    const { stream } = level.connect(audio.createMediaStreamDestination());
    voice.connect(level);
    voice.start();
    return stream;
  };
}"""


class Learner(CloningModel):
    """Stores the recording of each voice."""

    def __init__(self) -> None:
        super().__init__()
        self.sounds: dict[str, NDArray[Any]] = {}

    def learn(self, name: str, audio: Path) -> Voice:
        self.sounds[name] = soundfile.read(audio)[0]
        return super().learn(name, audio)


def file_of(data: bytes) -> FilePayload:
    return {"name": "anna.wav", "mimeType": "audio/wav", "buffer": data}


@pytest.fixture
def learner() -> Learner:
    return Learner()


@pytest_asyncio.fixture(loop_scope="package")
async def speaking(page: Page, learner: Learner) -> AsyncIterator[SpeakingPage]:
    async with live_server(learner) as live:
        speaking = await SpeakingPage(page).open(live.http)
        await page.get_by_role("button", name="Settings").click()
        await page.get_by_text("Add a voice").click()
        yield speaking
        assert not [each for each in speaking.complaints if "409" not in each]
        await page.goto("about:blank")  # the server waits for open connections


def status(speaking: SpeakingPage) -> Locator:
    return speaking.page.locator("#new-voice-status")


async def test_voice_from_a_file_is_selected_and_speaks(
    speaking: SpeakingPage, learner: Learner
) -> None:
    add = speaking.page.get_by_role("button", name="Add", exact=True)
    await expect(add).to_be_disabled()
    await speaking.page.get_by_label("an audio file").set_input_files(
        file_of(recording(LONGEST_S + 2, rate_hz=8000, channels=2))
    )
    await expect(status(speaking)).to_have_text("The first 30 seconds of it are used.")
    await expect(speaking.page.get_by_label("Its name")).to_be_focused()
    await speaking.page.keyboard.type("Anna")
    await speaking.press("Enter")
    await expect(status(speaking)).to_have_text("Anna can speak now.")
    seconds, rate_hz = learner.learned["Anna"]
    assert rate_hz == SENT_HZ
    assert 8 < seconds <= 10  # the best of them
    turns = np.count_nonzero(np.diff(np.signbit(learner.sounds["Anna"])))
    assert turns == pytest.approx(0.05 * 8000 / np.pi * seconds, rel=0.01)  # speed unchanged
    await expect(speaking.page.locator("#voices input[value=Anna]")).to_be_checked()
    await speaking.page.get_by_role("button", name="Close").click()
    await speaking.text.fill("I am Anna.")
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    assert [m["voice"] for m in speaking.sent if m["type"] == "start"] == ["Anna"]


async def test_voice_file_can_be_dropped(speaking: SpeakingPage) -> None:
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
        b64encode(recording()).decode(),
    )
    await expect(speaking.page.locator("#new-voice-preview")).to_be_visible()
    await expect(speaking.page.get_by_label("Its name")).to_be_focused()


async def test_voice_is_recorded_by_keyboard(speaking: SpeakingPage, learner: Learner) -> None:
    await speaking.page.context.grant_permissions(["microphone"])
    await speaking.page.evaluate(HUMMING)
    await speaking.page.get_by_role("button", name="Record").focus()
    await speaking.press("Enter")
    stop = speaking.page.get_by_role("button", name="Stop (6 s)")
    await expect(stop).to_be_focused(timeout=20_000)
    await speaking.press("Enter")
    await expect(speaking.page.get_by_label("Its name")).to_be_focused()
    await speaking.page.keyboard.type("My own")
    await speaking.press("Enter")
    await expect(status(speaking)).to_have_text("My-own can speak now.")
    assert len(learner.sounds["My-own"]) > 4 * SENT_HZ
    assert np.abs(learner.sounds["My-own"]).max() > 0.03


async def test_unusable_voice_file_is_refused_with_a_message(speaking: SpeakingPage) -> None:
    file = speaking.page.get_by_label("an audio file")
    await file.set_input_files(file_of(recording(1.5)))
    await expect(status(speaking)).to_have_text("This is too short (1.5 s): at least 5 seconds.")
    await file.set_input_files(file_of(b"no sound"))
    await expect(status(speaking)).to_contain_text("not a sound that this browser can read")
    await file.set_input_files(file_of(recording()))
    await expect(speaking.page.locator("#new-voice-preview")).to_be_visible()
    standard = await speaking.page.locator("#voices input:checked").input_value()
    await speaking.page.get_by_label("Its name").fill(standard)
    await speaking.press("Enter")
    await expect(status(speaking)).to_contain_text("The voice was not added: there is a voice")
    await speaking.page.get_by_label("Its name").fill("another")
    await speaking.press("Enter")  # the recording is still available
    await expect(status(speaking)).to_have_text("another can speak now.")


async def test_only_learned_voices_can_be_removed(speaking: SpeakingPage, learner: Learner) -> None:
    await speaking.page.get_by_label("an audio file").set_input_files(file_of(recording()))
    await expect(speaking.page.locator("#new-voice-preview")).to_be_visible()
    await speaking.page.get_by_label("Its name").fill("Anna")
    await speaking.press("Enter")
    remove = speaking.page.get_by_role("button", name="Remove")
    await expect(remove).to_have_count(1)
    await expect(remove).to_have_accessible_name("Remove Anna")
    await remove.click()
    assert learner.learned  # confirmation is required
    await speaking.page.get_by_role("button", name="Really remove Anna").click()
    await expect(speaking.page.locator("#voices input[value=Anna]")).to_have_count(0)
    assert not learner.learned
    await expect(speaking.page.locator("#voices input:checked")).to_be_focused()


async def test_denied_microphone_is_reported(speaking: SpeakingPage) -> None:
    await speaking.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () =>"
        "  Promise.reject(new DOMException('no', 'NotAllowedError')) }"
    )
    await speaking.page.get_by_role("button", name="Record").click()
    await expect(status(speaking)).to_have_text(
        "This browser was not allowed to use the microphone."
    )


async def test_axe_finds_no_serious_violations_in_the_preview(speaking: SpeakingPage) -> None:
    await speaking.page.get_by_label("an audio file").set_input_files(file_of(recording()))
    await expect(speaking.page.locator("#new-voice-preview")).to_be_visible()
    found = (await Axe().run(speaking.page)).response["violations"]
    assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []
