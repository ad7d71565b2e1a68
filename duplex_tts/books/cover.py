"""Cover images: any format that FFmpeg decodes becomes a JPEG of moderate size."""

from __future__ import annotations

import io
from fractions import Fraction

import av

from duplex_tts.books.book import BookFailed

LARGEST_SIDE = 1_600
MOST_PIXELS = 50_000_000
"""A larger image is not decoded."""


def convert_cover(image: bytes) -> bytes:
    """Return the image as JPEG, `LARGEST_SIDE` pixels high or wide at most. Raises `BookFailed`.

    Blocks while it decodes (up to a second).
    """
    try:
        with av.open(io.BytesIO(image), "r") as container:
            stream = container.streams.video[0]
            if not stream.codec_context:  # of a format without a decoder, such as SVG
                raise ValueError("unknown format")
            if stream.width * stream.height > MOST_PIXELS:
                size = f"{stream.width} x {stream.height}"
                raise BookFailed("bad_cover", f"the cover has too many pixels: {size}")
            frame = next(container.decode(stream))
    except (av.FFmpegError, OSError, IndexError, StopIteration, ValueError) as error:
        raise BookFailed("bad_cover", f"the cover is not an image that can be read: {error}") from (
            error
        )
    return _encode_jpeg(frame)


def _encode_jpeg(frame: av.VideoFrame) -> bytes:
    scale = min(1.0, LARGEST_SIDE / max(frame.width, frame.height))
    width, height = (max(2, int(side * scale) // 2 * 2) for side in (frame.width, frame.height))
    frame = frame.reformat(width, height, "yuvj420p")
    frame.pts, frame.time_base = 0, Fraction(1)
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
