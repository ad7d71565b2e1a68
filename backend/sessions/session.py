"""One client's session: handles commands, replays events on resume."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, replace
from typing import Never, assert_never

import structlog

from backend.audio.formats import DEFAULT_FORMAT, parse_format
from backend.cluster.session_tokens import create_token
from backend.errors import (
    BadMessage,
    ContextEnded,
    DuplexError,
    ResumeFailed,
    ResumeGap,
    SessionEnded,
    SlowClient,
)
from backend.events import (
    Advice,
    Cancel,
    Command,
    ContextCommand,
    End,
    Failed,
    Flush,
    Ping,
    Played,
    Pong,
    Ready,
    Resume,
    Retract,
    Retracted,
    Start,
    Text,
    Typing,
)
from backend.monitoring.gap_causes import Cause
from backend.sessions.context_record import SessionRecord
from backend.sessions.context_table import ContextTable
from backend.sessions.line import Line
from backend.sessions.replay_buffer import ReplayBuffer
from backend.sessions.send_queue import SendQueue
from backend.sessions.services import Services

log = structlog.get_logger(__name__)

_MAX_MESSAGE_CHARACTERS = 2000  # of an error message, which may quote the client's input


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A session's figures, without its text.

    `typing`: modes of its open contexts. `characters`: received so far, of which
    `characters_waiting` are not spoken yet. `messages_waiting`: not written to the client yet.
    `buffered_s`: audio sent but not heard yet. `gaps`: number of gaps heard, only for causes that
    occurred. `detached_s`: time without a connection; None while it has one.
    """

    id: str
    age_s: float
    contexts: int
    typing: list[Typing]
    characters: int
    characters_waiting: int
    messages_waiting: int
    buffered_s: float
    gaps: dict[Cause, int]
    detached_s: float | None = None


