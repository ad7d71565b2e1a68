"""Installs the output module for Speech Dispatcher: for one user, or for all users of a machine.

Three files: a program in the folder of modules, its configuration, and a block in `speechd.conf`
that makes it the default. Paths as in Speech Dispatcher 0.11 and 0.12 (`detect_output_modules`).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_config_path, user_data_path

from duplex_tts.errors import ClientError
from duplex_tts.speechd.fallback_module import FOLDERS

NAME = "duplex-tts"
PROGRAM = f"sd_{NAME}"
SYSTEM_CONFIG = Path("/etc/speech-dispatcher")
_OLDEST = (0, 11)
_BEGIN, _END = f"# --- {NAME}: begin ---", f"# --- {NAME}: end ---"
_BLOCK = re.compile(rf"{_BEGIN}\n.*?{_END}\n?", re.DOTALL)
_ADD_MODULE = re.compile(r"^\s*AddModule\b", re.MULTILINE | re.IGNORECASE)
_DEFAULT_MODULE = re.compile(r"^\s*DefaultModule\s+\"?([^\"\s]+)", re.MULTILINE | re.IGNORECASE)
_KEY = re.compile(r"^\s*Key\s+\"?[^\"\s]", re.MULTILINE)
_AS_IT_IS = "surrogateescape"  # comments of a configuration may have another encoding
_TEMPLATE = f"""\
# The module {NAME} of Speech Dispatcher (docs/screen-readers.md). Restart speech-dispatcher after
# changes. Without a line the default in it holds.

# Server "127.0.0.1:8000"     # the address of the server
# Key ""                      # its API key, if it requires one
# Voice "heart"               # `duplex-tts voices` lists them; default: the server's
# StartServer "yes"           # start a server if none answers at this address
# Fallback "/usr/lib/speech-dispatcher-modules/sd_espeak-ng"   # speaks meanwhile; "": nothing does
"""


class CannotInstall(ClientError):
    """The module cannot be installed; the message says what to do."""

    code = "cannot_install"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of a user or of the system are."""

    modules: Path
    config: Path

    @property
    def program(self) -> Path:
        """What the daemon runs."""
        return self.modules / PROGRAM

    @property
    def module_config(self) -> Path:
        """The configuration of the module."""
        return self.config / "modules" / f"{NAME}.conf"

    @property
    def daemon_config(self) -> Path:
        """The configuration of the daemon."""
        return self.config / "speechd.conf"

    @property
    def effective_daemon_config(self) -> Path:
        """The one that the daemon reads: the user's, else the system's."""
        own = self.daemon_config
        return own if own.exists() else SYSTEM_CONFIG / "speechd.conf"


def user_place() -> Place:
    """The place of this user."""
    # As the daemon builds it; without the data folder it does not find what is beside it.
    modules = user_data_path() / ".." / "libexec" / "speech-dispatcher-modules"
    return Place(modules, user_config_path("speech-dispatcher"))


def system_place() -> Place:
    """The place of all users. Raises `CannotInstall` if the daemon's folder is not found."""
    candidates = [*map(Path, FOLDERS), *Path("/usr/lib").glob("*/speech-dispatcher-modules")]
    modules = next((folder for folder in candidates if list(folder.glob("sd_*"))), None)
    if modules is None:
        raise CannotInstall(
            f"no folder of modules at {', '.join(FOLDERS)}; install it without --system"
        )
    return Place(modules, SYSTEM_CONFIG)


def check_daemon() -> str:
    """Return the version of the daemon. Raises `CannotInstall` if it is missing or too old."""
    path = shutil.which("speech-dispatcher")
    if path is None:
        raise CannotInstall(
            "speech-dispatcher is not installed "
            "(Debian, Ubuntu: sudo apt install speech-dispatcher)"
        )
    output = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"(\d+)\.(\d+)[.\d]*", output)
    if version is None or (int(version[1]), int(version[2])) < _OLDEST:
        found = version.group() if version else "unknown"
        raise CannotInstall(f"speech-dispatcher 0.11 or newer is needed, this is {found}")
    return version.group()


