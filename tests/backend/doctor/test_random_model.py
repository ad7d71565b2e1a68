"""Random weights: where they come from, and that the engine speaks with them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from backend.doctor.checks import self_test
from backend.doctor.findings import CheckInputs, Status
from backend.doctor.random_model import load_random_model
from backend.errors import ConfigError
from tests.support.doctor_findings import by_name, inputs_for

BENCH = "bench.chatterbox.random_weights"
SETTINGS: dict[str, dict[str, object]] = {
    "engine": {"name": "chatterbox-turbo"},
    "chatterbox": {"watermark": False},
}


def random_inputs(**sections: dict[str, object]) -> CheckInputs:
    return CheckInputs(inputs_for(**sections).settings, random_weights=True)


def test_the_embedded_engine_has_none() -> None:
    with pytest.raises(ConfigError, match="name one with --engine"):
        load_random_model(CheckInputs().settings, Path("none"))


@pytest.mark.parametrize(
    ("missing", "says"), [("bench", "part of a checkout"), ("torch", "make install-chatterbox")]
)
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, missing: str, says: str) -> None:
    def fail(_: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(importlib, "import_module", fail)
    finding = by_name(self_test.run(random_inputs(**SETTINGS)))["engine"]
    assert finding.status is Status.ERROR
    assert says in f"{finding.text}; {finding.remedy}"


@pytest.mark.timeout(600)
def test_chatterbox_speaks_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("chatterbox")
    from tests.support.chatterbox.tiny import tiny

    stand_in = ModuleType(BENCH)
    vars(stand_in).update(
        ENGINES=("chatterbox-turbo",), random_upstream=lambda *_: tiny(turbo=True)
    )
    monkeypatch.setitem(sys.modules, BENCH, stand_in)
    found = by_name(self_test.run(random_inputs(**SETTINGS)))
    assert found["engine"].text.startswith("chatterbox-turbo: random weights")
    assert found["sound"].status is Status.OK
    assert "first sound" in found["speed"].text
