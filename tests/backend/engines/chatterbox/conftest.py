"""These tests need Chatterbox (`make install-chatterbox`); without it they are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

_MISSING = [name for name in ("torch", "chatterbox") if find_spec(name) is None]

_LIMIT_S = 600  # of a test; none takes 10 s on an idle machine


class _Skipped(pytest.Module):
    """A module that cannot be imported here."""

    def collect(self) -> NoReturn:
        why = f"needs {' and '.join(_MISSING)}: make install-chatterbox"
        pytest.skip(why, allow_module_level=True)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    """Do not import what cannot be."""
    if not _MISSING:
        return None
    skipped: pytest.Module = _Skipped.from_parent(parent, path=module_path)
    return skipped


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They compute: on a machine that does other things too, many times as long as alone."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker(
            "timeout"
        ):
            item.add_marker(pytest.mark.timeout(_LIMIT_S))


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    """Tiny layers gain nothing from a second thread, and other tests want the core."""
    import torch

    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a card, too: what is compared differs by the order of sums alone."""
    import torch

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(autouse=True)
def _nobody_hurries(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much of an utterance a chunk holds must not depend on how busy this machine is."""
    monkeypatch.setattr("backend.engines.chatterbox.utterance.HURRY_S", 0)


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Graphs without a card (`stand_in_graph`); an entry for each that is captured."""
    from tests.support.chatterbox.stand_in_graph import stand_in

    return stand_in(monkeypatch)
