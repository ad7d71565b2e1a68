"""Addresses: URLs, e-mail, domains, files, paths. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.number_words import spell_digits
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.english.words.identifiers import (
    order_marks,
    say_hash,
    say_marked,
    say_run,
)

_SCHEME = re.compile(r"(?:https?|ftps?|sftp|file|ssh|git|wss?|postgres|redis|s3)://", re.I)
_EMAIL = re.compile(r"(?:mailto:)?[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_HOST = re.compile(r"(?:[A-Za-z0-9-]+\.)+([A-Za-z]{2,})(?::\d+)?(?:[/?#]\S*)?")
_FILE = re.compile(r"[\w~+-]*(?:\.[\w+-]+)+")
_IPV6 = re.compile(r"(?=.*:.*:)[0-9A-Fa-f:]{2,39}(?:/\d+|%\w+)?")
_PATH = re.compile(
    r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\][\w.~+@%\\/-]*|[\w.~+@-]+(?:[/\\][\w.~+@-]+){2,}/?"
)
_DOMAINS = word_set(
    """ac ai app at au be biz blog br ca cc ch cloud cn co com cz de dev dk edu es eu example
    fi fm fr gov gr hk id ie il in info int io it jp kr ly me mil mobi mx museum net nl no
    nz online org page pl pt pro ro ru se sg sh site so store tech test to top tr tv tw ua
    uk us xyz za local"""
)
_ENDINGS = word_set(
    """apk avi bash bat bin bmp bz2 c cc cfg class conf cpp cs css csv dart db deb dll dmg doc
    docx env exe flac gif git gitignore go gz h hpp htm html ico ini ipynb iso jar java jpeg
    jpg js json jsx kt lock log lua m4a md mkv mov mp3 mp4 mpeg msi net ogg onnx pdf php pkl
    png ppt pptx ps1 psd py pyc r rar rb rpm rs rst rtf scala sh so sql svg swift tar tex
    tgz tiff toml ts tsx ttf txt wav webm webp whl wmv xls xlsx xml yaml yml zip zsh"""
)
_MARKS = order_marks(
    {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "?": "question mark"}
    | {"=": "equals", "&": "and", "#": "hash", "+": "plus", ":": "colon", "~": "tilde"}
    | {"\\": "backslash", "%": "percent", "://": ""}
)
_PLAIN_MARKS = order_marks({".": "dot", "/": "slash", "@": "at", "+": "plus", ":": "colon"})
_LONGEST_PATH = 48  # characters of a path that are read; the rest of it is silent


def read_address(core: str) -> str | None:
    """What is said for a URL, an e-mail address, a host; None if it is none of them."""
    text = core.strip("<>")
    if scheme := _SCHEME.match(text):
        return say_url(text[scheme.end() :])
    if text.lower().startswith("www.") and len(text) > 4:
        return say_url(text)
    if _EMAIL.fullmatch(text):
        return say_marked(text.removeprefix("mailto:"), _MARKS)
    if (host := _HOST.fullmatch(text)) and _is_domain(text, host[1]):
        return say_url(text)
    if text.startswith("localhost:") and text[10:].isdecimal():
        return say_marked(text, _MARKS)
    return _read_ipv6(text) if text.count(":") > 1 else None


def _is_domain(text: str, top: str) -> bool:
    return top.islower() and top in _DOMAINS and text[0].isalnum()


def say_url(text: str) -> str:
    """The host and the path of a URL without its scheme."""
    host = re.split(r"[/?#]", text, maxsplit=1)[0]
    path = text[len(host) :].rstrip("/")
    said = say_marked(host.rpartition("@")[2], _MARKS)
    if "?" in path and len(path) > _LONGEST_PATH:
        path = path.partition("?")[0]
    return f"{said} {say_marked(_shorten(path), _MARKS)}".strip()


def _shorten(path: str) -> str:
    if len(path) <= _LONGEST_PATH:
        return path
    return path[: path.rfind("/", 1, _LONGEST_PATH)] if "/" in path[1:_LONGEST_PATH] else ""


def is_file(core: str) -> bool:
    """Whether it is a name with one of the known endings: "song.mp3"."""
    name, dot, ending = core.rpartition(".")
    return bool(name and dot) and ending in _ENDINGS and len(ending) > 1


def read_path(core: str) -> str | None:
    """A path, a file name, a dotted name ("node.js", "os.path", ".NET"), an IPv6 address."""
    if "/" in core or "\\" in core:
        is_path = _PATH.fullmatch(core) or core.rpartition(".")[2].lower() in _ENDINGS
        return say_marked(core, _MARKS) if is_path and len(core) > 1 else None
    if not _FILE.fullmatch(core) or not any(map(str.isalpha, core)):
        return None
    parts = core.split(".")
    if core[0].isdecimal() and not any(map(str.isalpha, "".join(parts[:-1]))):
        return None  # "5.in": no space behind a full stop
    if any(part.istitle() and len(part) > 1 for part in parts[1:]):
        return None  # a full stop without a space behind it
    if core.replace(".", "").isupper() and all(len(part) == 1 for part in parts):
        return " ".join(map(say_run, parts))  # "U.S"
    if parts[-1].lower() not in _ENDINGS | _DOMAINS and not _is_dotted_name(parts):
        return None
    return say_marked(core, _MARKS if "_" in core else _PLAIN_MARKS)


def _is_dotted_name(parts: list[str]) -> bool:
    """Whether it is a name of a program: "os.path", "a.b.c"; also ".bashrc"."""
    return all(part.islower() or not part or part.isdecimal() for part in parts) or parts[0] == ""


def _read_ipv6(core: str) -> str | None:
    if not _IPV6.fullmatch(core) or (
        not any(c in core for c in "abcdefABCDEF") and "::" not in core
    ):
        return None
    groups = re.split(r"(::|:|/|%)", core)
    said = {"::": "double colon", ":": "colon", "/": "slash", "%": "percent", "": ""}
    return " ".join(filter(None, (said.get(g) or _spell_group(g) for g in groups if g)))


def _spell_group(group: str) -> str:
    return " ".join(spell_digits(c) if c.isdecimal() else c.upper() for c in group)


def read_hash(core: str) -> str | None:
    """A hash or a UUID, spelled."""
    return say_hash(core)


def read_numbered_code(core: str) -> str | None:
    """A code that begins with a digit but is no number: "7zip.org", "2024-report.pdf", a UUID."""
    if core.isdecimal() or not any(map(str.isalpha, core)):
        return None
    if "@" in core or core.count(":") > 1:
        return read_address(core)
    stem, dot, ending = core.rpartition(".")
    if dot:
        is_lettered = any(map(str.isalpha, stem))
        is_file = ending in _ENDINGS and (is_lettered or len(ending) > 2) and _FILE.fullmatch(core)
        return say_marked(core, _MARKS) if is_file else read_address(core) if is_lettered else None
    is_number = sum(map(str.isalpha, core)) < 2  # "1000000e5"
    return None if is_number else say_hash(core)
