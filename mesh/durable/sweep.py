"""Removes stored payloads of workflows whose histories Temporal no longer keeps."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from mesh.durable.claim_check import FOLDER
from mesh.errors import SomaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from temporalio.client import Client

    from mesh.stores.blobs import BlobInfo

LONGEST_RUN = timedelta(days=2)
"""A workflow that stores payloads has ended so long after it stored them; runs of jobs take one day at most."""
_PAGE = 500
_RPC_TIMEOUT = timedelta(seconds=5)
_DAY = re.compile(rf"{FOLDER}/([0-9]{{8}})/")
_log = logging.getLogger(__name__)


class StoredPayloads(Protocol):
    """What the sweep needs of a blob store."""

    def pages(self, after: str = "", size: int = 500, *, prefix: str = "") -> AsyncIterator[Sequence[BlobInfo]]:
        """All blobs below a prefix, in parts."""

    async def delete(self, key: str) -> None:
        """Remove a blob; nothing happens when there is none."""


async def history_retention(client: Client) -> timedelta:
    """For how long Temporal keeps histories of ended workflows; zero: for ever. Raises RPCError while it is away."""
    request = DescribeNamespaceRequest(namespace=client.namespace)
    answer = await client.workflow_service.describe_namespace(request, timeout=_RPC_TIMEOUT)
    return answer.config.workflow_execution_retention_ttl.ToTimedelta()


class PayloadSweep:
    """Removes what is older than its term, and than any history that may still refer to it.

    Nobody writes into the folder of a day that is over, so nothing that is in use again is removed. A sweep that ends
    early leaves whole payloads to the next one, and several at once do no harm.
    """

    def __init__(self, blobs: StoredPayloads, retention: Callable[[], Awaitable[timedelta]]) -> None:
        self._blobs = blobs
        self._retention = retention

    async def __call__(self, now: datetime, before: datetime) -> int:
        """Remove what was stored earlier than `before`, and give how much; raises when something could not be."""
        retention = await self._retention()
        if not retention:
            return 0
        before = min(before, now - retention - LONGEST_RUN)
        removed, failure = 0, None
        async for page in self._blobs.pages(size=_PAGE, prefix=FOLDER):
            for entry in page:
                if not _is_older(entry, before):
                    continue
                try:
                    await self._blobs.delete(entry.key)
                    removed += 1
                except SomaError as error:
                    failure = error
        _log.info("%d stored payloads of ended workflows were removed", removed)
        if failure is not None:
            raise failure
        return removed


def _is_older(entry: BlobInfo, before: datetime) -> bool:
    """Whether a payload was stored earlier. Releases before this one had no folders of days."""
    day = _DAY.match(entry.key)
    if day is not None and datetime.strptime(day[1], "%Y%m%d").replace(tzinfo=UTC).date() >= before.date():
        return False
    return entry.modified < before
