"""Where the player of `duplex-tts say` can play; a server needs none of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from backend.doctor.findings import CheckInputs, Finding, Status


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """The sound device, and the programs that play without one."""
    from duplex_tts.playback.device_programs import PROGRAMS
    from duplex_tts.playback.devices import no_sound_message

    programs = [name for name in PROGRAMS if shutil.which(name)]
    device, why = _default_device()
    if device:
        yield Finding("device", Status.OK, device)
    elif programs:
        yield Finding("device", Status.OK, f"none ({why}); a program plays instead")
    else:
        text, _, remedy = no_sound_message().partition(": ")
        yield Finding("device", Status.ABSENT, f"{text} ({why})", remedy)
    if programs:
        yield Finding("programs", Status.OK, ", ".join(programs))


def _default_device() -> tuple[str, str]:
    """The default device's name, or else why there is none."""
    try:
        import sounddevice  # loads PortAudio
    except (ImportError, OSError) as error:
        return "", f"sounddevice: {error}"
    try:
        return str(sounddevice.query_devices(kind="output")["name"]), ""
    except (sounddevice.PortAudioError, ValueError) as error:
        return "", f"PortAudio: {error}"
