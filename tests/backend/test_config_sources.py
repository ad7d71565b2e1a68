"""Settings: defaults, sources in rising priority, and refused values."""

from __future__ import annotations

import argparse
import codecs
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from backend import config_sources
from backend.config import FIELDS, Settings
from backend.config_sources import LoadedSettings, add_flags, load_settings
from backend.errors import ConfigError

Load = Callable[..., LoadedSettings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load from a file's text, an environment and flags, in a temporary directory."""
    monkeypatch.chdir(tmp_path)

    def loaded(
        file: str | None = None, environ: Mapping[str, str] | None = None, flags: str = ""
    ) -> LoadedSettings:
        if file is not None:
            Path("duplex-tts.toml").write_text(file, "utf-8")
        parser = argparse.ArgumentParser()
        add_flags(parser)
        return load_settings(parser.parse_args(flags.split()), environ or {})

    return loaded


def message(load: Load, **sources: object) -> str:
    """The one-line message of the `ConfigError`."""
    with pytest.raises(ConfigError) as refused:
        load(**sources)
    assert "\n" not in refused.value.message
    return refused.value.message


def test_defaults_match_the_design() -> None:
    settings = Settings()
    assert settings.bidirectional_streaming.model_dump() == {
        "enabled": True,
        "max_concurrent_tasks": 10,
        "task_timeout": 30,
        "immediate_send": True,
        "queue_size": 100,
    }
    latency = settings.latency_optimization
    assert latency.min_text_length == 5
    assert latency.chunk_size == 25
    assert latency.preemptive_generation is True
    assert latency.streaming_threshold == 0.1
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert settings.log.level == "info"


def test_without_sources_all_settings_are_default(load: Load) -> None:
    loaded = load()
    assert loaded.settings == Settings()
    assert loaded.sources == dict.fromkeys(FIELDS, "default")


def test_flags_override_environment_overrides_file_overrides_defaults(
    load: Load,
) -> None:
    file = "[server]\nport = 1\nmax_connections = 1\ndrain_timeout = 1"
    environ = {"DUPLEX_TTS_SERVER__PORT": "2", "DUPLEX_TTS_SERVER__MAX_CONNECTIONS": "2"}
    loaded = load(file, environ, "--port 3")
    server = loaded.settings.server
    assert (server.port, server.max_connections, server.drain_timeout) == (3, 2, 1)
    assert server.max_text_length == 20_000
    sources = {key: loaded.sources[f"server.{key}"] for key in type(server).model_fields}
    assert {key: source for key, source in sources.items() if source != "default"} == {
        "port": "flag --port",
        "max_connections": "environment DUPLEX_TTS_SERVER__MAX_CONNECTIONS",
        "drain_timeout": "file duplex-tts.toml",
    }


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        ("--host ::1", "server.host", "::1"),
        ("--port 0", "server.port", 0),
        ("--engine hibari", "engine.name", "hibari"),
        ("--voice nova", "engine.voice", "nova"),
        ("--log-level debug", "log.level", "debug"),
        ("--set log.format=json", "log.format", "json"),
        ("--set engine.voice=a=b", "engine.voice", "a=b"),
        ("--set bidirectional_streaming.enabled=false", "bidirectional_streaming.enabled", False),
    ],
)
def test_each_flag_sets_its_key(load: Load, flags: str, key: str, value: object) -> None:
    loaded = load(flags=flags)
    assert loaded.get_value(key) == value
    assert loaded.sources[key] == f"flag {flags.split()[0]}"
    assert sum(source != "default" for source in loaded.sources.values()) == 1


def test_the_last_flag_wins(load: Load) -> None:
    assert load(flags="--port 1 --set server.port=2").settings.server.port == 2
    assert load(flags="--set server.port=2 --port 1").settings.server.port == 1
    assert load().settings.server.port == 8000  # not kept for the next command line


_OTHER_CHOICES = {
    "chatterbox.device": "cpu",
    "latency_optimization.typing": "word",
    "cluster.direct": "never",
    "wyoming.announce": "never",
}


