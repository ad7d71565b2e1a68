"""The package of an EPUB: what it consists of, in which order, and its metadata."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from duplex_tts.books.archive import Archive
from duplex_tts.books.book import BookFailed
from duplex_tts.books.left_out import kind_left_out

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
# They obfuscate fonts, which are not read here.
_FONT_ALGORITHMS = frozenset(
    {"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"}
)


@dataclass(frozen=True, slots=True)
class ManifestItem:
    """A file of the package. `path`: in the archive."""

    path: str
    media_type: str
    properties: frozenset[str]


@dataclass(slots=True)
class Package:
    """`metadata`: values by Dublin Core name, such as "creator". `spine`: documents in reading
    order, with why each is not read, or "". `kinds`: why, by path, from the guide.
    """

    manifest: dict[str, ManifestItem] = field(default_factory=dict)
    spine: list[tuple[str, str]] = field(default_factory=list)
    metadata: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    cover: str = ""
    contents: str = ""
    """The path of the NCX, the table of contents of EPUB 2."""

    def item_with(self, property_: str) -> ManifestItem | None:
        """The file with a property, such as `nav` or `cover-image`."""
        items = self.manifest.values()
        return next((item for item in items if property_ in item.properties), None)


def read_package(archive: Archive) -> Package:
    """Read the package. Raises `BookFailed` if it is damaged or encrypted."""
    path = _find_package(archive)
    root = parse_xml(archive, path)
    package = Package()
    package.metadata = _read_metadata(root)
    for item in _children(root, "item"):
        properties = frozenset(item.get("properties", "").split())
        resolved = resolve(path, item.get("href", ""))
        package.manifest[item.get("id", "")] = ManifestItem(
            resolved, item.get("media-type", ""), properties
        )
    for reference in _children(root, "reference"):
        if kind := kind_left_out([reference.get("type", "")]):
            package.kinds[resolve(path, reference.get("href", ""))] = kind
    _read_spine(root, package)
    package.cover = _find_cover(root, package)
    _refuse_encrypted(archive, {path for path, _ in package.spine})
    return package


def split_href(href: str) -> tuple[str, str]:
    """Return the path and the anchor of a reference, "" for what it has not."""
    try:
        parts = urlsplit(href.strip())
    except ValueError:  # such as `//[a`: it refers to no file of the book
        return "", ""
    return unquote(parts.path), unquote(parts.fragment)


def resolve(base: str, href: str) -> str:
    """Return the path in the archive that a file refers to, without the anchor."""
    path, _ = split_href(href)
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), path))


def parse_xml(archive: Archive, path: str) -> Element:
    """Parse an XML file. Raises `BookFailed`; entities are refused."""
    content = archive.read(path)
    if content is None:
        raise BookFailed("bad_book", f"the EPUB has no {path}")
    try:
        root: Element = fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise BookFailed("bad_book", f"{path} of the EPUB is damaged: {error}") from error
    return root


def local_name(element: Element) -> str:
    """The name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _children(root: Element, name: str) -> Iterator[Element]:
    return (element for element in root.iter() if local_name(element) == name)


def _find_package(archive: Archive) -> str:
    for rootfile in _children(parse_xml(archive, _CONTAINER), "rootfile"):
        if path := rootfile.get("full-path"):
            return path
    raise BookFailed("bad_book", f"{_CONTAINER} of the EPUB names no package")


def _read_metadata(root: Element) -> dict[str, list[str]]:
    metadata: dict[str, list[str]] = {}
    for parent in _children(root, "metadata"):
        for element in parent.iter():
            if text := " ".join((element.text or "").split()):
                metadata.setdefault(local_name(element), []).append(text)
    return metadata


def _read_spine(root: Element, package: Package) -> None:
    spine = next(_children(root, "spine"), None)
    if spine is None:
        raise BookFailed("bad_book", "the EPUB has no reading order")
    contents = package.manifest.get(spine.get("toc", ""))
    contents = contents or next(
        (item for item in package.manifest.values() if "dtbncx" in item.media_type), None
    )
    package.contents = contents.path if contents else ""
    for reference in _children(spine, "itemref"):
        item = package.manifest.get(reference.get("idref", ""))
        if item is None:
            continue
        why = "contents" if "nav" in item.properties else package.kinds.get(item.path, "")
        if not why and reference.get("linear") == "no":
            why = "not in the reading order"
        package.spine.append((item.path, why))


def _find_cover(root: Element, package: Package) -> str:
    if item := package.item_with("cover-image"):
        return item.path
    for meta in _children(root, "meta"):
        if meta.get("name") == "cover" and (item := package.manifest.get(meta.get("content", ""))):
            return item.path
    for id_, item in package.manifest.items():
        if item.media_type.startswith("image/") and "cover" in f"{id_} {item.path}".lower():
            return item.path
    return ""


def _refuse_encrypted(archive: Archive, documents: set[str]) -> None:
    if archive.find(_ENCRYPTION) is None:
        return
    for data in _children(parse_xml(archive, _ENCRYPTION), "EncryptedData"):
        algorithms = {method.get("Algorithm") for method in _children(data, "EncryptionMethod")}
        paths = {
            resolve("", reference.get("URI", ""))
            for reference in _children(data, "CipherReference")
        }
        if documents & paths and not algorithms <= _FONT_ALGORITHMS:
            raise BookFailed(
                "encrypted_book",
                "the EPUB is encrypted (DRM), which only the shop's own programs can read; "
                "use a copy without DRM",
            )
