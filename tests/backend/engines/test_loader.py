"""Choosing and loading the engine, and the errors if that fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from backend.config import Settings
from backend.engines import loader
from backend.engines.loader import load_model, load_other_models
from backend.engines.weights import WEIGHTS
from backend.errors import ConfigError

TURBO, STANDARD = "chatterbox-turbo", "chatterbox"
EMBEDDED = object()


class RecordedModel:
    """Replaces the real model and records its arguments."""

    def __init__(self, *arguments: Any) -> None:
        self.folder, self.settings, self.voices = arguments

    load = classmethod(lambda cls, *arguments: cls(*arguments))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with the packages, and a CUDA device if `device` names one."""
    structlog.reset_defaults()
    machine = SimpleNamespace(device=None, packages={"torch", "chatterbox"})
    module = SimpleNamespace(ChatterboxModel=RecordedModel)
    monkeypatch.setitem(sys.modules, "backend.engines.chatterbox.model", module)
    monkeypatch.setattr(loader, "_load_hibari", lambda _: EMBEDDED)  # loading takes a second
    monkeypatch.setattr(loader, "cuda_device", lambda: machine.device)
    monkeypatch.setattr(loader, "explain_no_device", lambda: "the driver is old")
    monkeypatch.setattr(loader, "is_installed", lambda package: package in machine.packages)
    return machine


def settings(name: str = "auto", **chatterbox: object) -> Settings:
    return Settings.model_validate({"engine": {"name": name}, "chatterbox": chatterbox})


def put_weights(models: Path, engine: str) -> None:
    (models / engine).mkdir(parents=True)
    for name in WEIGHTS[engine].required:
        (models / engine / name).touch()


def load_with_reason(settings: Settings, models: Path) -> tuple[Any, str]:
    """The model, and the logged reason for it."""
    with capture_logs() as logs:
        model = load_model(settings, models)
    (why,) = [entry["why"] for entry in logs if entry["event"] == "engine.chosen"]
    return model, why


def test_without_weights_hibari_is_chosen_without_asking_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(loader, "cuda_device")  # asking would fail
    model, why = load_with_reason(settings(), tmp_path)
    assert model is EMBEDDED
    assert "duplex-tts download chatterbox-turbo" in why


def test_the_log_names_the_models_folder(tmp_path: Path) -> None:
    with capture_logs() as logs:
        load_model(settings(), tmp_path)
    assert logs[0]["models"] == str(tmp_path)


def test_with_weights_but_no_device_hibari_is_chosen(tmp_path: Path) -> None:
    put_weights(tmp_path, TURBO)
    model, why = load_with_reason(settings(), tmp_path)
    assert model is EMBEDDED
    assert why.endswith("no CUDA device: the driver is old")


def test_with_weights_but_no_package_hibari_is_chosen(
    tmp_path: Path, machine: SimpleNamespace
) -> None:
    put_weights(tmp_path, TURBO)
    machine.device, machine.packages = "a card", {"torch"}
    model, why = load_with_reason(settings(), tmp_path)
    assert model is EMBEDDED
    assert "make install-chatterbox" in why


@pytest.mark.parametrize(
    ("here", "taken"), [([STANDARD], STANDARD), ([STANDARD, TURBO], TURBO), ([TURBO], TURBO)]
)
def test_with_weights_and_a_device_chatterbox_is_chosen_turbo_first(
    tmp_path: Path, machine: SimpleNamespace, here: list[str], taken: str
) -> None:
    for engine in here:
        put_weights(tmp_path, engine)
    machine.device = "a card"
    model, why = load_with_reason(settings(watermark=False), tmp_path)
    assert model.folder == tmp_path / taken
    assert model.voices == tmp_path / "voices" / taken
    assert not model.settings.watermark
    assert "a card" in why


NANO = "chatterbox-nano"


