"""One Ray for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tests.backend.ray_serve.cluster import Cluster


@pytest.fixture(scope="package")
def ray_cluster() -> Iterator[Cluster]:
    """Ray without an application."""
    pytest.importorskip("ray", reason="make install-cluster")
    from tests.backend.ray_serve.cluster import running_cluster

    with running_cluster() as cluster:
        yield cluster


@pytest_asyncio.fixture
async def cluster(ray_cluster: Cluster) -> AsyncIterator[Cluster]:
    """Two replicas."""
    await ray_cluster.deploy()
    yield ray_cluster
