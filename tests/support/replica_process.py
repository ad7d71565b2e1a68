"""A replica as a process of its own: `python -m tests.support.replica_process ID FOLDER DIRECT`.

Prints "serving host:port" once it serves; learns the others from `FOLDER/replicas.json`. DIRECT: 1
if it offers its own address.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from backend.cluster.replicas import Load, ReplicaReport
from backend.config import Settings
from backend.engines.loader import load_model
from backend.engines.weights import models_folder
from backend.monitoring.logs import configure_logging
from tests.support.cluster import CLUSTER_KEY
from tests.support.live_server import live_replica


class FileReplicas:
    """Reads addresses by id from a file, once it is there."""

    cluster_key = CLUSTER_KEY

    def __init__(self, own_id: str, file: Path, *, offers_direct: bool) -> None:
        self.own_id = own_id
        self.offers_direct = offers_direct
        self._file = file

    def find(self, replica_id: str) -> ReplicaReport | None:
        return next((each for each in self.reports() if each.id == replica_id), None)

    def reports(self) -> list[ReplicaReport]:
        if not self._file.exists():
            return []
        addresses: dict[str, str] = json.loads(self._file.read_text())
        load = Load(first_wait_s=0.0, share=0.0, free_slots=100)
        return [ReplicaReport(id_, f"http://{at}", load) for id_, at in addresses.items()]


async def main(own_id: str, folder: Path, *, direct: bool) -> None:
    config = Settings.model_validate({"engine": {"threads": 1}})
    configure_logging(config.log)
    model = load_model(config, models_folder(config.engine.models))
    replicas = FileReplicas(own_id, folder / "replicas.json", offers_direct=direct)
    async with live_replica(config, model, replicas) as live:
        print(f"serving {live.address}", flush=True)
        await live.serving


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), direct=sys.argv[3] == "1"))
