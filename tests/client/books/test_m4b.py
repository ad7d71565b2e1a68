import io
import resource
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from duplex_tts.books.book import BookFailed
from duplex_tts.books.cover import LARGEST_SIDE, convert_cover
from duplex_tts.books.m4b import (
    RATE_HZ,
    Audiobook,
    SpokenChapter,
    read_comment,
    three_letter_code,
    write_m4b,
)
from duplex_tts.sinks import SinkFailed


def write_part(path: Path, seconds: float, level: int = 8_000) -> Path:
    """A sound file of noise."""
    samples = np.random.default_rng(0).integers(-level, level, round(seconds * RATE_HZ))
    soundfile.write(path, samples.astype(np.int16), RATE_HZ)
    return path


def create_image(codec: str, pix_fmt: str, width: int, height: int) -> bytes:
    data = io.BytesIO()
    with av.open(data, "w", format="image2pipe") as container:
        stream = container.add_stream(codec)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        frame = av.VideoFrame(width, height, "rgb24").reformat(format=pix_fmt)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return data.getvalue()


def ignore(_seconds: float) -> None:
    pass


def test_an_audiobook_has_chapters_cover_and_metadata(tmp_path: Path) -> None:
    one, two = write_part(tmp_path / "1.flac", 2.0), write_part(tmp_path / "2.flac", 1.0)
    chapters = [SpokenChapter("One", [one, two]), SpokenChapter("Zwei «é»", [two])]
    cover = convert_cover(create_image("png", "rgba", 300, 400))
    metadata = {"title": "T", "artist": "Jo Li", "date": "2024", "comment": "c", "description": "d"}
    heard: list[float] = []
    path = tmp_path / "x.m4b"
    seconds = write_m4b(Audiobook(chapters, metadata, "de-AT", cover), path, heard.append)
    assert seconds == heard[-1] == pytest.approx(2 + 0.2 + 1 + 1.5 + 1 + 1.5)
    with av.open(str(path), "r") as book:
        marks = [
            (each["start"], each["end"], each["metadata"]["title"]) for each in book.chapters()
        ]
        assert marks == [(0, 4_700, "One"), (4_700, 7_200, "Zwei «é»")]
        assert {name: book.metadata[name] for name in metadata} == metadata
        assert (book.metadata["genre"], book.metadata["media_type"]) == ("Audiobook", "2")
        assert book.metadata["major_brand"] == "M4B "
        audio, video = book.streams.audio[0], book.streams.video[0]
        assert (audio.codec_context.name, audio.metadata["language"]) == ("aac", "deu")
        assert video.disposition & av.stream.Disposition.attached_pic
        assert (video.width, video.height) == (300, 400)
        assert Fraction(book.duration or 0, av.time_base) == pytest.approx(seconds, abs=0.05)
    assert read_comment(path) == "c"


def test_chapter_marks_are_where_the_sound_is(tmp_path: Path) -> None:
    parts = [write_part(tmp_path / f"{number}.flac", 0.5 + number) for number in range(3)]
    path = tmp_path / "x.m4b"
    chapters = [SpokenChapter(f"{number}", [part]) for number, part in enumerate(parts)]
    write_m4b(Audiobook(chapters), path, ignore)
    with av.open(str(path), "r") as book:
        starts = [each["start"] / 1000 for each in book.chapters()]
        sound = np.concatenate([f.to_ndarray()[0] for f in book.decode(audio=0)])
    for start_s in starts:
        at = round(start_s * RATE_HZ)
        assert np.abs(sound[at + 500 : at + 5_000]).mean() > 0.05
        assert np.abs(sound[max(0, at - 20_000) : max(0, at - 1_500)]).sum() < 1


@pytest.mark.slow
def test_a_thousand_chapters_are_marked(tmp_path: Path) -> None:
    part = write_part(tmp_path / "x.flac", 0.01)
    chapters = [SpokenChapter(f"Chapter {number}", [part]) for number in range(1_000)]
    write_m4b(Audiobook(chapters), tmp_path / "x.m4b", ignore)
    with av.open(str(tmp_path / "x.m4b"), "r") as book:
        assert book.chapters()[999]["metadata"] == {"title": "Chapter 999"}


def test_a_full_disk_leaves_the_existing_file(tmp_path: Path) -> None:
    path, part = tmp_path / "x.m4b", write_part(tmp_path / "1.flac", 10.0)
    path.write_bytes(b"former")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(SinkFailed, match="File too large"):
            write_m4b(Audiobook([SpokenChapter("One", [part])]), path, ignore)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"former"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1.flac", "x.m4b"]


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("mjpeg", "yuvj420p"), ("png", "rgba"), ("bmp", "bgr24")]
)
def test_large_covers_are_scaled(codec: str, pix_fmt: str) -> None:
    cover = convert_cover(create_image(codec, pix_fmt, 2_001, 3_001))
    with av.open(io.BytesIO(cover), "r") as image:
        assert image.streams.video[0].codec_context.name == "mjpeg"
        assert image.streams.video[0].height == LARGEST_SIDE


@pytest.mark.parametrize("data", [b"", b"no image", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_covers_that_are_no_images_are_refused(data: bytes) -> None:
    with pytest.raises(BookFailed, match="bad_cover"):
        convert_cover(data)


def test_an_image_of_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duplex_tts.books.cover.MOST_PIXELS", 100)
    with pytest.raises(BookFailed, match="too many pixels: 20 x 20"):
        convert_cover(create_image("png", "rgb24", 20, 20))


@pytest.mark.parametrize(
    ("tag", "code"),
    [("en", "eng"), ("de-AT", "deu"), ("pt_BR", "por"), ("zh", "zho"), ("eng", "eng"), ("", "und")],
)
def test_languages_have_codes_of_three_letters(tag: str, code: str) -> None:
    assert three_letter_code(tag) == code
