"""Weights and voices on disk: complete, missing, cut off, foreign, unreadable."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import pytest

from backend.doctor.checks import voices, weights
from backend.doctor.file_integrity import file_problem
from backend.doctor.findings import CheckInputs, Finding, Status
from backend.engines.weights import WEIGHTS
from tests.support.doctor_findings import by_name, inputs_for

TURBO = "chatterbox-turbo"


def safetensors(path: Path, *names: str, size: int = 16) -> None:
    """A file with one tensor of `size` bytes for each name."""
    header = {
        name: {"dtype": "U8", "shape": [size], "data_offsets": [n * size, (n + 1) * size]}
        for n, name in enumerate(names or ("weight",))
    }
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(size * len(header)))


def complete(models: Path, engine: str = TURBO) -> Path:
    """Write all files of the engine."""
    folder = models / engine
    folder.mkdir(parents=True)
    for name in WEIGHTS[engine].required:
        if name.endswith(".safetensors"):
            safetensors(folder / name)
        elif name.endswith(".pt"):
            with zipfile.ZipFile(folder / name, "w") as archive:
                archive.writestr("data.pkl", "")
        else:
            (folder / name).write_text("{}")
    return folder


def check(models: Path, name: str = "auto") -> dict[str, Finding]:
    return by_name(weights.run(inputs_for(engine={"name": name, "models": str(models)})))


def test_complete_weights_are_ok_with_their_sizes(tmp_path: Path) -> None:
    complete(tmp_path)
    found = check(tmp_path, TURBO)
    assert found[TURBO].status is Status.OK
    assert set(found[TURBO].values) == set(WEIGHTS[TURBO].required)
    assert found["chatterbox"].status is Status.ABSENT


def test_weights_that_are_not_there_matter_only_if_they_are_chosen(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    assert check(nowhere)[TURBO].status is Status.ABSENT
    finding = check(nowhere, TURBO)[TURBO]
    assert finding.status is Status.ERROR
    assert finding.command == f"duplex-tts download {TURBO} --models {nowhere}"
    assert not nowhere.exists()


@pytest.mark.parametrize("name", WEIGHTS[TURBO].required)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (complete(tmp_path) / name).unlink()
    finding = check(tmp_path)[TURBO]
    assert (finding.status, finding.text) == (Status.WARNING, f"missing: {name}")
    assert check(tmp_path, TURBO)[TURBO].status is Status.ERROR


def test_an_interrupted_download_is_named(tmp_path: Path) -> None:
    folder = tmp_path / TURBO
    folder.mkdir()
    (folder / "ve.safetensors.0123456789ab.part").touch()
    finding = check(tmp_path)[TURBO]
    assert "interrupted" in finding.text
    assert "resumes" in finding.remedy


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("ve.safetensors", b"", "not a file of safetensors"),
        ("ve.safetensors", b"\xff" * 100, "not a file of safetensors"),
        ("ve.safetensors", struct.pack("<Q", 4) + b"[{}]", "not a file of safetensors"),
        ("ve.safetensors", struct.pack("<Q", 8) + b'{"a": 1}', "not a file of safetensors"),
        ("ve.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        ("tokenizer_config.json", b"{", "not JSON"),
        ("tokenizer_config.json", b"\xff\xfe\x00", "not JSON"),
        ("conds.pt", b"PK\x03\x04 cut", "not a file of torch"),
    ],
)
def test_a_corrupt_file_is_named_with_the_command_that_fetches_it(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (complete(tmp_path) / name).write_bytes(content)
    finding = check(tmp_path, TURBO)[TURBO]
    assert finding.status is Status.ERROR
    assert finding.text.startswith(f"{name} is")
    assert why in finding.text
    assert finding.command.startswith(f"duplex-tts download {TURBO}")


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_is_cut_off_or_longer_is_found(tmp_path: Path, change: int) -> None:
    path = tmp_path / "a.safetensors"
    safetensors(path)
    assert not file_problem(path)
    content = path.read_bytes()
    path.write_bytes(content[:change] if change < 0 else content + bytes(change))
    assert f"instead of {len(content)}" in file_problem(path)


def test_a_models_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    finding = check(tmp_path / "models")["folder"]
    assert finding.status is Status.ERROR
    assert "cannot be read" in finding.text


def test_a_models_folder_that_may_not_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "Permission denied" in check(tmp_path)["folder"].text


# --- voices ---------------------------------------------------------------------------------------


def learned(models: Path, name: str) -> Path:
    folder = models / "voices" / TURBO / name
    folder.mkdir(parents=True)
    (folder / "voice.json").write_text("{}")
    safetensors(folder / "conditioning.safetensors", "speaker", "prompt_tokens", "sound.a")
    return folder


def check_voices(models: Path) -> list[Finding]:
    findings = [*voices.run(CheckInputs(inputs_for(engine={"models": str(models)}).settings))]
    by_name(findings)
    return findings


def test_learned_voices_are_counted_not_named(tmp_path: Path) -> None:
    learned(tmp_path, "anna")
    learned(tmp_path, "bob")
    (finding,) = (each for each in check_voices(tmp_path) if each.name == TURBO)
    assert (finding.status, finding.text) == (Status.OK, "2 learned voices")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("voice.json", None, "has no voice.json"),
        ("conditioning.safetensors", None, "has no conditioning.safetensors"),
        ("conditioning.safetensors", b"RIFF", "is not a file of safetensors"),
    ],
)
def test_a_broken_voice_is_named_and_the_others_count(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    learned(tmp_path, "bob")
    path = learned(tmp_path, "anna") / name
    path.unlink() if content is None else path.write_bytes(content)
    broken, rest = (each for each in check_voices(tmp_path) if each.name == TURBO)
    assert broken.status is Status.WARNING
    assert broken.text.startswith("anna: ")
    assert why in broken.text
    assert "voices add anna" in broken.command
    assert rest.text == "1 learned voice"


def test_a_voice_of_another_kind_is_broken(tmp_path: Path) -> None:
    safetensors(learned(tmp_path, "anna") / "conditioning.safetensors", "speaker")
    assert "lacks prompt_tokens" in check_voices(tmp_path)[1].text


def test_a_damaged_download_of_the_embedded_engine_is_named(tmp_path: Path) -> None:
    from hibari import voices as catalogue

    file = next(each["file"] for each in catalogue.VOICES.values() if not each.get("bundled"))
    (tmp_path / "hibari").mkdir()
    (tmp_path / "hibari" / file).write_bytes(b"not a voice")
    damaged, rest = check_voices(tmp_path)
    assert damaged.status is Status.WARNING
    assert damaged.command == f"rm {tmp_path / 'hibari' / file}"
    assert rest.text.startswith("heart; ")
