"""What the agent's model reads: when to use the tools, and how."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from duplex_tts.sinks import FILE_FORMATS

INSTRUCTIONS = """\
Speaks to the user through the loudspeaker of their computer. Use `say` when the user has asked to
be spoken to, when long work is done, or when you need them and they may not be looking. Say what
they need to know in one or two short sentences; details belong into your written answer."""

SAY = """\
Speak a text aloud to the user. Returns at once: the speech goes on while you work, and further
texts queue behind it.

Write as one speaks: one or two short, plain sentences. No Markdown, code, tables, paths or URLs;
name them instead ("the parser test"). Set `wait` for the last thing that you say before your turn
ends, or when you must know that it was heard."""

STOP = "Silence the speech at once and drop what is queued. Returns which part was heard."

LIST_VOICES = "List the voices of the speech server: name, language, description."

SAVE = f"""\
Write the speech of a text to a sound file instead of playing it. The suffix of `path` chooses the
format: .{", .".join(FILE_FORMATS)}. Returns when the file is complete, with its path and duration;
long texts take a while."""

SaidText = Annotated[str, Field(description="Plain sentences, in the language of the voice.")]
VoiceName = Annotated[
    str | None, Field(description="Name of a voice, see `list_voices`; default: the server's.")
]
Speed = Annotated[
    float | None,
    Field(gt=0, allow_inf_nan=False, description="1 is normal, 1.5 is faster by half."),
]
Language = Annotated[str | None, Field(description="Language of the text, such as en or pt-BR.")]
Wait = Annotated[bool, Field(description="Return only when all of it was heard.")]
FilePath = Annotated[
    str, Field(description="Absolute path of the file, such as /home/ann/hello.mp3; ~ is allowed.")
]
Overwrite = Annotated[bool, Field(description="Replace an existing file.")]
LanguageOfVoices = Annotated[
    str | None, Field(description="Only voices of this language: a tag or a name, ar or arabic.")
]
