"""Ends a session that another replica holds."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import httpx
import structlog

from backend.cluster.replicas import ReplicaReport, Replicas

log = structlog.get_logger(__name__)

_TIMEOUT_S = 3.0  # of a replica's answer


async def end_elsewhere(
    replicas: Replicas, session_id: str, holder: ReplicaReport | None
) -> str | None:
    """Have the replica that holds a session end it; `holder`: if it is known, else all are asked.
    Answers within `_TIMEOUT_S` and a little.

    Returns None if it has been ended, "" if there is none, else why that is not known.
    """
    others = [report for report in replicas.reports() if report.id != replicas.own_id]
    asked = others if holder is None else [holder]
    headers = {"authorization": f"Bearer {replicas.cluster_key}"}
    async with httpx.AsyncClient(headers=headers, timeout=_TIMEOUT_S, trust_env=False) as client:
        answers = await asyncio.gather(*(_ask(client, each, session_id) for each in asked))
    if 204 in answers:
        return None
    silent = [report.id for report, answer in zip(asked, answers, strict=True) if answer != 404]
    if not silent:
        return ""
    if holder is not None:
        return f"its replica, {holder.id}, does not answer; try again in a moment"
    return (
        f"no replica that answers has such a session; {len(silent)} did not answer "
        f"({', '.join(silent)[:200]}): try again in a moment"
    )


async def _ask(client: httpx.AsyncClient, report: ReplicaReport, session_id: str) -> int | None:
    """The status of the answer; None without."""
    url = f"{report.url.rstrip('/')}/v1/sessions/{quote(session_id, safe='')}"
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return (await client.delete(url)).status_code
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        log.warning("replica.silent", replica=report.id, why=repr(error)[:200])
        return None
