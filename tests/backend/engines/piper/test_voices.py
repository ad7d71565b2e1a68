from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

from backend.engines.piper.engine import PiperModel
from backend.errors import VoiceUnavailable
from tests.support.piper.piper_model import begin, joe_path, render
from tests.support.piper.stand_in_voice import StandIn, describe_voice, write_voice

NAMES = ("one", "two", "three")


def write_voices(folder: Path) -> int:
    """Write small voices. Returns the size of one."""
    paths = [write_voice(folder, name) for name in NAMES]
    return paths[0].stat().st_size


def test_the_least_recently_used_voice_leaves_memory(tmp_path: Path) -> None:
    size = write_voices(tmp_path)
    model = PiperModel(tmp_path, memory_limit_bytes=2 * size)
    for name in ("one", "two", "one", "three"):
        model.load_voice(name)
    assert model.loaded_voices() == ["one", "three"]


def test_a_voice_in_use_stays_and_leaves_afterwards(tmp_path: Path) -> None:
    size = write_voices(tmp_path)
    model = PiperModel(tmp_path, memory_limit_bytes=size)
    engine = begin(model, "one")
    model.load_voice("two")
    model.load_voice("three")
    assert model.loaded_voices() == ["one", "three"]
    engine.abort("u")
    model.load_voice("two")
    assert model.loaded_voices() == ["two"]


def test_an_evicted_voice_speaks_again(tmp_path: Path) -> None:
    size = write_voices(tmp_path)
    model = PiperModel(tmp_path, memory_limit_bytes=size)
    first = render(model, "Hello there.", "one")
    render(model, "Hello there.", "two")
    assert model.loaded_voices() == ["two"]
    again = render(model, "Hello there.", "one")
    assert [c.pcm.tobytes() for c in first] == [c.pcm.tobytes() for c in again]


def test_an_evicted_voice_is_freed(tmp_path: Path) -> None:
    size = write_voices(tmp_path)
    model = PiperModel(tmp_path, memory_limit_bytes=size)
    model.load_voice("one")
    network = weakref.ref(model._memory._loaded["one"].network)
    model.load_voice("two")
    gc.collect()
    assert network() is None


def test_many_threads_load_a_voice_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.engines.piper import voices

    write_voices(tmp_path)
    model = PiperModel(tmp_path)
    made: list[str] = []
    whole = voices.LoadedVoice

    def load(file: voices.VoiceFile) -> voices.LoadedVoice:
        made.append(file.name)
        return whole(file)

    monkeypatch.setattr(voices, "LoadedVoice", load)
    threads = [threading.Thread(target=model.load_voice, args=("one",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["one"]


def test_new_files_are_found_and_broken_ones_left_out(tmp_path: Path) -> None:
    write_voice(tmp_path, "one")
    model = PiperModel(tmp_path)
    write_voice(tmp_path, "two")
    (tmp_path / "half.onnx").write_bytes(b"")
    (tmp_path / "odd.onnx").write_bytes(b"")
    (tmp_path / "odd.onnx.json").write_text("[]")
    assert [voice.name for voice in model.voices()] == ["one", "two"]


def test_voices_outside_the_folder_are_added_by_their_files(tmp_path: Path) -> None:
    path = write_voice(tmp_path / "elsewhere", "guest")
    write_voice(tmp_path / "here", "host")
    model = PiperModel(tmp_path / "here", [path])
    assert [voice.name for voice in model.voices()] == ["guest", "host"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"phoneme_type": "pinyin"}, "pinyin"),
        ({"phoneme_id_map": {"a": [1]}}, "lack"),
        ({"audio": {"sample_rate": 1}}, "sample rate"),
    ],
)
def test_a_voice_of_an_unknown_kind_is_left_out(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    from backend.engines.piper.voice_config import read_config

    write_voice(tmp_path, "one")
    other = write_voice(tmp_path, "other")
    config = other.with_name("other.onnx.json")
    config.write_text(json.dumps(describe_voice(StandIn()) | change))
    assert [voice.name for voice in PiperModel(tmp_path).voices()] == ["one"]
    with pytest.raises(ValueError, match=why):
        read_config(config)


def test_without_espeak_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.engines.piper import espeak

    write_voice(tmp_path, "spoken")
    write_voice(tmp_path, "letters", StandIn(espeak=""))
    monkeypatch.setattr(espeak, "_find_libraries", list)
    espeak.load_espeak.cache_clear()
    model = PiperModel(tmp_path)
    with pytest.raises(VoiceUnavailable, match="pip install espeakng-loader"):
        model.load_voice("spoken")
    assert render(model, "Hello there.", "letters")[-1].caught_up
    espeak.load_espeak.cache_clear()


_MEASURE = """
import ctypes, gc, os, shutil, sys
from pathlib import Path
from backend.engines.base import Release, Utterance
from backend.engines.piper.engine import PiperModel

def rss():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

def speak(model, name):
    engine = model.create_engine()
    engine.begin(Utterance("u", name))
    text = "The library opens at nine and closes at six."
    engine.extend("u", Release(text, len(text), final=True))
    while not engine.step(["u"])[0].caught_up: pass

model = PiperModel(Path(sys.argv[1]), memory_limit_bytes=3 << 30)
speak(model, "a")
one = rss()
speak(model, "b"); speak(model, "c")
print("further:", (rss() - one) / 2)
model._memory._limit_bytes = 1
speak(model, "a")
print("left:", rss() - one)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_further_voice_needs_90_mib_which_are_freed(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.onnx").symlink_to(joe_path())
        (tmp_path / f"{name}.onnx.json").symlink_to(f"{joe_path()}.json")
    command = [sys.executable, "-c", _MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    further_mib, left_mib = map(float, re.findall(r"(?:further|left): (\S+)", done.stdout))
    assert further_mib < 90
    assert left_mib < 30
