"""The service on this machine: its unit files, and systemctl."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from duplex_tts.cli.service.systemd_unit import MARK, NAME
from duplex_tts.errors import ClientError

SERVICE, SOCKET = f"{NAME}.service", f"{NAME}.socket"
_RUNNING = Path("/run/systemd/system")  # see sd_booted(3)
_SYSTEM_FOLDER = Path("/etc")


class ServiceFailed(ClientError):
    """The service cannot be installed or controlled."""

    code = "service_failed"


class NoSystemd(ServiceFailed):
    """No systemd runs on this machine."""

    code = "no_systemd"


def is_root() -> bool:
    """Whether this process may install a service of the machine."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


@dataclass(frozen=True, slots=True)
class SystemdService:
    """The service of the machine (`system`), or that of the user. All methods block."""

    system: bool

    @property
    def config_folder(self) -> Path:
        """The folder of the service's settings: %E/duplex-tts."""
        return self._config_root / NAME

    @property
    def unit_folder(self) -> Path:
        """The folder of the unit files."""
        return self._config_root / "systemd" / ("system" if self.system else "user")

    @property
    def units(self) -> list[str]:
        """The units that are installed, the one that is started first first."""
        folder = self.unit_folder  # which may be unreadable: no error of `Path.exists`
        return [name for name in (SOCKET, SERVICE) if os.path.exists(folder / name)]

    def check_possible(self) -> None:
        """Raises `NoSystemd`, or `ServiceFailed` if this user may not install the service."""
        if shutil.which("systemctl") is None or not _RUNNING.is_dir():
            raise NoSystemd(
                "no systemd runs on this machine: have its own supervisor run "
                "`duplex-tts serve` (docs/service.md), or --print the units"
            )
        if self.system and not is_root():
            raise ServiceFailed("a service of the machine needs root: sudo, or --user for your own")
        if not self.system and self._run("show-environment").returncode:
            raise ServiceFailed(
                "your user has no systemd here: log in as yourself, not by su or sudo; or install "
                "a service of the machine: sudo ... --system"
            )

    def install(self, units: Mapping[str, str]) -> None:
        """Write the units in place of earlier ones, start them, and have them started at boot.

        Returns when the server is ready. Raises `ServiceFailed`.
        """
        self.check_possible()
        for name in (SERVICE, SOCKET):
            self._check_ours(name)
        if SOCKET not in units and (self.unit_folder / SOCKET).exists():
            self._systemctl("disable", "--now", SOCKET)
            self._delete(SOCKET)
        try:
            for folder in (self.unit_folder, self.config_folder):
                folder.mkdir(parents=True, exist_ok=True)
            for name, text in units.items():
                (self.unit_folder / name).write_text(text, "utf-8")
        except OSError as error:
            raise ServiceFailed(f"cannot write {self.unit_folder}: {error.strerror}") from error
        self._systemctl("daemon-reload")
        self._systemctl("enable", *units)
        if SOCKET in units:
            self._systemctl("stop", SERVICE)  # else systemd could not listen
            self._systemctl("restart", SOCKET)
        if self._run("restart", SERVICE).returncode:
            raise ServiceFailed(f"it is installed but does not start; its log:\n{self._log_tail()}")

    def remove(self) -> None:
        """Stop the service and remove its units. Raises `ServiceFailed`."""
        units = self.units
        for name in units:
            self._check_ours(name)
        self.check_possible()
        self._systemctl("disable", "--now", *units)
        for name in units:
            self._delete(name)
        self._systemctl("daemon-reload")

    def state(self) -> str:
        """What the server says about itself."""
        return self._systemctl("show", "--property=StatusText", "--value", SERVICE).strip()

    def exec_program(self, program: str, *arguments: str) -> NoReturn:
        """Replace this process by a program of systemd. Raises `NoSystemd`."""
        scope = [] if self.system else ["--user"]
        try:
            os.execvp(program, [program, *scope, *arguments])
        except FileNotFoundError:
            raise NoSystemd(f"this machine has no {program}, which is part of systemd") from None

    @property
    def _config_root(self) -> Path:
        """What systemd calls %E."""
        home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return _SYSTEM_FOLDER if self.system else Path(home)

    def _check_ours(self, name: str) -> None:
        """Raises `ServiceFailed` for a unit that something else wrote."""
        file = self.unit_folder / name
        try:
            text = file.read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise ServiceFailed(f"cannot read {file}: {error.strerror}") from error
        if not text.startswith(MARK):
            raise ServiceFailed(f"{file} is not of `duplex-tts service install`: remove it first")

    def _delete(self, name: str) -> None:
        file = self.unit_folder / name
        try:
            file.unlink()
        except OSError as error:
            raise ServiceFailed(f"cannot delete {file}: {error.strerror}") from error

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["systemctl", *([] if self.system else ["--user"]), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _systemctl(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode:
            raise ServiceFailed(f"systemctl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _log_tail(self) -> str:
        scope = [] if self.system else ["--user"]
        command = ["journalctl", *scope, "--no-pager", "--output=cat", "-n5", f"--unit={SERVICE}"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.rstrip()
