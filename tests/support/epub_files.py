"""Small EPUB files for tests."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="OEBPS/book.opf"
 media-type="application/oebps-package+xml"/></rootfiles></container>"""


def page(body: str, attributes: str = "") -> str:
    """An XHTML document."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
        f"<head><title>Page</title></head><body {attributes}>{body}</body></html>"
    )


def nav(*entries: tuple[str, str]) -> str:
    """A table of contents of EPUB 3: titles and targets."""
    items = "".join(f'<li><a href="{href}">{title}</a></li>' for title, href in entries)
    return page(f'<nav epub:type="toc"><h1>Contents</h1><ol>{items}</ol></nav>')


@dataclass
class EpubFile:
    """`pages`: XHTML by name, in reading order. `files`: further files of the package, with the
    attributes of their manifest items. `raw`: files of the archive that are not in the manifest.
    """

    pages: Mapping[str, str]
    nav: str = ""
    ncx: str = ""
    metadata: str = (
        "<dc:title>The Bells</dc:title><dc:creator>Jo Li</dc:creator>"
        "<dc:language>en</dc:language><dc:date>2024-05-01</dc:date>"
    )
    files: Mapping[str, tuple[bytes, str]] = field(default_factory=dict)
    raw: Mapping[str, bytes] = field(default_factory=dict)
    not_linear: Sequence[str] = ()
    guide: str = ""

    def write(self, path: Path) -> Path:
        """Write the file; returns its path."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("mimetype", "application/epub+zip")
            archive.writestr("META-INF/container.xml", CONTAINER)
            archive.writestr("OEBPS/book.opf", self._package())
            for name, content in self.pages.items():
                archive.writestr(f"OEBPS/{name}", content)
            for name, (data, _) in self.files.items():
                archive.writestr(f"OEBPS/{name}", data)
            for name, data in self.raw.items():
                archive.writestr(name, data)
            if self.nav:
                archive.writestr("OEBPS/nav.xhtml", self.nav)
            if self.ncx:
                archive.writestr("OEBPS/toc.ncx", self.ncx)
        return path

    def _package(self) -> str:
        items = [
            f'<item id="p{number}" href="{name}" media-type="application/xhtml+xml"/>'
            for number, name in enumerate(self.pages)
        ]
        items += [
            f'<item id="f{number}" href="{name}" {attributes}/>'
            for number, (name, (_, attributes)) in enumerate(self.files.items())
        ]
        if self.nav:
            items.append(
                '<item id="nav" href="nav.xhtml" properties="nav" '
                'media-type="application/xhtml+xml"/>'
            )
        if self.ncx:
            items.append('<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>')
        spine = "".join(
            f'<itemref idref="p{number}" linear="{"no" if name in self.not_linear else "yes"}"/>'
            for number, name in enumerate(self.pages)
        )
        return (
            '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
            f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">{self.metadata}</metadata>'
            f'<manifest>{"".join(items)}</manifest><spine toc="ncx">{spine}</spine>'
            f"<guide>{self.guide}</guide></package>"
        )
