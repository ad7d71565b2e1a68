"""`OggOpusWriter`: pages that other programs accept."""

from __future__ import annotations

from backend.audio.ogg import OggOpusWriter


def checksum(page: bytes) -> int:
    """CRC-32 as RFC 3533 describes it, bit by bit."""
    register = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
            register &= 0xFFFFFFFF
    return register


def test_each_page_has_its_checksum() -> None:
    writer = OggOpusWriter(0x12345678, 24_000, 312)
    pages = [writer.write_page([b"abc"], 960), writer.write_page([bytes(300)], 1920, last=True)]
    for page in pages:
        assert int.from_bytes(page[22:26], "little") == checksum(page)


def test_lacing_ends_every_packet() -> None:
    page = OggOpusWriter(1, 24_000, 312).write_page([bytes(254), bytes(255), bytes(511)], 0)
    assert list(page[27 : 27 + page[26]]) == [254, 255, 0, 255, 255, 1]


def test_pages_are_numbered_and_the_last_is_marked() -> None:
    writer = OggOpusWriter(1, 24_000, 312)
    middle, last = writer.write_page([b"a"], 960), writer.write_page([b"a"], 1000, last=True)
    assert [int.from_bytes(page[18:22], "little") for page in (middle, last)] == [2, 3]
    assert [page[5] for page in (middle, last)] == [0, 4]
    assert int.from_bytes(last[6:14], "little") == 1000
