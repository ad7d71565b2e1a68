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


def test_the_server_knows_the_keys_and_whose_they_are(file: Path) -> None:
    phone, boss = create_key("my  phone", file), create_key("boss", file, admin=True)
    known = access(file)
    assert (known.authorize(phone), known.authorize(boss)) == ("my phone", "boss")
    assert (known.administers(phone), known.administers(boss)) == (False, True)
    with pytest.raises(Unauthorized):
        known.authorize(phone + "x")


def test_the_file_holds_no_key_and_is_its_owners_alone(file: Path) -> None:
    previous = os.umask(0)
    try:
        key = create_key("phone", file)
    finally:
        os.umask(previous)
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_two_keys_are_alike(file: Path) -> None:
    assert len({create_key(f"phone {number}", file) for number in range(20)}) == 20


def test_a_name_has_one_key_until_its_line_is_removed(file: Path) -> None:
    create_key("phone", file, admin=True)
    with pytest.raises(KeyFailed, match="phone has a key"):
        create_key("phone", file)
    file.write_text("")
    key = create_key("phone", file)
    assert access(file).authorize(key) == "phone"


def test_a_file_written_by_hand_is_added_to(file: Path) -> None:
    file.write_text("# the family")
    key = create_key("grandma", file)
    assert access(file).authorize(key) == "grandma"
    assert file.read_text().startswith("# the family\ngrandma ")


@pytest.mark.parametrize("name", ["", "  ", "#1", "x" * 65])
def test_a_name_that_the_file_cannot_hold_is_refused(file: Path, name: str) -> None:
    with pytest.raises(KeyFailed, match="name"):
        create_key(name, file)
    assert not file.exists()


def test_a_name_of_two_lines_becomes_one(file: Path) -> None:
    key = create_key("a\nb", file)
    assert access(file).authorize(key) == "a b"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyFailed, match="no-such-folder"):
        create_key("phone", tmp_path / "no-such-folder" / "keys")


def test_the_command_prints_the_key_alone_and_says_how_it_is_used(file: Path) -> None:
    done = CliRunner().invoke(cli.app, ["key", "phone", "--file", str(file)])
    assert done.exit_code == 0
    assert access(file).authorize(done.stdout.strip()) == "phone"
    assert f"--set access.api_keys_file={file}" in done.stderr
    again = CliRunner().invoke(cli.app, ["key", "phone", "--file", str(file)])
    assert again.exit_code == 1
    assert again.stdout == ""


def test_a_file_with_a_byte_order_mark_is_read_and_goes_on(file: Path) -> None:
    file.touch(mode=0o600)
    file.write_bytes(codecs.BOM_UTF8)
    first = create_key("phone", file)
    with pytest.raises(KeyFailed, match="another name"):
        create_key("phone", file)
    second = create_key("boss", file)
    assert (access(file).authorize(first), access(file).authorize(second)) == ("phone", "boss")


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/full", "/dev"])
def test_what_is_no_file_keeps_no_key(target: str) -> None:
    with pytest.raises(KeyFailed, match="not a file"):
        create_key("phone", Path(target))
