"""The commands of a context whose text is not heard yet, kept to be sent again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the wire protocol: `text`, `flush`, `retract` (to an offset) or `end`."""

    type: str
    text: str = ""
    to: int = 0

    @property
    def fields(self) -> dict[str, object]:
        """Its fields on the wire."""
        if self.type == "text":
            return {"text": self.text}
        return {"to": self.to} if self.type == "retract" else {}


class UnheardText:
    """The commands of a context from the first unheard character on.

    Synchronous. Offsets are the context's. A retraction is applied when the server has answered it;
    until then the text is kept as it was sent.
    """

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._heard_to = 0  # offset at which `_commands` begin
        self.length = 0  # of the text, with answered retractions applied

    @property
    def unheard_length(self) -> int:
        """Number of characters sent and not heard."""
        return self.length - self._heard_to

    def add_command(self, command: Command) -> None:
        """Append a command that is sent."""
        self._commands.append(command)
        self.length += len(command.text)

    def mark_heard(self, to: int) -> None:
        """Drop the text before this offset: it was heard."""
        commands = self._commands
        while commands and commands[0].type in ("text", "flush"):
            size = len(commands[0].text)
            if self._heard_to + size > to:
                rest = commands[0].text[to - self._heard_to :]
                commands[0] = Command("text", rest)
                break
            commands.popleft()
            self._heard_to += size
        self._heard_to = to

    def apply_retraction(self, to: int) -> None:
        """Apply the oldest open retraction: the server has answered that the text ended at `to`."""
        kept: deque[Command] = deque()
        at = self._heard_to
        while self._commands and (command := self._commands.popleft()).type != "retract":
            kept.append(Command(command.type, command.text[: max(0, to - at)]))
            at += len(command.text)
        self.length -= max(0, at - to)
        kept.extend(self._commands)
        self._commands = kept

    def commands_to_resend(self) -> Iterator[Command]:
        """Yield the commands for the unheard text; offsets count from its first character."""
        texts: list[str] = []
        for command in self._commands:
            if command.type == "text":
                texts.append(command.text)
                continue
            if texts:
                yield Command("text", "".join(texts))
                texts = []
            to = max(0, command.to - self._heard_to)
            yield Command(command.type, to=to)
        if texts:
            yield Command("text", "".join(texts))
