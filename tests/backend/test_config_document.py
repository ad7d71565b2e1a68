"""docs/configuration.md lists the settings as they are."""

from backend.config import FIELDS
from backend.config_document import describe_settings
from tests.support.repository import ROOT


def test_the_document_is_current() -> None:
    document = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert document == describe_settings(), (
        "run: python -m backend.config_document > docs/configuration.md"
    )


def test_every_setting_has_a_row() -> None:
    rows = [line for line in describe_settings().splitlines() if line.startswith("| `")]
    assert len(rows) == len(FIELDS)