@pytest.mark.parametrize(("rtf", "taken"), [(0.5, True), (0.69, True), (0.8, False), (3.0, False)])
@pytest.mark.parametrize("here", [[NANO], [TURBO, NANO]])
def test_on_a_cpu_nano_is_chosen_if_it_was_measured_to_keep_up(
    here: list[str], rtf: float, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in here:
        put_weights(tmp_path, engine)
    measured: list[Any] = []

    def measure(model: Any) -> float:
        measured.append(model)
        return rtf

    monkeypatch.setattr(loader, "measure_rtf", measure)
    model, why = load_with_reason(settings(device="auto"), tmp_path)
    (nano,) = measured
    assert model is (nano if taken else EMBEDDED)
    assert nano.folder == tmp_path / NANO
    assert nano.settings.device == "cpu"
    assert why.startswith(f"{NANO} {'keeps up' if taken else 'does not keep up'} on this CPU")
    assert f"{rtf:.2f} s for a second of speech" in why
    assert "the driver is old" in why


def test_on_a_card_nano_is_not_measured(
    tmp_path: Path, machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(loader, "measure_rtf")
    machine.device = "a card"
    put_weights(tmp_path, NANO)
    assert load_with_reason(settings(), tmp_path)[0].folder == tmp_path / NANO
    put_weights(tmp_path, STANDARD)
    assert load_with_reason(settings(), tmp_path)[0].folder == tmp_path / STANDARD


def test_a_card_that_may_not_be_used_is_none(tmp_path: Path, machine: SimpleNamespace) -> None:
    machine.device = "a card"
    put_weights(tmp_path, TURBO)
    model, why = load_with_reason(settings(device="cpu"), tmp_path)
    assert model is EMBEDDED
    assert why.endswith("chatterbox.device is cpu")


@pytest.mark.parametrize(("engine", "slow"), [(NANO, "may be slower"), (STANDARD, "is slower")])
def test_a_named_engine_on_a_cpu_is_said_to_be_slow(engine: str, slow: str, tmp_path: Path) -> None:
    put_weights(tmp_path, engine)
    with capture_logs() as logs:
        load_model(settings(engine), tmp_path)
    assert f"{engine} {slow}" in logs[-1]["why"]


def test_incomplete_weights_do_not_count(tmp_path: Path, machine: SimpleNamespace) -> None:
    put_weights(tmp_path, TURBO)
    (tmp_path / TURBO / "t3_turbo_v1.safetensors").unlink()
    machine.device = "a card"
    assert load_with_reason(settings(), tmp_path)[0] is EMBEDDED


def test_a_named_engine_is_loaded_on_a_cpu_with_a_warning(
    tmp_path: Path,
) -> None:
    put_weights(tmp_path, STANDARD)
    with capture_logs() as logs:
        model: Any = load_model(settings(STANDARD), tmp_path)
    assert model.folder == tmp_path / STANDARD
    (slow,) = [entry for entry in logs if entry["event"] == "engine.slow"]
    assert slow["log_level"] == "warning"
    assert "the driver is old" in slow["why"]


def test_hibari_is_chosen_if_named(tmp_path: Path, machine: SimpleNamespace) -> None:
    put_weights(tmp_path, TURBO)
    machine.device = "a card"
    assert load_with_reason(settings("hibari"), tmp_path)[0] is EMBEDDED


def test_missing_weights_are_one_line_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_model(settings(TURBO), tmp_path)
    assert "t3_turbo_v1.safetensors" in caught.value.message
    assert caught.value.message.endswith("run: duplex-tts download chatterbox-turbo")
    assert "\n" not in caught.value.message


def test_a_missing_package_is_one_line_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_weights(tmp_path, TURBO)
    monkeypatch.setitem(sys.modules, "backend.engines.chatterbox.model", None)
    with pytest.raises(ConfigError, match="run: make install-chatterbox"):
        load_model(settings(TURBO), tmp_path)


def test_a_missing_device_is_reported(tmp_path: Path) -> None:
    put_weights(tmp_path, TURBO)
    with pytest.raises(ConfigError, match=r"chatterbox\.device = cuda.*the driver is old"):
        load_model(settings(TURBO, device="cuda"), tmp_path)


@pytest.mark.parametrize(
    ("cuda", "why"), [(None, "built without CUDA"), ("13.0", "torch for CUDA 13.0 .* nvidia-smi")]
)
def test_the_reason_for_no_device_is_explained(
    cuda: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(loader, "is_installed", lambda _: True)
    torch = SimpleNamespace(version=SimpleNamespace(cuda=cuda))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert re.search(why, loader.explain_no_device())


def test_files_that_cannot_be_loaded_are_one_line_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_weights(tmp_path, TURBO)

    def load(*_: object) -> None:
        raise ValueError("header too small")

    monkeypatch.setattr(RecordedModel, "load", load)
    with (
        capture_logs() as logs,
        pytest.raises(ConfigError, match=r"header too small.*download chatterbox-turbo` checks"),
    ):
        load_model(settings(TURBO), tmp_path)
    assert not [entry for entry in logs if entry["log_level"] == "error"]


@pytest.mark.slow
def test_hibari_needs_no_package_of_chatterbox(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
class NotInstalled:
    absent = {"torch", "torchaudio", "transformers", "chatterbox", "safetensors", "librosa",
              "huggingface_hub"}
    def find_spec(self, name, *_):
        if name.partition(".")[0] in self.absent:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, NotInstalled())  # scipy would take None in sys.modules for a module
import backend.main
from backend.config import Settings
from backend.engines.loader import load_model, load_other_models
print(load_model(Settings(), Path(sys.argv[1])).info.name)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert ran.stdout.splitlines()[-1:] == ["hibari"], ran.stderr


# --- further engines ------------------------------------------------------------------------------


def load_others(also: str, models: Path, main: str = TURBO) -> tuple[list[Any], list[str]]:
    """The further models, and the warnings."""
    wanted = Settings.model_validate({"engine": {"also": also}, "chatterbox": {"device": "cpu"}})
    with capture_logs() as logs:
        loaded = load_other_models(wanted, models, main)
    return loaded, [each["why"] for each in logs if each["event"] == "engine.left_out"]


@pytest.mark.parametrize("also", ["auto", "none", "", TURBO])
def test_without_further_engines_only_the_main_one_is_there(also: str, tmp_path: Path) -> None:
    assert load_others(also, tmp_path) == ([], [])


def test_a_further_engine_that_cannot_be_loaded_is_left_out_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = SimpleNamespace(info=SimpleNamespace(name="hibari"))
    monkeypatch.setattr(loader, "_load_hibari", lambda _: embedded)
    loaded, warnings = load_others(f"{STANDARD}, hibari, hibari", tmp_path)
    assert loaded == [embedded]
    (why,) = warnings
    assert "run: duplex-tts download chatterbox" in why


def test_a_further_engine_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'nobody' is no engine; engines: hibari"):
        load_others("nobody", tmp_path)
