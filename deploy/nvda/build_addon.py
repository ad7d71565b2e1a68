"""Packs NVDA's add-on: `python deploy/nvda/build_addon.py [FOLDER]`.

It writes duplexTts-VERSION.nvda-addon, a zip file of `addon/`. Open it on the machine with NVDA.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

ADDON = Path(__file__).parent / "addon"
_SUFFIXES = (".py", ".ini")


def build_addon(folder: Path) -> Path:
    """Write the add-on into a folder; returns its path."""
    manifest = (ADDON / "manifest.ini").read_text(encoding="utf-8")
    fields = dict(re.findall(r"^(\w+) = \"*([^\"\n]+)", manifest, re.MULTILINE))
    path = folder / f"{fields['name']}-{fields['version']}.nvda-addon"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(ADDON.rglob("*")):
            if file.suffix in _SUFFIXES:
                archive.write(file, file.relative_to(ADDON).as_posix())
    return path


if __name__ == "__main__":
    print(build_addon(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