class Session:
    """A client's contexts and send queue, independent of the connection."""

    def __init__(
        self,
        services: Services,
        tasks: asyncio.TaskGroup,
        owner: str = "",
        replay_buffer: ReplayBuffer | None = None,
        endpoint: str = "",
    ) -> None:
        """`tasks`: runs its contexts. `owner`: the owner of its API key. `replay_buffer`: None if
        the session cannot be resumed. `endpoint`: the path its client connected to, for the log.
        """
        self._services = services
        self._record = SessionRecord(endpoint, services.metrics, services.clock)
        self.id = self._record.session
        self.token = create_token(services.replicas)
        self.owner = owner
        self.is_resumable = replay_buffer is not None
        self.line = Line(services.clock)
        self.send_queue = SendQueue(
            services.settings.bidirectional_streaming.queue_size, replay_buffer, self.line
        )
        self._is_advised = False
        self._contexts = ContextTable(services, tasks, self.send_queue, self.refuse, self._record)
        self._received_count = 0  # messages received, without `Ping` and `Resume`
        self._end_requested = asyncio.Event()
        self._outcome = "left"

    async def wait_finished(self) -> None:
        """Wait until no context runs and the send queue is empty. Cancel-safe."""
        await self._contexts.wait_finished()
        await self.send_queue.wait_empty()

    def request_end(self, outcome: str) -> None:
        """Make `wait_ended` raise. `outcome`: the reason, for the log; the first call counts."""
        if not self._end_requested.is_set():
            self._outcome = outcome
        self._end_requested.set()

    def open_record(self) -> None:
        """Log the session's start."""
        self._record.log_opened(resumable=self.is_resumable)

    def close_record(self, outcome: str | None = None) -> None:
        """Log the session's end. `outcome`: the reason, if not that of `request_end`."""
        outcome = outcome or self._outcome
        self.send_queue.remove_watchers(outcome)
        self._record.log_closed(outcome)

    async def wait_ended(self) -> Never:
        """Wait for `request_end`. Cancel-safe. Raises `SessionEnded`."""
        await self._end_requested.wait()
        raise SessionEnded("the operator has ended the session")

    def status(self) -> SessionStatus:
        """Current figures."""
        return SessionStatus(
            id=self.id,
            age_s=self._services.clock() - self._record.opened_s,
            contexts=len(self._contexts),
            typing=self._contexts.typing,
            characters=self._record.characters,
            characters_waiting=self._contexts.waiting_characters,
            messages_waiting=len(self.send_queue),
            buffered_s=self._contexts.buffered_s,
            gaps=self._record.gaps.counts,
        )

    def send_ready(self) -> None:
        """Queue `ready`, with the defaults, before all other events."""
        audio = parse_format(DEFAULT_FORMAT, None)
        voice = self._services.tts.default_voice
        self.send_queue.put_first(
            Ready(
                self.id, self.token, voice, audio.sample_rate_hz, audio.name, self._received_count
            )
        )

    def can_resume(self, token: str, owner: str) -> bool:
        """Whether a client with this token and key owner may resume the session."""
        has_token = hmac.compare_digest(token.encode(), self.token.encode())
        return self.is_resumable and has_token and owner == self.owner

    def resume(self, request: Resume) -> bool:
        """Send `ready` and replay unreceived events; contexts with lost events end with
        `resume_gap`. Returns whether nothing was lost.
        """
        lost = self.send_queue.rewind(request.after, request.answers)
        if request.answers is None:  # awaited contexts that ended, their end not kept
            lost |= (
                set(filter(self._contexts.is_used, request.after))
                - self.send_queue.queued_endings()
            )
        for name in lost:
            if name in self._contexts:
                self._contexts.stop_context(name, ResumeGap.code)
            self.refuse(
                ResumeGap("audio sent meanwhile is no longer kept; send the text again", name)
            )
        self.send_ready()
        return not lost

    def advise_if_late(self) -> None:
        """Tell a live listener of a fixed format, once per session, that its line is too thin."""
        context = self.line.late_context
        if self._is_advised or context is None or not self._contexts.is_advisable(context):
            return
        self._is_advised = True
        message = "the audio arrives later than it is played: the line is too thin for this format"
        self.send_queue.put_nowait(Advice(context, "thin_line", message, "opus", "auto"))

    def handle_or_refuse(self, command: Command) -> None:
        """Handle a command; errors are answered. Raises `SlowClient`."""
        try:
            self.handle_command(command)
        except SlowClient:
            raise
        except DuplexError as error:
            self.refuse(error)

    def refuse_undecodable(self, error: DuplexError) -> None:
        """Answer a message that could not be decoded. Raises `SlowClient`."""
        self._received_count += 1
        self.refuse(error)

    def refuse(self, error: DuplexError) -> None:
        """Answer with an error. Raises `SlowClient`."""
        if error.ends_context and error.context and error.context not in self._contexts:
            self._contexts.mark_used(error.context)
        self._services.metrics.count_error(error.code)
        # Text in transit to a context whose start was refused is expected.
        log_line = log.debug if error.code == ContextEnded.code else log.info
        log_line("refused", session=self.id, context=error.context, code=error.code)
        failed = Failed.from_error(error, error.context)
        message = failed.message[:_MAX_MESSAGE_CHARACTERS]
        self.send_queue.put_nowait(replace(failed, message=message))

    def handle_command(self, command: Command) -> None:
        """Execute a client's command; never waits. Raises `DuplexError` if refused, with nothing
        changed.
        """
        if isinstance(command, Ping):
            self._acknowledge(command)
            return
        if isinstance(command, Resume):
            raise ResumeFailed("`resume` must be the first message of a connection")
        self._received_count += 1
        try:
            self._dispatch(command)
        except DuplexError as error:
            error.context = command.context
            raise

    def _dispatch(self, command: ContextCommand) -> None:
        match command:
            case Start():
                self._contexts.open_context(command)
            case Text():
                self._push_text(command)
            case Flush():
                context = self._contexts.get_or_open(command.context)
                context.flush(ends_stream=command.ends_stream)
            case End():
                self._contexts.get_or_open(command.context).end_text()
            case Retract():
                self._retract_text(command)
            case Played():
                self._update_position(command)
            case Cancel():
                self._cancel_context(command)
            case _:
                assert_never(command)

    # --- commands ---------------------------------------------------------------------------------

    def _push_text(self, command: Text) -> None:
        new = command.context not in self._contexts
        try:
            self._contexts.get_or_open(command.context).push_text(command.text)
        except DuplexError as error:
            error.ends_context = new
            if new and command.context in self._contexts:
                self._contexts.stop_context(command.context, error.code)
            raise

    def _retract_text(self, command: Retract) -> None:
        if command.to < 0:
            raise BadMessage(f"retract: to: expected 0 or more, got {command.to}")
        to = self._contexts.get(command.context).retract_text(command.to)
        self.send_queue.put_nowait(Retracted(command.context, to))

    def _update_position(self, command: Played) -> None:
        if command.ms < 0:
            raise BadMessage(f"played: ms: expected 0 or more, got {command.ms:g}")
        if not self._contexts.is_used(command.context):  # may arrive after the end
            self._contexts.get(command.context).update_position(command.ms)

    def _cancel_context(self, command: Cancel) -> None:
        self._contexts.get(command.context)
        context = self._contexts.stop_context(command.context, "cancelled")
        dropped = self.send_queue.drop_audio(command.context)
        self.send_queue.put_nowait(context.create_cancelled(dropped))
        self._services.metrics.count_cancel()

    def _acknowledge(self, ping: Ping) -> None:
        if ping.after is not None:
            self.send_queue.acknowledge(ping.after, ping.answers)
            self.line.on_acknowledged(ping.after)
        self.send_queue.put_nowait(Pong(ping.id, self._received_count))
