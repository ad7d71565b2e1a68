from pathlib import Path

import pytest
import typer

from duplex_tts.cli.subtitle_options import find_subtitle_paths, parse_subtitle_formats


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        (["srt"], ["out/a.b.srt"]),
        (["srt, VTT", "json", "srt"], ["out/a.b.srt", "out/a.b.vtt", "out/a.b.json"]),
        (["subs/x.SRT,vtt"], ["subs/x.SRT", "out/a.b.vtt"]),
        ([], []),
    ],
)
def test_formats_are_written_beside_the_sound(values: list[str], paths: list[str]) -> None:
    assert find_subtitle_paths(values, Path("out/a.b.wav")) == [Path(path) for path in paths]


@pytest.mark.parametrize(
    ("values", "sound", "why"),
    [
        (["srt"], None, "give -o"),
        (["srt"], Path("-"), "give a file name"),
        (["ass"], Path("a.wav"), "expected srt, vtt, json"),
        (["a.txt"], Path("a.wav"), "expected srt, vtt, json"),
    ],
)
def test_what_cannot_be_written_is_refused(values: list[str], sound: Path | None, why: str) -> None:
    with pytest.raises(typer.BadParameter, match=why):
        find_subtitle_paths(values, sound)


def test_standard_output_may_have_a_named_subtitle_file() -> None:
    assert find_subtitle_paths(["a.srt"], Path("-")) == [Path("a.srt")]


def test_a_batch_takes_formats_only() -> None:
    assert parse_subtitle_formats(["srt,.json", "srt"]) == ("srt", "json")
    with pytest.raises(typer.BadParameter, match=r"not 'a\.srt'"):
        parse_subtitle_formats(["a.srt"])
