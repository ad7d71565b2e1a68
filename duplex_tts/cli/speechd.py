"""The `speechd` commands: install the module for Speech Dispatcher, remove it, and look at it."""

from __future__ import annotations

from typing import Annotated

import typer

from duplex_tts.channel.address import DEFAULT_URL
from duplex_tts.cli.shared_options import Key, Url, check_url, is_ready, reporting_errors
from duplex_tts.speechd.fallback_module import find_fallback
from duplex_tts.speechd.installation import (
    CannotInstall,
    Place,
    check_daemon,
    is_default,
    system_place,
    user_place,
)
from duplex_tts.speechd.installation import install as install_module
from duplex_tts.speechd.installation import uninstall as uninstall_module
from duplex_tts.speechd.module_config import ModuleConfig, read_config
from duplex_tts.speechd.server_start import started_server, stop_started_server

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

System = Annotated[
    bool, typer.Option("--system", help="For all users of this machine (needs root).")
]
_RESTART = (
    "Restart it: `killall speech-dispatcher`, and `orca --replace &` if Orca runs. Then try: "
    "spd-say hello"
)


@app.callback()
def speechd() -> None:
    """Let Orca and other screen readers speak with this server, through Speech Dispatcher.

    ```
    duplex-tts speechd install
    spd-say hello
    ```
    """


@app.command()
def install(
    system: System = False,
    default: Annotated[
        bool, typer.Option(help="Make it the module that speaks unless a program asks for another.")
    ] = True,
    voice: Annotated[str | None, typer.Option(help="Name of a voice.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Install the module, and make it the default.

    Where no server answers, the module starts one on this machine, and espeak-ng speaks meanwhile.
    """
    given = {"Server": url, "Key": key, "Voice": voice}
    settings = {name: value for name, value in given.items() if value}
    with reporting_errors():
        if url:
            check_url(url)
        version = check_daemon()
        place = _place(system)
        for path in install_module(place, settings, default=default):
            print(f"wrote {path}")
        read_config(place.module_config)  # a mistake in an existing one is told now
    print(f"Installed for speech-dispatcher {version}. {_RESTART}")


@app.command()
def uninstall(system: System = False) -> None:
    """Remove the module; espeak-ng, or what was set before, speaks again."""
    with reporting_errors():
        changed = uninstall_module(_place(system))
        pid = stop_started_server()
    for path in changed:
        print(f"{'changed' if path.exists() else 'removed'} {path}")
    if pid is not None:
        print(f"stopped the server that the module had started (process {pid})")
    print(_RESTART if changed else "It was not installed.")


@app.command()
def status() -> None:
    """Say whether the module is installed, and what is missing for it to speak."""
    with reporting_errors():
        try:
            daemon = f"speech-dispatcher {check_daemon()}"
        except CannotInstall as error:
            daemon = str(error)
        print(f"daemon:    {daemon}")
        place = _installed_place()
        print(f"module:    {place.program if place else 'missing: duplex-tts speechd install'}")
        config = read_config(place.module_config) if place else ModuleConfig()
        if place:
            default = is_default(user_place()) or is_default(place)
            print(f"default:   {'yes' if default else 'no: duplex-tts speechd install'}")
        answers = is_ready(config.url or DEFAULT_URL)
        pid = started_server()
        started = f", started by the module (process {pid})" if pid else ""
        absent = "no answer; the module starts one" if config.start_server else "no answer"
        print(f"server:    {config.url}: {'ready' + started if answers else absent}")
        fallback = config.fallback if config.fallback is not None else find_fallback()
        print(f"fallback:  {fallback or 'none: apt install speech-dispatcher-espeak-ng'}")
    if place is None:
        raise typer.Exit(1)


def _place(system: bool) -> Place:
    return system_place() if system else user_place()


def _installed_place() -> Place | None:
    """The place where the module is installed, the user's first."""
    if user_place().program.exists():
        return user_place()
    try:
        place = system_place()
    except CannotInstall:
        return None
    return place if place.program.exists() else None
