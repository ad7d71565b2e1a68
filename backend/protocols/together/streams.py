"""The contexts of a Together client, and the core contexts that speak for them. Sans I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.events import Cancel, Command, Flush, Retract, Start, Text
from backend.protocols.alignment import Alignment
from backend.protocols.together.events import TogetherItem
from backend.protocols.together.request import SpeechParams
from backend.protocols.turns import TurnStream
from backend.protocols.voice_names import FindVoice

DEFAULT = "default"
_MAX_STREAMS = 100  # theirs; beyond it the one that was unused for the longest is forgotten


@dataclass(slots=True)
class Stream:
    """A context of the client: its parameters and its turns."""

    name: str
    params: SpeechParams
    turns: TurnStream

    def change_params(self, params: SpeechParams, start: Start) -> Sequence[Command]:
        """Apply them to later text. `start`: what they stand for; it does not say the alignment."""
        is_realigned = params.alignment != self.params.alignment
        self.params = params
        closed = self.turns.close() if is_realigned else ()
        return *closed, *self.turns.change_parameters(start)

    @property
    def fields(self) -> dict[str, str]:
        """What each of its messages has: the name, unless it is the default's."""
        return {} if self.name == DEFAULT else {"context_id": self.name}


@dataclass(slots=True)
class CoreContext:
    """A context of the core, until it ends. `with_words`: word times are wanted. `has_files`: each
    flush ends a file. `transcript`: what is not spoken yet. `item`: the one being heard.
    `unanswered`: its flushes.
    """

    stream: Stream
    with_words: bool
    has_files: bool
    transcript: Alignment = field(default_factory=Alignment)
    item: TogetherItem | None = None
    unanswered: int = 0

    @property
    def is_idle(self) -> bool:
        """Whether all that was sent is committed and spoken."""
        is_written = self.stream.turns.has_unflushed_text
        return not (is_written or self.unanswered or len(self.transcript))


class StreamTable:
    """The streams of one connection."""

    def __init__(self, params: SpeechParams, find_voice: FindVoice) -> None:
        """`params`: of new streams."""
        self.params = params
        self._find_voice = find_voice
        self._streams: dict[str, Stream] = {}  # the last used is the last
        self._contexts: dict[str, CoreContext] = {}  # by core id
        self._contexts_opened = 0
        self._commands: list[Command] = []  # for the next message

    def find_stream(self, name: str | None) -> Stream:
        """The stream of this name; new if unknown. Raises what `SpeechParams.build_start` does."""
        name = name or DEFAULT
        stream = self._streams.pop(name, None)
        if stream is None:
            start = self.params.build_start(self._find_voice)
            stream = Stream(name, self.params, TurnStream(start, self._create_id))
            self._forget_unused()
        self._streams[name] = stream
        return stream

    @property
    def streams(self) -> list[Stream]:
        """All streams."""
        return list(self._streams.values())

    def change_params(self, changes: Mapping[str, Any], name: str | None) -> Sequence[Command]:
        """For the named stream, else for all of them and those to come.

        Raises what `SpeechParams.build_start` does; then nothing has changed.
        """
        streams = self.streams if name is None else [self.find_stream(name)]
        new_params = self.params.model_copy(update=changes if name is None else {})
        new_params.build_start(self._find_voice)
        changed = [stream.params.model_copy(update=changes) for stream in streams]
        starts = [params.build_start(self._find_voice) for params in changed]
        self.params = new_params
        commands: list[Command] = []
        for stream, params, start in zip(streams, changed, starts, strict=True):
            commands += stream.change_params(params, start)
        return commands

    def find_context(self, id_: str | None) -> CoreContext | None:
        """The unfinished core context with this id."""
        return None if id_ is None else self._contexts.get(id_)

    def end_idle(self) -> Sequence[Command]:
        """End the core contexts that have nothing to say: clients name a new one for each turn, and
        end none.
        """
        ended: list[Command] = []
        for id_, context in self._contexts.items():
            if context.is_idle and context.stream.turns.context == id_:
                ended += context.stream.turns.close()
        return ended

    def note_commands(self, stream: Stream, commands: Sequence[Command]) -> None:
        """Keep what is sent to the core for a stream."""
        for command in commands:
            match command:
                case Start(context=id_):
                    params = stream.params
                    with_words = params.alignment == "word"
                    self._contexts[id_] = CoreContext(stream, with_words, not params.is_raw)
                case Text(context=id_, text=text):
                    self._contexts[id_].transcript.append_text(text)
                case Flush(context=id_):
                    self._contexts[id_].unanswered += 1

    def take_commands(self) -> Sequence[Command]:
        """What has to be sent before the commands of the next message: see `end_later`."""
        commands, self._commands = self._commands, []
        return commands

    def end_later(self, stream: Stream) -> None:
        """With the next message, end the open core context: some of its text was refused, so that
        the transcript of later text would be wrong.
        """
        self._commands += stream.turns.close()

    def cancel_stream(self, stream: Stream) -> Sequence[Command]:
        """Cancel all of a stream."""
        ids = self._find_ids(stream)
        for id_ in ids:
            self.forget_context(id_)
        return [Cancel(id_) for id_ in ids]

    def clear_stream(self, stream: Stream) -> Sequence[Command]:
        """Take back all text of a stream that is not spoken yet."""
        closed = [id_ for id_ in self._find_ids(stream) if id_ != stream.turns.context]
        return *(Retract(id_, 0) for id_ in closed), *stream.turns.clear()

    def forget_context(self, id_: str) -> None:
        """A core context has ended."""
        context = self._contexts.pop(id_)
        context.stream.turns.forget_context(id_)

    def _find_ids(self, stream: Stream) -> list[str]:
        return [id_ for id_, context in self._contexts.items() if context.stream is stream]

    def _forget_unused(self) -> None:
        """Make room for a stream, if one has nothing to say."""
        if len(self._streams) < _MAX_STREAMS:
            return
        busy = {context.stream.name for context in self._contexts.values()}
        unused = next((name for name in self._streams if name not in busy), None)
        if unused is not None:
            del self._streams[unused]

    def _create_id(self) -> str:
        self._contexts_opened += 1
        return str(self._contexts_opened)
