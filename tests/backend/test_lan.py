"""`serve --lan`: the stored key, the links with it, and the QR code."""

from __future__ import annotations

import itertools
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend import lan
from backend.config import Settings
from backend.errors import ConfigError
from backend.lan import addresses, compose_announcement, invitation, kept_key, open_to_network
from backend.transport.auth import Access, check_exposure


def test_key_is_created_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "lan.key"
    key = kept_key(file)
    assert key.startswith("dtts_")
    assert len(key) > 40
    assert kept_key(file) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_servers_that_start_together_create_one_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_slowly(_size: int) -> str:
        time.sleep(0.1)
        return str(next(count))

    count = itertools.count()
    monkeypatch.setattr("backend.lan.secrets.token_urlsafe", create_slowly)
    with ThreadPoolExecutor() as pool:
        keys = set(pool.map(kept_key, [tmp_path / "new" / "lan.key"] * 4))
    assert keys == {"dtts_0"}


def test_unwritable_key_file_raises_config_error(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(
        ConfigError, match=r"cannot keep the API key in .* make the folder writable"
    ):
        kept_key(tmp_path / "folder" / "lan.key")


def test_listens_on_all_addresses_and_requires_the_key() -> None:
    own = {"access": {"api_keys": "mine"}}
    for settings in (Settings(), Settings.model_validate(own)):
        opened = open_to_network(settings, "dtts_key")
        assert opened.server.host == "0.0.0.0"
        access = Access(opened.access)
        check_exposure(opened, access)
        assert access.authorize("dtts_key")
    assert Access(opened.access).authorize("mine")


def test_configured_address_is_kept() -> None:
    settings = Settings.model_validate({"server": {"host": "192.168.7.1"}})
    assert open_to_network(settings, "k").server.host == "192.168.7.1"


def test_addresses_exclude_loopback() -> None:
    assert not [each for each in addresses() if each.startswith("127.") or each == "0.0.0.0"]


@pytest.mark.parametrize("name", ["a" * 64, "host..local", "\udcff"])
def test_a_name_of_the_machine_that_dns_forbids_is_no_error(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = addresses()
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert set(addresses()) <= set(known)


def test_invitation_has_links_qr_code_and_https_note(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    segno = pytest.importorskip("segno")
    monkeypatch.setattr(lan, "addresses", lambda _family: ["192.168.7.5", "10.0.0.3"])
    text = invitation("0.0.0.0", 8000, "dtts_key", file=tmp_path / "lan.key")
    assert "http://192.168.7.5:8000/#key=dtts_key\n" in text
    assert "http://10.0.0.3:8000/#key=dtts_key\n" in text
    assert "https adds the microphone" in text
    assert str(tmp_path / "lan.key") in text
    code = segno.make("http://192.168.7.5:8000/#key=dtts_key", error="l")
    half_blocks = [line for line in text.splitlines() if set(line) & set("\u2580\u2584\u2588")]
    assert len(half_blocks) >= code.symbol_size(scale=1, border=0)[1] // 2


def test_invitation_reports_a_missing_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("segno")
    monkeypatch.setattr(lan, "addresses", lambda _family: [])
    text = invitation("0.0.0.0", 8000, "dtts_key")
    assert "no address" in text
    assert "http://127.0.0.1:8000/#key=dtts_key" in text


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("192.168.7.1", "http://192.168.7.1:8000"),
        ("fd00::7", "http://[fd00::7]:8000"),
    ],
)
def test_trial_command_has_the_address_and_the_key(host: str, here: str) -> None:
    pytest.importorskip("segno")
    text = invitation(host, 8000, "dtts_key")
    assert f'duplex-tts say "Hello there" --url {here} --key dtts_key\n' in text
    assert "0.0.0.0" not in text
    assert "[::]" not in text


def test_a_public_address_replaces_those_of_the_machine(tmp_path: Path) -> None:
    pytest.importorskip("segno")
    text = invitation("0.0.0.0", 8000, "dtts_key", "https://tts.example.org/", tmp_path / "key")
    assert text.count("#key=") == 1
    assert "    https://tts.example.org/#key=dtts_key\n" in text
    assert "--url https://tts.example.org --key dtts_key\n" in text
    assert "\u2580" in text


def test_an_address_of_this_machine_alone_has_no_code_to_scan(tmp_path: Path) -> None:
    text = invitation("0.0.0.0", 8000, "dtts_key", "http://localhost:8000", tmp_path / "key")
    assert "    http://localhost:8000/#key=dtts_key\n" in text
    assert str(tmp_path / "key") in text
    assert not {"\u2580", "\u2584", "\u2588"} & set(text)


def test_configured_address_is_the_only_link() -> None:
    pytest.importorskip("segno")
    text = invitation("192.168.7.1", 8000, "dtts_key")
    assert text.count("#key=") == 1


def test_addresses_match_the_listening_family(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["fe80::1%eth0", "fe80::2", "::1", "2001:db8:7::5"]

    def known(*_: object) -> list[tuple[object, ...]]:
        return [(None, None, None, "", (each, 0, 0, 0)) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", known)
    monkeypatch.setattr(lan, "_ELSEWHERE", {socket.AF_INET6: ()})
    assert addresses(socket.AF_INET6) == ["2001:db8:7::5"]


# --- what a server prints once it is ready --------------------------------------------------------


def test_the_address_and_a_command_to_try_are_printed() -> None:
    printed = compose_announcement(Settings(), ("::1", 8000), "speaks with fake", "")
    assert printed.splitlines() == [
        "duplex-tts ready on http://[::1]:8000",
        "  speaks with fake; text and audio at ws://[::1]:8000/ws/tts",
        '  try: duplex-tts say "Hello there" --url http://[::1]:8000',
    ]


def test_the_command_to_try_has_the_public_address() -> None:
    settings = Settings.model_validate({"server": {"public_url": "https://tts.example"}})
    printed = compose_announcement(settings, ("127.0.0.1", 8000), "2 replicas", "")
    assert printed.endswith("--url https://tts.example")


def test_with_a_key_the_invitation_follows() -> None:
    printed = compose_announcement(Settings(), ("127.0.0.1", 8000), "2 replicas", "dtts_key")
    assert printed.startswith("duplex-tts ready on http://127.0.0.1:8000\n  2 replicas; ")
    assert "--key dtts_key" in printed
    assert printed.count("try: duplex-tts say") == 1