def test_every_key_can_be_set_from_every_source(load: Load) -> None:
    other: dict[object, str] = {"auto": "hibari", "info": "error", "console": "json"}
    other |= {True: "false", False: "true"}
    for key, field in FIELDS.items():
        section, name = key.split(".")
        default = field.default
        text = other.get(default, "") if isinstance(default, bool | str) else str(default + 1)
        text = _OTHER_CHOICES.get(key, text)
        text = text or "other"
        toml = text if not isinstance(default, str) else json.dumps(text)
        from_file = load(f"[{section}]\n{name} = {toml}")
        Path("duplex-tts.toml").unlink()
        variable = f"DUPLEX_TTS_{section}__{name}".upper()
        from_environment = load(environ={variable: text})
        from_flag = load(flags=f"--set {key}={text}")
        assert from_file.settings == from_environment.settings == from_flag.settings, key
        assert from_file.get_value(key) != default, key


def test_config_flag_names_a_file_that_must_exist(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[server]\nport = 5")
    assert load("[server]\nport = 4", flags="--config mine.toml").settings.server.port == 5
    error = message(load, flags="--config gone.toml")
    assert "gone.toml" in error
    assert "No such file" in error


def test_a_file_that_is_not_toml_is_refused_with_its_line_and_column(load: Load) -> None:
    error = message(load, file="[server]\nport = = 8")
    assert "duplex-tts.toml" in error
    assert "line 2, column 8" in error


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_file_with_a_byte_order_mark_is_read(load: Load, line_end: str) -> None:
    text = line_end.join(["[server]", "port = 4"])
    Path("duplex-tts.toml").write_bytes(codecs.BOM_UTF8 + text.encode())
    assert load().settings.server.port == 4


def test_a_utf16_file_is_refused_with_the_remedy(load: Load) -> None:
    Path("duplex-tts.toml").write_bytes("[server]\nport = 4".encode("utf-16"))
    assert "save it as UTF-8" in message(load)


def test_client_environment_variables_are_ignored(load: Load) -> None:
    load(environ={"DUPLEX_TTS_URL": "host:1", "DUPLEX_TTS_KEY": "secret"})


def test_a_file_that_is_not_text_is_refused(load: Load) -> None:
    Path("duplex-tts.toml").write_bytes(b"\xff\xfe")
    assert "duplex-tts.toml" in message(load)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("[server]\nprot = 8", ["'server.prot' = 8", "mean server.port?"]),
        ("[servr]\nport = 8", ["'servr.port'", "mean server.port?"]),
        ("[servr]", ["'servr'"]),
        ("port = 8", ["'port' = 8", "mean server.port?"]),
        ("server = 8", ["'server' = 8"]),
        ("queue_sise = 8", ["mean bidirectional_streaming.queue_size?"]),
        ("[a.b.c]\nd = 1", ["'a.b'"]),
        ("[latency]\nzzz = 1", ["'latency.zzz'", "--help"]),
    ],
)
def test_an_unknown_key_in_the_file_is_refused_with_a_suggestion(
    load: Load, file: str, expected: list[str]
) -> None:
    line = message(load, file=file)
    assert all(part in line for part in ["unknown setting", "file duplex-tts.toml", *expected])


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("DUPLEX_TTS_SERVER__PROT", "DUPLEX_TTS_SERVER__PORT"),
        ("DUPLEX_TTS_SERVER_PORT", "DUPLEX_TTS_SERVER__PORT"),
        ("DUPLEX_TTS_PORT", "DUPLEX_TTS_SERVER__PORT"),
        ("DUPLEX_TTS_QUEUE_SIZE", "DUPLEX_TTS_BIDIRECTIONAL_STREAMING__QUEUE_SIZE"),
    ],
)
def test_an_unknown_variable_is_refused_with_a_suggestion(
    load: Load, name: str, nearest: str
) -> None:
    line = message(load, environ={name: "8"})
    assert f"environment {name})" in line
    assert f"did you mean {nearest}?" in line


def test_an_unknown_flag_key_is_refused_with_a_suggestion(load: Load) -> None:
    line = message(load, flags="--set engine.sped=1")
    assert "'engine.sped' = '1' (flag --set); did you mean engine.speed?" in line


def test_variables_without_the_prefix_are_ignored(load: Load) -> None:
    environ = {"DUPLEX_TTS_URL": "ws://elsewhere", "PORT": "1", "SERVER__PORT": "1"}
    assert load(environ=environ).settings == Settings()


