"""Whether a file of weights is whole, from its structure: no digest is at hand without a network.

Finds truncated, empty and foreign files, not a changed number.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

_LARGEST_HEADER = 100_000_000  # that of the format
_LFS = b"version https://git-lfs"


def file_problem(path: Path) -> str:
    """What is wrong with the file; empty if nothing is. Reads its beginning or its index."""
    try:
        with path.open("rb") as file:
            if file.read(len(_LFS)) == _LFS:
                return "is a pointer of git-lfs, not the file"
        if path.suffix == ".safetensors":
            return _safetensors_problem(path)
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        if path.suffix in (".pt", ".pth") and not zipfile.is_zipfile(path):
            return "is not a file of torch, or is cut off"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "is not JSON"
    return ""


def tensor_names(path: Path) -> set[str]:
    """The names of the tensors in a `.safetensors` file. Raises `OSError`, `ValueError`."""
    return set(_read_header(path)[0]) - {"__metadata__"}


def _safetensors_problem(path: Path) -> str:
    try:
        header, start = _read_header(path)
        end = start + max(
            (int(each["data_offsets"][1]) for name, each in header.items() if name[:2] != "__"),
            default=0,
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return "is not a file of safetensors"
    size = path.stat().st_size
    if size != end:
        return f"has {size} bytes instead of {end}: it is cut off or changed"
    return ""


def _read_header(path: Path) -> tuple[dict[str, dict[str, list[int]]], int]:
    """The header, and the offset of the data."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _LARGEST_HEADER:
            raise ValueError("no header")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header, 8 + length
