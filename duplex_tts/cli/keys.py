"""API keys for a server: made here, shown once, kept as a hash.

The file is read by the server when it starts (`access.api_keys_file`): a line for each key, `name
sha256-of-the-key`, with ` admin` behind it for a key that may also see and end the sessions of
others. Whoever reads the file learns no key: 256 random bits cannot be found by trying. Remove a
line, and start the server again, to take a key back.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

from duplex_tts.errors import ClientError

DEFAULT_FILE = Path("duplex-tts.keys")
PREFIX = "dtts_"  # so that a key that lies about can be told from other random words
_NAME = re.compile(r"[^\s#][^\r\n]{0,63}")
_OWNER_ONLY = 0o600


class KeyFailed(ClientError):
    """The key could not be kept."""


def new_key(name: str, file: Path = DEFAULT_FILE, *, admin: bool = False) -> str:
    """Make a key for `name` and keep its hash in `file`. Returns the key, which is kept nowhere.

    A new file can be read by its owner only. Blocks. Raises `KeyFailed`.
    """
    name = " ".join(name.split())
    if not _NAME.fullmatch(name):
        raise KeyFailed("a key's name has 1 to 64 characters and does not begin with #")
    key = PREFIX + secrets.token_urlsafe(32)
    line = f"{name} {hashlib.sha256(key.encode()).hexdigest()}{' admin' * admin}\n"
    if file.exists() and not file.is_file():  # what /dev/zero holds has no end
        raise KeyFailed(f"cannot keep the key in {file}: it is no file")
    try:
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, _OWNER_ONLY), "rb+") as opened:
            kept = opened.read().decode("utf-8-sig")
            if name in map(_owner, kept.splitlines()):
                raise KeyFailed(
                    f"{name} has a key in {file}; take another name, or remove that line first"
                )
            opened.write((line if kept.endswith("\n") or not kept else f"\n{line}").encode())
    except OSError as error:
        raise KeyFailed(f"cannot keep the key in {file}: {error.strerror}") from error
    except UnicodeError as error:
        raise KeyFailed(f"cannot keep the key in {file}: it is no text in UTF-8") from error
    return key


def _owner(line: str) -> str:
    return re.sub(r"\s+[0-9a-fA-F]{64}(\s+admin)?\s*$", "", line).strip()
