"""Fixtures of the Chatterbox tests; skips them without Chatterbox (`make install-chatterbox`)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

_MISSING = [name for name in ("torch", "chatterbox") if find_spec(name) is None]

_TIMEOUT_S = 600  # per test; none takes 10 s on an idle machine


class _SkippedModule(pytest.Module):
    """A test module that cannot be imported."""

    def collect(self) -> NoReturn:
        reason = f"needs {' and '.join(_MISSING)}: make install-chatterbox"
        pytest.skip(reason, allow_module_level=True)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    """Replace modules that cannot be imported."""
    if not _MISSING:
        return None
    skipped: pytest.Module = _SkippedModule.from_parent(parent, path=module_path)
    return skipped


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow more time: these tests are CPU-bound and many times slower on a busy machine."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker(
            "timeout"
        ):
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    """Tiny layers gain nothing from a second thread; leave the core to other tests."""
    import torch

    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on CUDA: results may differ only by the order of summation."""
    import torch

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunk lengths independent of the machine's load."""
    monkeypatch.setattr("backend.engines.chatterbox.utterance.HURRY_S", 0)


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stand-in graphs on the CPU; the list gets an entry per captured graph."""
    from tests.support.chatterbox.stand_in_graph import use_stand_in_graphs

    return use_stand_in_graphs(monkeypatch)
