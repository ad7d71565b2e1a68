"""The models folder: of a checkout, of an installed package, and by the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import main
from backend.config import Settings
from backend.engines import download
from backend.engines.weights import models_folder
from tests.support.repository import ROOT


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return home


def test_a_checkout_uses_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert models_folder(root=tmp_path) == tmp_path / "models"
    assert models_folder() == ROOT / "models"


def test_an_installed_package_uses_the_users_data_folder(tmp_path: Path, home: Path) -> None:
    folder = models_folder(root=tmp_path / "site-packages")
    assert folder.is_relative_to(home)
    assert folder.parts[-2:] == ("duplex-tts", "models")
    assert not home.exists()  # nothing is created


def test_the_setting_comes_first_and_expands_the_home(tmp_path: Path, home: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert models_folder("/elsewhere", tmp_path) == Path("/elsewhere")
    assert models_folder("~/voices", tmp_path) == home / "voices"


@pytest.mark.parametrize("home_variable", ["", None])
def test_without_a_home_the_folder_is_still_absolute(
    home_variable: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    if home_variable is not None:
        monkeypatch.setenv("HOME", home_variable)
    assert models_folder(root=tmp_path).is_absolute()


class FolderPassed(Exception):
    """Raised with the folder that was passed, in place of using it."""


def test_the_server_uses_the_folder_of_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_model(_: Settings, models: Path) -> None:
        raise FolderPassed(models)

    monkeypatch.setattr(main, "load_model", load_model)
    settings = {"server": {"port": 0}, "engine": {"models": str(tmp_path / "mödels here")}}
    with pytest.raises(FolderPassed) as asked:
        main.serve(Settings.model_validate(settings))
    assert asked.value.args == (tmp_path / "mödels here",)


@pytest.mark.parametrize(
    ("flags", "folder"), [([], "from the settings"), (["--models", "given"], "given")]
)
def test_a_download_uses_the_servers_folder_unless_a_flag_is_given(
    flags: list[str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(_: object, folder: Path, progress: object) -> None:
        raise FolderPassed(folder)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "download", fetch)
    Path("duplex-tts.toml").write_text('[engine]\nmodels = "from the settings"\n', "utf-8")
    with pytest.raises(FolderPassed) as asked:
        download.main(["chatterbox", *flags])
    assert asked.value.args == (tmp_path / folder / "chatterbox",)
