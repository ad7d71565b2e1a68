"""The dashboard of a cluster: the sum, each replica, sessions with their replica."""

from __future__ import annotations

import math
import os
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Route, ViewportSize, expect

from backend.cluster.cluster_status import describe_cluster
from tests.backend.cluster.test_cluster_status import create_report, create_status
from tests.browser.test_dashboard import DESKTOP, HURRY, PHONE

pytestmark = pytest.mark.asyncio(loop_scope="package")


class ClusterServer:
    """Answers the dashboard for three replicas. `size`: of them there are."""

    def __init__(self) -> None:
        self.size = 3
        self.asked: list[str] = []
        self._answers = 0

    async def answer(self, route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        chosen = query.get("replica", [""])[0]
        self.asked.append(chosen)
        self._answers += 1
        reports = [self._report(number) for number in range(self.size)]
        picture = describe_cluster(reports)
        known = {report.id: report for report in reports}
        if chosen and chosen not in known:
            await route.fulfill(status=404, json={"detail": "no such replica"})
            return
        summed = {**picture.sum, "sessions": picture.sessions}
        cluster = {"replicas": picture.replicas, "sum": summed}
        own = {**known[chosen or "gpu-1"].status, "replica": chosen or "gpu-1"}
        # Through a proxy each answer is another replica's, whose clock is another.
        time_s = own["time_s"] if chosen else 1000.0 * (self._answers % 3)
        await route.fulfill(json={**own, "time_s": time_s + self._answers, "cluster": cluster})

    def _report(self, number: int) -> Any:
        sessions = [create_session(f"session{number}{n}") for n in range(number + 1)]
        status = create_status((0.08, 0.11 + 0.1 * number), sessions=sessions)
        status["figures"]["connections"] = number + 1
        load = [
            {"first_wait_s": 0.04, "share": 0.31, "free_slots": 44},
            {"first_wait_s": 0.35, "share": 0.72, "free_slots": 9},
            {"first_wait_s": math.inf, "share": 1.04, "free_slots": 0},
        ][number]
        return create_report(f"gpu-{number + 1}", status, **load)


def create_session(id_: str) -> dict[str, Any]:
    counts = {"contexts": 1, "characters": 120, "characters_waiting": 7, "buffered_s": 1.5}
    return {"id": id_, "age_s": 65.0, "detached_s": None, "typing": ["auto"], "gaps": {}, **counts}


async def open_dashboard(page: Page, url: str, size: ViewportSize) -> ClusterServer:
    server = ClusterServer()
    await page.set_viewport_size(size)
    await page.add_init_script(HURRY)
    await page.route("**/v1/status*", server.answer)
    await page.goto(f"{url}/dashboard")
    await expect(page.locator("#link")).to_have_text("Live")
    return server


async def test_the_sum_and_each_replica_are_shown(page: Page, url: str) -> None:
    await open_dashboard(page, url, DESKTOP)  # type: ignore[arg-type]
    await expect(page.locator("#server")).to_contain_text("3 replicas")
    await expect(page.locator("#connections")).to_have_text("6")
    rows = page.locator("#replicas tr")
    await expect(rows).to_have_count(4)
    await expect(rows.locator("th")).to_have_text(["All", "gpu-1", "gpu-2", "gpu-3"])
    full = rows.nth(3).locator("td")
    await expect(full.nth(0)).to_have_text("full")
    await expect(full.nth(1)).to_have_text("104 %")
    await expect(page.locator("#audio")).to_have_text("0.0 s")  # the clocks differ by 1000 s
    replicas = page.locator("#sessions tr td:nth-child(9)")
    await expect(replicas).to_have_text(["gpu-1", *["gpu-2"] * 2, *["gpu-3"] * 3])
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{folder}/cluster-desktop.png", full_page=True)


async def test_a_replica_is_chosen_and_all_again(page: Page, url: str) -> None:
    server = await open_dashboard(page, url, DESKTOP)  # type: ignore[arg-type]
    await page.get_by_role("button", name="Show replica gpu-2").click()
    await expect(page.locator("#connections")).to_have_text("2")
    await expect(page.locator("#server")).to_contain_text("replica gpu-2")
    await expect(page.locator("#sessions tr")).to_have_count(2)
    await expect(page.locator("#replicas tr[aria-current] th")).to_have_text("gpu-2")
    assert server.asked[-1] == "gpu-2"
    await page.get_by_role("button", name="Show all replicas").click()
    await expect(page.locator("#connections")).to_have_text("6")


async def test_when_the_chosen_replica_is_gone_all_are_shown(page: Page, url: str) -> None:
    server = await open_dashboard(page, url, DESKTOP)  # type: ignore[arg-type]
    await page.get_by_role("button", name="Show replica gpu-3").click()
    await expect(page.locator("#connections")).to_have_text("3")
    server.size = 2
    await expect(page.locator("#replicas tr")).to_have_count(3)
    await expect(page.locator("#connections")).to_have_text("3")  # of two replicas: 1 and 2
    await expect(page.locator("#server")).to_contain_text("2 replicas")


async def test_it_fits_a_phone_and_is_accessible(page: Page, url: str) -> None:
    await open_dashboard(page, url, PHONE)  # type: ignore[arg-type]
    await expect(page.locator("#replicas tr")).to_have_count(4)
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{folder}/cluster-phone.png", full_page=True)


async def test_a_server_alone_shows_no_replicas(page: Page, url: str) -> None:
    await page.goto(f"{url}/dashboard")
    await expect(page.locator("#link")).to_have_text("Live")
    await expect(page.locator(".replicas")).to_be_hidden()
    await expect(page.locator("#sessions-table th", has_text="Replica")).to_be_hidden()
