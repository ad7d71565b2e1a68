"""`duplex-tts key`: the server accepts the key, and only its hash is stored."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.config import AccessSettings
from backend.errors import Unauthorized
from backend.transport.auth import Access
from duplex_tts.cli import app as cli
from duplex_tts.cli.keys import KeyFailed, create_key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def access(file: Path) -> Access:
    return Access(AccessSettings(api_keys_file=str(file)))


def test_the_server_accepts_the_keys_with_their_names_and_roles(file: Path) -> None:
    phone, boss = create_key("my  phone", file), create_key("boss", file, admin=True)
    known = access(file)
    assert (known.authorize(phone), known.authorize(boss)) == ("my phone", "boss")
    assert (known.is_admin_key(phone), known.is_admin_key(boss)) == (False, True)
    with pytest.raises(Unauthorized):
        known.authorize(phone + "x")


def test_the_file_holds_no_key_and_is_readable_by_its_owner_only(file: Path) -> None:
    previous = os.umask(0)
    try:
        key = create_key("phone", file)
    finally:
        os.umask(previous)
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_keys_are_unique(file: Path) -> None:
    assert len({create_key(f"phone {number}", file) for number in range(20)}) == 20


def test_a_name_has_one_key_until_its_line_is_removed(file: Path) -> None:
    create_key("phone", file, admin=True)
    with pytest.raises(KeyFailed, match="phone has a key"):
        create_key("phone", file)
    file.write_text("")
    key = create_key("phone", file)
    assert access(file).authorize(key) == "phone"


def test_a_key_is_appended_to_a_file_written_by_hand(file: Path) -> None:
    file.write_text("# the family")
    key = create_key("grandma", file)
    assert access(file).authorize(key) == "grandma"
    assert file.read_text().startswith("# the family\ngrandma ")


@pytest.mark.parametrize("name", ["", "  ", "#1", "x" * 65])
def test_a_name_that_the_file_cannot_hold_is_refused(file: Path, name: str) -> None:
    with pytest.raises(KeyFailed, match="name"):
        create_key(name, file)
    assert not file.exists()


def test_line_breaks_in_a_name_become_spaces(file: Path) -> None:
    key = create_key("a\nb", file)
    assert access(file).authorize(key) == "a b"


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(KeyFailed, match="no-such-folder"):
        create_key("phone", tmp_path / "no-such-folder" / "keys")


def test_the_command_prints_only_the_key_to_stdout_and_its_usage_to_stderr(file: Path) -> None:
    done = CliRunner().invoke(cli.app, ["key", "phone", "--file", str(file)])
    assert done.exit_code == 0
    assert access(file).authorize(done.stdout.strip()) == "phone"
    assert f"--set access.api_keys_file={file}" in done.stderr
    again = CliRunner().invoke(cli.app, ["key", "phone", "--file", str(file)])
    assert again.exit_code == 1
    assert again.stdout == ""


def test_a_key_file_with_a_byte_order_mark_can_be_extended(file: Path) -> None:
    file.touch(mode=0o600)
    file.write_bytes(codecs.BOM_UTF8)
    first = create_key("phone", file)
    with pytest.raises(KeyFailed, match="another name"):
        create_key("phone", file)
    second = create_key("boss", file)
    assert (access(file).authorize(first), access(file).authorize(second)) == ("phone", "boss")


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/full", "/dev"])
def test_a_device_or_folder_is_refused_as_key_file(target: str) -> None:
    with pytest.raises(KeyFailed, match="not a file"):
        create_key("phone", Path(target))
