"""The release workflow: what it builds exists, and what it may do is little."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.repository import ROOT

FILE = ROOT / ".github" / "workflows" / "release.yml"
JOBS: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))["jobs"]
STEPS = [step for job in JOBS.values() for step in job["steps"]]
CONTAINERS = ROOT / "deploy" / "containers"


def test_actions_are_pinned_to_a_commit() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)] == []


def test_nothing_is_published_except_for_a_tag_that_passed_the_tests() -> None:
    for name in ("publish", "release", "add-on"):
        assert JOBS[name]["if"] == "github.ref_type == 'tag'"
    assert {"check", "package"} <= set(JOBS["images"]["needs"])
    assert {"package", "images"} <= set(JOBS["publish"]["needs"])
    pushes = [
        step
        for step in STEPS
        if step.get("with", {}).get("push") or "login-action" in step.get("uses", "")
    ]
    guarded = [step for step in pushes if step.get("if") == "github.ref_type == 'tag'"]
    assert pushes
    assert len(guarded) == len(pushes) - sum(step in JOBS["add-on"]["steps"] for step in pushes)


def test_only_publishing_has_rights_beyond_reading() -> None:
    workflow = yaml.safe_load(FILE.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert rights == {"publish": {"id-token": "write"}, "release": {"contents": "write"}}


@pytest.mark.skipif(not CONTAINERS.exists(), reason="deploy/containers is not in this checkout")
def test_the_images_have_their_dockerfiles() -> None:
    files = [each["dockerfile"] for each in JOBS["images"]["strategy"]["matrix"]["include"]]
    steps = [step.get("with", {}) for step in JOBS["add-on"]["steps"]]
    (context,) = (step["context"] for step in steps if "context" in step)
    files.append(f"{context}/Dockerfile")
    assert [file for file in files if not (ROOT / file).is_file()] == []


def check_version(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / ".github" / "check_version")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_tag_of_another_version_is_not_released(tmp_path: Path) -> None:
    version = check_version(GITHUB_OUTPUT=str(tmp_path / "output")).stdout.strip()
    assert (tmp_path / "output").read_text() == f"version={version}\n"
    right = check_version(GITHUB_REF_TYPE="tag", GITHUB_REF_NAME=f"v{version}")
    assert right.returncode == 0
    wrong = check_version(GITHUB_REF_TYPE="tag", GITHUB_REF_NAME="v9.9.9")
    assert wrong.returncode == 1
    assert "the tag: 9.9.9" in wrong.stderr
    for file in ("clients/js/package.json", "clients/js/package-lock.json", "manifest.ini"):
        assert f"{file}: {version}\n" in wrong.stderr
