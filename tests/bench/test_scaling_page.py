"""Every computed figure of docs/scaling.md is computed anew."""

from __future__ import annotations

import pytest

from bench.plan.scaling_page import BLOCKS, PAGE, read_block, write_block


@pytest.mark.parametrize("name", ["arithmetic", "bandwidth"])
def test_figures_follow_from_the_settings(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert read_block(name, page) == BLOCKS[name](), "run: python -m bench.plan.scaling_page"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["capacity", "accuracy", "routing", "scaling"])
def test_figures_follow_from_the_results_of_the_benchmark(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert read_block(name, page) == BLOCKS[name](), "run: python -m bench.plan.scaling_page"


def test_a_block_is_replaced_and_nothing_else() -> None:
    page = "before\n<!-- one -->\nold\n<!-- end -->\nbetween\n<!-- two -->\n<!-- end -->\n"
    written = write_block("one", page, "new")
    assert read_block("one", written) == "new"
    assert read_block("two", written) == ""
    assert written.startswith("before\n")
    assert "between" in written
