"""What was sent for one context and is not heard yet: all that is needed to say it again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """Something that was sent: `text`, `flush`, `retract` (to an offset) or `end`."""

    type: str
    text: str = ""
    to: int = 0

    @property
    def fields(self) -> dict[str, object]:
        """As they go over the wire."""
        if self.type == "text":
            return {"text": self.text}
        return {"to": self.to} if self.type == "retract" else {}


class UnheardText:
    """The commands of a context from the first character that was not heard on.

    Plain and synchronous. Offsets are the context's. What a retraction left of the text is known
    once the server has answered it; until then it is kept as it was said.
    """

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._heard_to = 0  # where `_commands` begin
        self.length = 0  # of the text, as far as retractions are answered

    @property
    def unheard(self) -> int:
        """Characters that were sent and not heard."""
        return self.length - self._heard_to

    def add(self, command: Command) -> None:
        """It was sent."""
        self._commands.append(command)
        self.length += len(command.text)

    def heard(self, to: int) -> None:
        """Everything before this offset was heard."""
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

    def retracted(self, to: int) -> None:
        """The server's answer to the oldest retraction that has none: the text ended at `to`."""
        kept: deque[Command] = deque()
        at = self._heard_to
        while self._commands and (command := self._commands.popleft()).type != "retract":
            kept.append(Command(command.type, command.text[: max(0, to - at)]))
            at += len(command.text)
        self.length -= max(0, at - to)
        kept.extend(self._commands)
        self._commands = kept

    def again(self) -> Iterator[Command]:
        """What to say so that the rest is heard; offsets count from the first unheard character."""
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
