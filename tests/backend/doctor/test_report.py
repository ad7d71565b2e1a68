"""The report: readable at 80 columns, says what to do, and holds no secret."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console

from backend.config import Settings
from backend.config_sources import add_flags
from backend.doctor.checks.catalogue import CHECKS
from backend.doctor.findings import CheckInputs, Finding, Status
from backend.doctor.next_steps import steps_to_chatterbox
from backend.doctor.redaction import Redaction, hide_value, secrets_of
from backend.doctor.report import Report, ReportPrinter, Section
from backend.doctor.settings_check import check_settings

PLAIN = Redaction([], None)
LONG = Finding(
    "device",
    Status.WARNING,
    "a text that does not fit into one line of eighty columns, so that it must be continued",
    "a remedy that does not fit into one line either, so that it must be continued, too",
    f"python -m pip install --force-reinstall {'a-package-with-a-long-name ' * 4}".strip(),
)
BAD = Finding("card", Status.ERROR, "gone", "put it back")
GOOD = Finding("torch", Status.OK, "2.13.0", "unused", "unused", {"cuda": "13.0"})


def printed(report: Report, *, colours: bool = False) -> str:
    out = io.StringIO()
    system: Literal["standard"] | None = "standard" if colours else None
    console = Console(file=out, width=80, force_terminal=colours, color_system=system)
    printer = ReportPrinter(report.redaction, console)
    for section in report.sections:
        printer.print_section(section)
    printer.print_verdict(report)
    return out.getvalue()


def report(*findings: Finding, redaction: Redaction = PLAIN) -> Report:
    return Report(redaction, [Section("Card", findings)])


def test_lines_fit_80_columns_except_commands_which_are_whole() -> None:
    text = printed(report(LONG, BAD, GOOD))
    assert f"$ {LONG.command}\n" in text
    assert all(len(line) <= 80 for line in text.splitlines() if "$ " not in line)
    assert " ".join(LONG.text.split()) in " ".join(text.split())


def test_it_is_plain_text_unless_it_goes_to_a_terminal() -> None:
    assert "\x1b" not in printed(report(LONG, BAD, GOOD))
    assert "\x1b[" in printed(report(LONG, BAD, GOOD), colours=True)


def test_control_characters_do_not_reach_the_terminal() -> None:
    sneaky = Finding("a", Status.ERROR, "b\x1b[2Jc\nd", "e\x07f")
    assert not {"\x1b", "\x07"} & set(printed(report(sneaky)))


def test_markup_is_printed_as_it_is() -> None:
    assert "[bold]x[/bold]" in printed(report(Finding("a", Status.OK, "[bold]x[/bold]")))


def test_the_errors_are_repeated_at_the_end_with_what_mends_them() -> None:
    end = printed(report(GOOD, BAD, LONG)).partition("What to do")[2]
    assert "cannot run as the settings ask: 1 to mend, 1 warning" in end
    assert "1. Card, card: gone" in end
    assert "-> put it back" in end


def test_without_errors_the_server_can_be_started() -> None:
    end = printed(report(GOOD, LONG)).partition("What to do")[2]
    assert "can run as the settings ask; 1 warning" in end
    assert end.rstrip().endswith("$ duplex-tts serve")


@pytest.mark.parametrize(
    ("statuses", "can_serve"),
    [
        ((Status.OK, Status.WARNING, Status.ABSENT), True),
        ((Status.OK, Status.ERROR), False),
        ((), True),
    ],
)
def test_only_an_error_keeps_the_server_from_running(
    statuses: tuple[Status, ...], can_serve: bool
) -> None:
    assert report(*(Finding("a", each, "b", "c") for each in statuses)).can_serve is can_serve


def test_the_json_has_every_finding_with_its_figures() -> None:
    data = json.loads(report(GOOD, BAD).to_json())
    assert data["can_serve"] is False
    good, bad = data["findings"]
    assert good["values"] == {"cuda": "13.0"}
    assert (bad["section"], bad["status"], bad["remedy"]) == ("Card", "error", "put it back")


# --- what to do first, with a card ----------------------------------------------------------------

CARD = Finding("card 0", Status.OK, "H100")
NO_TORCH = Finding("torch", Status.ABSENT, "no", "run", "make install-chatterbox")
NO_PACKAGE = Finding("packages", Status.ABSENT, "no", "run", "make install-chatterbox")
NO_TURBO = Finding("chatterbox-turbo", Status.ABSENT, "no", "", "duplex-tts download a")
NO_STANDARD = Finding("chatterbox", Status.ABSENT, "no", "", "duplex-tts download b")
STANDARD = Finding("chatterbox", Status.OK, "complete", values={"ve.safetensors": 1})
TITLES = {check.module: check.title for check in CHECKS}


def steps(card: Finding, torch: Finding, package: Finding, *weights: Finding) -> list[str]:
    modules = ("card", "torch_build", "chatterbox_packages", "weights")
    findings = ([card], [torch], [package], weights)
    titles = (TITLES[module] for module in modules)
    return steps_to_chatterbox(dict(zip(titles, findings, strict=True)))


def test_a_card_without_chatterbox_is_given_the_steps_to_it() -> None:
    commands = ["make install-chatterbox", "duplex-tts download a"]
    assert steps(CARD, NO_TORCH, NO_PACKAGE, NO_TURBO, NO_STANDARD) == commands


def test_a_card_with_weights_of_one_engine_needs_no_others() -> None:
    assert steps(CARD, GOOD, NO_PACKAGE, NO_TURBO, STANDARD) == ["make install-chatterbox"]
    assert steps(CARD, Finding("torch", Status.OK, ""), CARD, STANDARD) == []


def test_without_a_card_nothing_is_recommended() -> None:
    no_card = Finding("card", Status.ABSENT, "none", "buy one")
    assert steps(no_card, NO_TORCH, NO_PACKAGE, NO_TURBO) == []
    assert steps_to_chatterbox({}) == []


# --- secrets --------------------------------------------------------------------------------------


def test_keys_and_tokens_are_hidden_in_text_and_json() -> None:
    settings = Settings.model_validate(
        {"access": {"api_keys": "first-key, second-key", "admin_key": "the-admin"}}
    )
    environ = {"HF_TOKEN": "hf_abcdefgh", "DUPLEX_TTS_KEY": "client-key", "GIT_AUTHOR_NAME": "Anna"}
    redaction = Redaction(secrets_of(settings, environ), None)
    secrets = ("first-key", "second-key", "the-admin", "hf_abcdefgh", "client-key", "dtts_5ecret")
    leaking = report(
        *(
            Finding(each, Status.ERROR, f"a {each}", f"b {each}", f"c {each}", {"d": [each]})
            for each in secrets
        ),
        redaction=redaction,
    )
    for text in (printed(leaking), leaking.to_json()):
        assert not any(secret in text for secret in secrets)
    assert redaction.hide("Anna") == "Anna"


def test_what_is_no_secret_is_not_hidden() -> None:
    environ = {"API_KEYS_FILE": "/etc/duplex/keys", "TOKEN": "short", "MONKEY": "monkeybusiness"}
    assert secrets_of(Settings(), environ) == []


def test_the_home_folder_is_shortened() -> None:
    redaction = Redaction([], Path("/home/anna"))
    assert redaction.hide("/home/anna/x and /home/anna") == "~/x and ~"
    assert redaction.hide("/home/annabel") == "/home/annabel"
    assert Redaction([], Path("/")).hide("/models") == "/models"


@pytest.mark.parametrize(
    "message",
    [
        "unknown setting 'access.api_key' = 'geheim' (environment DUPLEX_TTS_X); did you mean y?",
        "unknown setting 'token' = {'a': 'geheim (x)'} (file duplex-tts.toml); --help lists all",
        "access.api_keys cannot be ['geheim'] (file duplex-tts.toml): it takes text",
    ],
)
def test_a_refused_setting_does_not_show_a_key(message: str) -> None:
    hidden = hide_value(message)
    assert "geheim" not in hidden
    assert "***" in hidden
    assert hidden.endswith(message[-10:])


def test_a_refused_setting_shows_a_harmless_value() -> None:
    message = "server.port cannot be 'x' (flag --port): it takes a whole number from 0 to 65535"
    assert hide_value(message) == message


# --- settings -------------------------------------------------------------------------------------


def examine(
    flags: str, file: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Settings, list[Finding]]:
    monkeypatch.chdir(folder)
    if file is not None:
        Path("duplex-tts.toml").write_text(file, "utf-8")
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return check_settings(parser.parse_args(flags.split()))


def test_settings_in_effect_are_listed_with_their_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUPLEX_TTS_ACCESS__API_KEYS", "a-secret-key")
    settings, findings = examine("--port 9160", "[log]\nlevel='debug'", tmp_path, monkeypatch)
    found = {finding.name: finding for finding in findings}
    assert settings.server.port == 9160
    assert found["server.port"].text == "9160 (flag --port; default 8000)"
    assert found["log.level"].values["source"] == "file duplex-tts.toml"
    assert found["access.api_keys"].text.startswith("*** (environment")
    assert "a-secret-key" not in str(findings)


@pytest.mark.parametrize("file", ["[access]\napi_key = 'geheim'", "[server", "[server]\nport=-1"])
def test_refused_settings_are_an_error_and_the_rest_goes_on_with_defaults(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, (finding,) = examine("", file, tmp_path, monkeypatch)
    assert settings == Settings()
    assert finding.status is Status.ERROR
    assert finding.remedy
    assert "geheim" not in finding.text


def test_inputs_survive_the_way_to_another_process() -> None:
    inputs = CheckInputs(Settings(), engine="hibari", random_weights=True, budget_s=12.0)
    assert CheckInputs.from_json(json.loads(json.dumps(inputs.to_json()))) == inputs
    assert Finding.from_json(json.loads(json.dumps(LONG.to_json()))) == LONG
