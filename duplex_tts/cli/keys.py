"""Creates API keys for a server: shown once, stored as a hash.

The server reads the file when it starts (`access.api_keys_file`): one line per key, `name
sha256-of-the-key`, followed by ` admin` for a key that may also list and end sessions of others.
The file reveals no key, because 256 random bits cannot be guessed. To revoke a key, remove its line
and restart the server.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

from duplex_tts.errors import ClientError

DEFAULT_FILE = Path("duplex-tts.keys")
PREFIX = "dtts_"  # makes a leaked key recognizable
_NAME = re.compile(r"[^\s#][^\r\n]{0,63}")
_OWNER_ONLY = 0o600


class KeyFailed(ClientError):
    """The key could not be stored."""


def create_key(name: str, file: Path = DEFAULT_FILE, *, admin: bool = False) -> str:
    """Create a key for `name` and append its hash to `file`. Returns the key, which is not stored.

    A new file is readable by its owner only. Blocks. Raises `KeyFailed`.
    """
    name = " ".join(name.split())
    if not _NAME.fullmatch(name):
        raise KeyFailed("a key's name has 1 to 64 characters and does not begin with #")
    key = PREFIX + secrets.token_urlsafe(32)
    line = f"{name} {hashlib.sha256(key.encode()).hexdigest()}{' admin' * admin}\n"
    if file.exists() and not file.is_file():  # reading /dev/zero would never end
        raise KeyFailed(f"cannot store the key in {file}: it is not a file")
    try:
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, _OWNER_ONLY), "rb+") as opened:
            kept = opened.read().decode("utf-8-sig")
            if name in map(_key_name, kept.splitlines()):
                raise KeyFailed(
                    f"{name} has a key in {file}; use another name, or remove that line first"
                )
            opened.write((line if kept.endswith("\n") or not kept else f"\n{line}").encode())
    except OSError as error:
        raise KeyFailed(f"cannot store the key in {file}: {error.strerror}") from error
    except UnicodeError as error:
        raise KeyFailed(f"cannot store the key in {file}: it is not UTF-8 text") from error
    return key


def _key_name(line: str) -> str:
    return re.sub(r"\s+[0-9a-fA-F]{64}(\s+admin)?\s*$", "", line).strip()
