"""Addresses that users type, and the URLs made of them."""

import pytest

from duplex_tts.channel.address import http_url, websocket_url
from duplex_tts.errors import BadAddress, ClientError
from duplex_tts.session import Session


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("127.0.0.1:8000", "ws://127.0.0.1:8000/ws/tts"),
        ("localhost", "ws://localhost/ws/tts"),
        ("http://host:1/", "ws://host:1/ws/tts"),
        ("https://host", "wss://host/ws/tts"),
        ("ws://host:1/other", "ws://host:1/other/ws/tts"),
        (" Host:1\n", "ws://host:1/ws/tts"),
        ("http://b\u00fccher.example", "ws://xn--bcher-kva.example/ws/tts"),
        ("wss://[::1]:9", "wss://[::1]:9/ws/tts"),
    ],
)
def test_typed_addresses_become_websocket_urls(typed: str, meant: str) -> None:
    assert websocket_url(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "ftp://host",
        "file:///etc/passwd",
        "ws://",
        "http://:8000",
        "http:/host",
        "host:",
        "host:0",
        "host:65536",
        "host:-1",
        "host:80a",
        "host:\u0661",
        "::1",
        "ws://[::1",
        "ws://[::1]]:80",
        "ws://[zz]:80",
        "ws://[1.2.3.4]",
        "my host",
        "http://ho\nst",
        "http://host/a b",
        "http://a..b",
        "http://\u2100.com",
        "http://" + "a" * 64 + ".com",
        "http://ho%20st",
        "http://h\N{GRINNING FACE} st",
        "http://user@",
        "\udcff",
    ],
)
async def test_invalid_addresses_raise_bad_address(typed: str) -> None:
    for function in (websocket_url, lambda address: http_url(address, "/")):
        with pytest.raises(BadAddress, match="address") as raised:
            function(typed)
        assert raised.value.code == "bad_address"
    with pytest.raises(ClientError):
        await Session.connect(typed)


@pytest.mark.parametrize(
    ("typed", "websocket", "voices"),
    [
        ("http://h/foo", "ws://h/foo/ws/tts", "http://h/foo/v1/voices"),
        ("https://h/foo/", "wss://h/foo/ws/tts", "https://h/foo/v1/voices"),
        ("wss://h:1/a/b/ws/tts", "wss://h:1/a/b/ws/tts", "https://h:1/a/b/v1/voices"),
        ("http://h/foo/ws/tts/", "ws://h/foo/ws/tts", "http://h/foo/v1/voices"),
        ("h/foo?k=1", "ws://h/foo/ws/tts?k=1", "http://h/foo/v1/voices?k=1"),
    ],
)
def test_all_urls_keep_the_path_of_a_proxy(typed: str, websocket: str, voices: str) -> None:
    assert websocket_url(typed) == websocket
    assert http_url(typed, "/v1/voices") == voices
    assert http_url(websocket_url(typed), "/v1/voices") == voices


def test_http_urls_have_the_host_of_the_websocket() -> None:
    assert http_url("wss://host:1/ws/tts", "/voices") == "https://host:1/voices"
    assert http_url("host:1", "/voices") == "http://host:1/voices"
