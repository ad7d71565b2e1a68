"""The card: none, without a driver, with one that fails, is old, or hangs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.doctor.checks import card
from backend.doctor.findings import CheckInputs, Status
from tests.support.doctor_findings import by_name, inputs_for

H100 = "NVIDIA H100 80GB HBM3, 580.95.05, 81559, 80000, 9.0, 3"
TURBO = inputs_for(engine={"name": "chatterbox-turbo"})
ON_CUDA = inputs_for(engine={"name": "chatterbox"}, chatterbox={"device": "cuda"})

Program = Callable[[str], None]
HAS_CARD = card.has_nvidia_card  # which the fixture replaces


@pytest.fixture(autouse=True)
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Write the shell script that stands for nvidia-smi; until then there is none."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(card, "has_nvidia_card", lambda: False)
    monkeypatch.setattr(card, "cuda_of_torch", lambda: 13)

    def write(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return write


def rows(*lines: str) -> str:
    return "\n".join(f"echo '{line}'" for line in lines)


def test_a_working_card_is_described(nvidia_smi: Program) -> None:
    nvidia_smi(rows(H100))
    found = by_name(card.run(TURBO))
    assert {finding.status for finding in found.values()} == {Status.OK}
    assert found["driver"].text == "580.95.05; torch for CUDA 13 needs 580 or newer"
    assert "H100" in found["card 0"].text
    assert "78.1 of 79.6 GiB free" in found["card 0"].text
    assert found["card 0"].values["compute_cap"] == "9.0"


def test_every_card_and_the_selection_are_named(
    nvidia_smi: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    nvidia_smi(rows(H100, H100))
    found = by_name(card.run(TURBO))
    assert {"card 0", "card 1"} < set(found)
    assert found["selection"].text == "CUDA_VISIBLE_DEVICES=1"


@pytest.mark.parametrize(
    ("inputs", "status"),
    [
        (CheckInputs(), Status.ABSENT),
        (inputs_for(engine={"name": "hibari"}), Status.ABSENT),
        (inputs_for(engine={"name": "chatterbox"}, chatterbox={"device": "cpu"}), Status.ABSENT),
        (TURBO, Status.WARNING),
        (ON_CUDA, Status.ERROR),
    ],
)
def test_a_missing_card_is_as_bad_as_the_settings_make_it(
    inputs: CheckInputs, status: Status
) -> None:
    assert by_name(card.run(inputs))["card"].status is status


def test_a_card_without_a_driver_is_told_from_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "has_nvidia_card", lambda: True)
    finding = by_name(card.run(CheckInputs()))["card"]
    assert finding.status is Status.WARNING
    assert "driver is not installed" in finding.text
    assert "580 or newer" in finding.remedy


@pytest.mark.parametrize(
    ("script", "text", "remedy"),
    [
        (
            "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18",
            "version mismatch",
            "restart the machine",
        ),
        ("echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2", "", "too old"),
        ("exit 3", "no output", "restart"),
        ("echo 'No devices were found'", "No devices were found", "restart"),
    ],
)
def test_a_failing_driver_is_quoted_with_what_to_do(
    nvidia_smi: Program, script: str, text: str, remedy: str
) -> None:
    nvidia_smi(script)
    finding = by_name(card.run(ON_CUDA))["driver"]
    assert finding.status is Status.ERROR
    assert text in finding.text
    assert remedy in finding.remedy


def test_a_driver_that_does_not_answer_is_given_up(
    nvidia_smi: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "_LIMIT_S", 0.2)
    nvidia_smi("exec sleep 600")
    finding = by_name(card.run(CheckInputs()))["driver"]
    assert finding.status is Status.WARNING
    assert "no answer" in finding.text


@pytest.mark.parametrize(
    ("driver", "cuda", "status"),
    [
        ("580.65.06", 13, Status.OK),
        ("570.86.10", 13, Status.ERROR),
        ("570.86.10", 12, Status.OK),
        ("510.47.03", 12, Status.ERROR),
        ("570.86.10", None, Status.ERROR),  # the torch that would be installed
        ("[N/A]", 13, Status.OK),
    ],
)
def test_the_driver_is_compared_with_what_torch_needs(
    nvidia_smi: Program,
    monkeypatch: pytest.MonkeyPatch,
    driver: str,
    cuda: int | None,
    status: Status,
) -> None:
    monkeypatch.setattr(card, "cuda_of_torch", lambda: cuda)
    nvidia_smi(rows(H100.replace("580.95.05", driver)))
    assert by_name(card.run(ON_CUDA))["driver"].status is status


@pytest.mark.parametrize(
    ("row", "status", "remedy"),
    [
        ("GTX 1080, 580.1, 8192, 8000, 6.1, 0", Status.WARNING, "Turing"),
        ("RTX 2080, 580.1, 8192, 8000, 7.5, 0", Status.WARNING, "Ampere"),
        ("RTX 4090, 580.1, 24564, 900, 8.9, 99", Status.WARNING, "memory"),
        ("GB10, 580.1, [N/A], [N/A], 12.1, [N/A]", Status.OK, ""),
    ],
)
def test_a_card_that_is_old_or_full_is_warned_of(
    nvidia_smi: Program, row: str, status: Status, remedy: str
) -> None:
    nvidia_smi(rows(row))
    finding = by_name(card.run(TURBO))["card 0"]
    assert finding.status is status
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("line", "cuda"),
    [
        ("cuda: Optional[str] = '13.0'", 13),
        ("cuda = '12.8'", 12),
        ("cuda: Optional[str] = None", None),
        ("hip: Optional[str] = '6.0'", None),
    ],
)
def test_torchs_cuda_is_read_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, cuda: int | None
) -> None:
    monkeypatch.undo()
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "version.py").write_text(f"__version__ = '2.13.0'\n{line}\n")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert card.cuda_of_torch() == cuda


@pytest.mark.parametrize(
    ("vendor", "kind", "found"),
    [("0x10de", "0x030000", True), ("0x10de", "0x040300", False), ("0x1002", "0x030000", False)],
)
def test_a_card_is_found_on_the_bus(tmp_path: Path, vendor: str, kind: str, found: bool) -> None:
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")
    (tmp_path / "0000:02:00.0").mkdir()  # one that cannot be read
    assert HAS_CARD(tmp_path) is found