def install(place: Place, settings: dict[str, str], *, default: bool) -> list[Path]:
    """Write the files; returns them. `settings`: lines of the module's configuration.

    Other lines of an existing configuration are kept. Raises `CannotInstall`.
    """
    try:
        _write_program(place.program)
        written = [place.program]
        if settings or not place.module_config.exists():
            _write_module_config(place.module_config, settings)
            # The daemon runs as the user who hears it: a key for all is readable by all.
            private = _KEY.search(_read(place.module_config)) and place.config != SYSTEM_CONFIG
            place.module_config.chmod(0o600 if private else 0o644)
            written.append(place.module_config)
        if default:
            _add_block(place)
            written.append(place.daemon_config)
    except OSError as error:
        raise CannotInstall(f"{error}; all users' files need root: sudo") from error
    return written


def uninstall(place: Place) -> list[Path]:
    """Remove what `install` wrote; returns the files changed. Raises `CannotInstall`."""
    changed = []
    try:
        for path in (place.program, place.module_config):
            if path.exists():
                path.unlink()
                changed.append(path)
        if place.daemon_config.exists() and _remove_block(place.daemon_config):
            changed.append(place.daemon_config)
    except OSError as error:
        raise CannotInstall(f"{error}; all users' files need root: sudo") from error
    return changed


def is_default(place: Place) -> bool:
    """Whether the daemon's configuration makes the module the default."""
    with suppress(OSError):
        names = _DEFAULT_MODULE.findall(place.effective_daemon_config.read_text(errors="replace"))
        return bool(names) and names[-1] == NAME
    return False


def _write_program(path: Path) -> None:
    if ".." in path.parts:
        user_data_path().mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    # -P: do not import a `duplex_tts` folder of the current directory.
    command = f"{shlex.quote(sys.executable)} -P -m duplex_tts.speechd"
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


def _write_module_config(path: Path, settings: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, value in settings.items():
        if '"' in value or not value.isprintable():
            raise CannotInstall(f'{name}: a quotation mark or control character in "{value}"')
    text = _read(path) if path.exists() else f"{_TEMPLATE}\n"
    for name in settings:
        text = re.sub(rf"^[ \t]*{name}[ \t].*\n?", "", text, flags=re.MULTILINE)
    separator = "" if text.endswith("\n") else "\n"
    lines = "".join(f'{name} "{value}"\n' for name, value in settings.items())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors=_AS_IT_IS) as file:
        file.write(text + separator + lines)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors=_AS_IT_IS)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors=_AS_IT_IS)


def _add_block(place: Place) -> None:
    effective = place.effective_daemon_config
    text = _read(effective) if effective.exists() else ""
    lines = [f"DefaultModule {NAME}"]
    if _ADD_MODULE.search(_BLOCK.sub("", text)):  # then the daemon looks for no other modules
        lines.insert(0, f'AddModule "{NAME}" "{PROGRAM}" "{NAME}.conf"')
    block = "\n".join([_BEGIN, *lines, _END]) + "\n"
    if effective != place.daemon_config:  # a user's file replaces the system's
        text = f'Include "{effective}"\n' if effective.exists() else ""
    text = _BLOCK.sub("", text)
    separator = "" if not text or text.endswith("\n") else "\n"
    place.config.mkdir(parents=True, exist_ok=True)
    _write(place.daemon_config, text + separator + block)


def _remove_block(path: Path) -> bool:
    """Remove the block, and the file if nothing of the user's is left; returns whether it was."""
    text = _read(path)
    rest = _BLOCK.sub("", text)
    if rest == text:
        return False
    if rest in ("", f'Include "{SYSTEM_CONFIG / "speechd.conf"}"\n'):
        path.unlink()
    else:
        _write(path, rest)
    return True
