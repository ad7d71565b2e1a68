"""The systemd units of the server, as text: what they run and what it may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NAME = "duplex-tts"
MARK = "# Written by `duplex-tts service install`. Change it by `systemctl edit duplex-tts`."

# Where a system service sees nothing, except the program itself.
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))

_SERVICE = """\
{mark}
[Unit]
Description=Duplex TTS, speech while the text is still being written
{after}StartLimitIntervalSec=5min
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
WorkingDirectory={folder}
EnvironmentFile=-{folder}/environment
# The server ends its own processes, of which several replicas have many.
KillMode=mixed
Restart=on-failure
RestartSec=2
# A large model takes minutes to load.
TimeoutStartSec=10min
WatchdogSec=60
LimitNOFILE=65536:524288
{details}
[Install]
WantedBy={target}
"""

_SOCKET = """\
{mark}
[Unit]
Description=Addresses of Duplex TTS: clients may connect while it starts

[Socket]
{addresses}
BindIPv6Only=ipv6-only
Backlog=2048

[Install]
WantedBy=sockets.target
"""

# What a service of any user may ask for.
_RESTRICTED = """
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
UMask=0077
"""

_AFTER_NETWORK = "After=network-online.target\nWants=network-online.target\n"

_SYSTEM = """
DynamicUser=yes
ConfigurationDirectory=duplex-tts
# All of its own, so that it may write beside the voices that root downloads.
StateDirectory=duplex-tts duplex-tts/models duplex-tts/models/piper duplex-tts/models/lexicons
CacheDirectory=duplex-tts
Environment=HOME=%S/duplex-tts XDG_DATA_HOME=%S XDG_CACHE_HOME=%C/duplex-tts

CapabilityBoundingSet=
KeyringMode=private
PrivateTmp=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=tmpfs
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
"""

# A GPU's driver compiles code for the card as it runs.
_WITHOUT_GPU = "MemoryDenyWriteExecute=yes\n"
_SYSTEM_WITHOUT_GPU = "PrivateDevices=yes\n"
_SYSTEM_WITH_GPU = "DevicePolicy=closed\nDeviceAllow=char-nvidia* rw\n"


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What the units are made of.

    `command`: the server and its flags. `needed`: folders that it reads, from which the program
    is run. `gpu`: whether it may use one. `system`: a service of the machine, else of its user.
    """

    command: Sequence[str]
    needed: Sequence[Path]
    gpu: bool
    system: bool


def service_unit(options: ServiceOptions) -> str:
    """The text of `duplex-tts.service`."""
    details = _RESTRICTED
    if not options.gpu:
        details += _WITHOUT_GPU
    if options.system:
        details += _SYSTEM + (_SYSTEM_WITH_GPU if options.gpu else _SYSTEM_WITHOUT_GPU)
        details += "".join(f"BindReadOnlyPaths={_quote(path)}\n" for path in _hidden(options))
    return _SERVICE.format(
        mark=MARK,
        after=_AFTER_NETWORK if options.system else "",
        command=_command_line(*options.command),
        folder=f"%E/{NAME}",
        details=details,
        target="multi-user.target" if options.system else "default.target",
    )


def socket_unit(addresses: Sequence[tuple[str, int]]) -> str:
    """The text of `duplex-tts.socket`: systemd listens at these addresses."""
    lines = [
        f"ListenStream={f'[{host}]' if ':' in host else host}:{port}" for host, port in addresses
    ]
    return _SOCKET.format(mark=MARK, addresses="\n".join(lines))


def _command_line(program: str, *arguments: str) -> str:
    """The words of `ExecStart=`: variables are replaced in all but the program."""
    return " ".join([_quote(program), *(_quote(word).replace("$", "$$") for word in arguments)])


def _hidden(options: ServiceOptions) -> list[Path]:
    """The needed folders that the service would not see, without those inside of others."""
    hidden = [
        path
        for path in dict.fromkeys(options.needed)
        if any(path.is_relative_to(folder) for folder in _HIDDEN)
    ]
    return [path for path in hidden if not any(path.is_relative_to(o) for o in hidden if o != path)]


def _quote(word: object) -> str:
    """A word of a unit file: quoted where needed, without specifiers."""
    text = str(word).replace("%", "%%")
    if text and not set(text) & set(" \t\n\r\"'\\;:"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", "\\n").replace("\r", "\\r")  # would end the line
    return f'"{escaped}"'
