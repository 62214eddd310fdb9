"""Metrics of uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import telemetry
from mesh.errors import SomaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from svc_assets.app import IngestUseCase
    from svc_assets.domain.model import Asset, UploadMetadata


class MeasuredIngest:
    """Counts the uploads of the use case that it wraps."""

    def __init__(self, ingest: IngestUseCase) -> None:
        self._ingest = ingest
        self._bytes = telemetry.counter("asset_bytes_total", "Bytes stored.")
        self._results = telemetry.counter("asset_ingest_total", "Bodies taken in.", ("result",))
        self._dedupes = telemetry.counter("asset_dedupe_total", "Bodies that were there already.")

    async def store(self, tenant_id: str, subject: str, upload: UploadMetadata, body: AsyncIterator[bytes]) -> Asset:
        """Stores a body, and counts it by result."""
        try:
            asset = await self._ingest.store(tenant_id, subject, upload, body)
        except SomaError as error:
            self._results.labels(error.reason.value).inc()
            raise
        self._results.labels("stored").inc()
        if asset.deduplicated:
            self._dedupes.labels().inc()
        else:
            self._bytes.labels().inc(asset.size_bytes)
        return asset
