"""The `service` commands: run the server as a service of systemd."""

from __future__ import annotations

import ipaddress
import json
import os
import socket as sockets
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from duplex_tts.cli.service.systemd_service import (
    SERVICE,
    SOCKET,
    ServiceFailed,
    SystemdService,
    is_root,
)
from duplex_tts.cli.service.systemd_unit import ServiceOptions, service_unit, socket_unit
from duplex_tts.cli.shared_options import reporting_errors, stderr

_PROGRAM = (sys.executable, "-P", "-m", "duplex_tts")  # -P: not that of the current folder
_PACKAGES = Path(__file__).resolve().parents[3]
_GPU = Path("/dev/nvidiactl")
_LAN = "--lan"

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

System = Annotated[
    bool | None,
    typer.Option(
        "--system/--user",
        help="A service of the machine (needs root), or of your own user. Default: of the machine "
        "for root, else of the user.",
    ),
]


@app.callback()
def service() -> None:
    """Run the server as a systemd service: started at boot, restarted, confined, logged.

    ```
    duplex-tts service install                   # of your own user; as root: of the machine
    duplex-tts service install -- --port 9000    # with options of `duplex-tts serve`
    duplex-tts service status
    duplex-tts service logs --follow
    duplex-tts service uninstall
    ```
    """


@app.command()
def install(
    flags: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS]", help="Options of `duplex-tts serve`: --port 9000."),
    ] = None,
    system: System = None,
    socket: Annotated[
        bool,
        typer.Option(
            "--socket",
            help="Have systemd listen: clients that connect while the server starts wait for it.",
        ),
    ] = False,
    show: Annotated[
        bool, typer.Option("--print", help="Print the unit files; install nothing.")
    ] = False,
) -> None:
    """Install and start the service, or replace it by one with other options."""
    with reporting_errors():
        installed = SystemdService(is_root() if system is None else system)
        units = _create_units(flags or [], installed, with_socket=socket)
        if show:
            print("\n".join(units.values()), end="")
            return
        stderr.print("[dim]Starting the service ...[/]")
        installed.install(units)
        stderr.print(installed.state(), markup=False, soft_wrap=True)
    _print_hints(installed)


@app.command()
def uninstall(system: System = None) -> None:
    """Stop the service and remove it. Settings and voices stay."""
    with reporting_errors():
        installed = _find_service(system)
        installed.remove()
    stderr.print(f"Removed. Its settings are still in {installed.config_folder}.", soft_wrap=True)


@app.command()
def status(system: System = None) -> None:
    """Show whether the service runs, where it listens, and its last log lines."""
    _exec_systemctl(system, "status", "--no-pager")


@app.command()
def start(system: System = None) -> None:
    """Start the service."""
    _exec_systemctl(system, "start")


@app.command()
def stop(system: System = None) -> None:
    """Stop the service, until the next boot or `start`."""
    _exec_systemctl(system, "stop")


@app.command()
def restart(system: System = None) -> None:
    """Restart the service, with changed settings or other voices."""
    with reporting_errors():  # a socket stays open meanwhile
        _find_service(system).exec_program("systemctl", "restart", SERVICE)


@app.command()
def logs(
    system: System = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines to show.")] = 50,
    priority: Annotated[
        str | None,
        typer.Option("--priority", "-p", help="Only this and what is graver: err, warning, info."),
    ] = None,
) -> None:
    """Show the service's log, from the journal."""
    options = ["--quiet", "--no-pager", f"--lines={lines}", *(["--follow"] if follow else [])]
    options += [f"--priority={priority}"] if priority else []
    with reporting_errors():
        found = _find_service(system)
        unit = "--unit" if found.system else "--user-unit"
        SystemdService(system=True).exec_program("journalctl", *options, f"{unit}={SERVICE}")


def _find_service(system: bool | None) -> SystemdService:
    """The service that the option names, else the one that is installed. Raises `ServiceFailed`."""
    kinds = [is_root(), not is_root()] if system is None else [system]
    found = [each for each in map(SystemdService, kinds) if SERVICE in each.units]
    if not found:
        raise ServiceFailed("no such service is installed; `duplex-tts service install` does it")
    return found[0]


def _exec_systemctl(system: bool | None, verb: str, *options: str) -> None:
    with reporting_errors():
        found = _find_service(system)
        found.exec_program("systemctl", verb, *options, *found.units)


def _print_hints(installed: SystemdService) -> None:
    scope = "" if installed.system else " --user"
    stderr.print(
        f"  settings: {installed.config_folder / 'duplex-tts.toml'}, then "
        "`duplex-tts service restart`\n"
        f"  log: `duplex-tts service logs --follow`, state: `systemctl{scope} status duplex-tts`",
        markup=False,
        soft_wrap=True,
    )
    if not installed.system:
        stderr.print(
            "  it runs while you are logged in; also without: `loginctl enable-linger`",
            markup=False,
            soft_wrap=True,
        )


# --- what the units are made of -------------------------------------------------------------------


def _create_units(
    flags: list[str], installed: SystemdService, *, with_socket: bool
) -> dict[str, str]:
    """The text of each unit. Raises `ServiceFailed` for flags that the server would refuse."""
    settings = _read_settings(flags, installed)
    options = ServiceOptions(
        command=(*_PROGRAM, "serve", *flags),
        needed=[Path(sys.prefix), Path(sys.base_prefix), _PACKAGES],
        gpu=_GPU.exists() and settings["engine.name"] not in ("hibari", "piper"),
        system=installed.system,
    )
    units = {SERVICE: service_unit(options)}
    if with_socket:
        units[SOCKET] = socket_unit(_find_addresses(settings, lan=_LAN in flags))
    return units


def _read_settings(flags: list[str], installed: SystemdService) -> dict[str, Any]:
    """The settings that a service with these flags has, by key. Raises `ServiceFailed`."""
    folder = installed.config_folder
    environ = {key: each for key, each in os.environ.items() if not key.startswith("DUPLEX_TTS_")}
    answer = subprocess.run(
        [*_PROGRAM, "config", "--json", *(flag for flag in flags if flag != _LAN)],
        cwd=folder if os.path.isdir(folder) else "/",  # not `is_dir`: it may be unreadable
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or ["the options are not understood"]
        raise ServiceFailed(lines[-1].removeprefix("duplex-tts: "))
    try:
        return {key: each["value"] for key, each in json.loads(answer.stdout).items()}
    except ValueError:  # it printed something else, as for --help
        raise ServiceFailed(f"a service cannot have these options: {' '.join(flags)}") from None


def _find_addresses(settings: dict[str, Any], *, lan: bool) -> list[tuple[str, int]]:
    """Where the server listens, for a socket unit. Raises `ServiceFailed`."""
    if settings["cluster.replicas"]:
        raise ServiceFailed("--socket is not possible with --replicas: leave one of them out")
    if not settings["server.port"]:
        raise ServiceFailed("--socket needs a port: give one with --port")
    http = _resolve(settings["server.host"])
    if lan and ipaddress.ip_address(http).is_loopback:
        http = "0.0.0.0"
    found = [(http, settings["server.port"])]
    if settings["wyoming.port"]:
        found.append((_resolve(settings["wyoming.host"]), settings["wyoming.port"]))
    return found


def _resolve(host: str) -> str:
    """The address of a host, in numbers. Raises `ServiceFailed`."""
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    try:
        return str(sockets.getaddrinfo(host or "0.0.0.0", None, family)[0][4][0])
    except OSError as error:
        raise ServiceFailed(f"{host} is not an address: {error.strerror}") from error
