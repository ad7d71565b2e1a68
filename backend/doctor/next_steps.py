"""What to do first, by the findings as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.doctor.findings import Finding, Status

_CHATTERBOX = ("Torch", "Chatterbox", "Weights")


def steps_to_chatterbox(sections: Mapping[str, Sequence[Finding]]) -> list[str]:
    """The commands, in order, after which Chatterbox speaks on the card that is there; none if
    there is no usable card, or nothing is missing.
    """
    cards = sections.get("Graphics card", ())
    if not any(each.name.startswith("card") and each.status is Status.OK for each in cards):
        return []
    commands = []
    for title in _CHATTERBOX:
        findings = sections.get(title, ())
        if title == "Weights" and any(each.values for each in findings):
            continue  # of one engine they are complete
        missing = [
            each.command for each in findings if each.status is not Status.OK and each.command
        ]
        commands += missing[:1] if title == "Weights" else missing
    return [*dict.fromkeys(commands)]