OUT_OF_RANGE = [
    ("server.port", "65536", "a whole number from 0 to 65535"),
    ("server.port", "8000.5", "a whole number from 0 to 65535"),
    ("server.max_connections", "0", "a whole number, 1 or more"),
    ("engine.speed", "2.5", "a number from 0.5 to 2.0"),
    ("engine.speed", "nan", "a number from 0.5 to 2.0"),
    ("bidirectional_streaming.task_timeout", "0", "a number above 0"),
    ("bidirectional_streaming.task_timeout", "inf", "a number above 0"),
    ("bidirectional_streaming.queue_size", "-1", "a whole number, 1 or more"),
    ("bidirectional_streaming.enabled", '"maybe"', "true or false"),
    ("latency_optimization.streaming_threshold", "0", "a number, 0.01 or more"),
    ("latency_optimization.chunk_size", '"many"', "a whole number, 1 or more"),
    (
        "engine.name",
        '"espeak"',
        "one of auto, hibari, piper, chatterbox, chatterbox-turbo, chatterbox-multilingual, "
        "chatterbox-nano",
    ),
    ("chatterbox.device", '"tpu"', "one of auto, cpu, cuda"),
    ("chatterbox.slots", "0", "a whole number from 1 to 256"),
    ("log.level", '"loud"', "one of debug, info, warning, error"),
]


@pytest.mark.parametrize(("key", "value", "allowed"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_in_any_source(
    load: Load, key: str, value: str, allowed: str
) -> None:
    text = value.strip('"')
    section, name = key.split(".")
    variable = f"DUPLEX_TTS_{section}__{name}".upper()
    for source, given in (
        ("flag --set", {"flags": f"--set {key}={text}"}),
        (f"environment {variable}", {"environ": {variable: text}}),
        ("file duplex-tts.toml", {"file": f"[{section}]\n{name} = {value}"}),
    ):
        line = message(load, **given)
        assert line.startswith(f"{key} cannot be ")
        assert line.endswith(f"({source}): it takes {allowed}")
        assert text in line


def test_file_values_must_have_the_right_type(load: Load) -> None:
    for file in ('[server]\nport = "8000"', "[server]\nport = true", "[engine]\nvoice = 7"):
        assert "cannot be" in message(load, file=file)
    assert load("[engine]\nspeed = 1").settings.engine.speed == 1.0


def test_an_invalid_value_is_refused_even_if_overridden(load: Load) -> None:
    line = message(load, file="[server]\nport = -1", flags="--port 8")
    assert "file duplex-tts.toml" in line


def test_an_error_about_a_value_with_a_line_break_is_one_line(load: Load) -> None:
    assert "'a\\nb'" in message(load, environ={"DUPLEX_TTS_SERVER__PORT": "a\nb"})


def test_settings_are_immutable(load: Load) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().settings.server.port = 1


def test_every_setting_has_a_description_shown_in_the_help() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    shown = re.sub(r"\s+", " ", parser.format_help())
    for key, field in FIELDS.items():
        assert field.description, key
        assert field.description in shown
        assert f"{key} = " in shown


def test_the_command_prints_each_value_with_its_source(
    load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load("[log]\nformat = 'json'")
    monkeypatch.setenv("DUPLEX_TTS_ENGINE__SPEED", "1.5")
    config_sources.main(["--port", "9"])
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    shown = {row[0]: [cell.strip() for cell in row[1:]] for row in reversed(rows)}
    assert len(rows) == 1 + len(FIELDS) + len(Settings.model_fields)
    assert shown["port"] == ["9", "flag --port"]
    assert shown["speed"] == ["1.5", "environment DUPLEX_TTS_ENGINE__SPEED"]
    assert shown["format"] == ["json", "file duplex-tts.toml"]
    assert shown["enabled"] == ["true", "default"]


def test_the_command_prints_json(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    load()
    config_sources.main(["--json", "--set", "latency_optimization.lookahead=3"])
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == list(FIELDS)
    assert shown["latency_optimization.lookahead"] == {
        "value": 3,
        "source": "flag --set",
        "default": 2,
        "allowed": "a whole number from 0 to 10",
        "description": FIELDS["latency_optimization.lookahead"].description,
    }


def test_the_command_fails_with_one_line(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    load()
    with pytest.raises(SystemExit) as stopped:
        config_sources.main(["--port", "x"])
    assert str(stopped.value) == (
        "duplex-tts: server.port cannot be 'x' (flag --port): "
        "it takes a whole number from 0 to 65535"
    )
    with pytest.raises(SystemExit):
        config_sources.main(["--set", "server.port"])
    assert "'server.port' is not KEY=VALUE" in capsys.readouterr().err
