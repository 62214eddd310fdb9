"""Where assets came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import not_found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_provenance.app.ports import Record
    from svc_provenance.domain.asset_records import Provenance


class Lineage:
    """Where assets came from."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def get(self, tenant_id: str, asset_id: str) -> tuple[Provenance, Sequence[Provenance]]:
        """An asset's provenance and that of all it was made from; NOT_FOUND when nothing is known of it."""
        own = await self._record.provenance(tenant_id, asset_id)
        if own is None:
            raise not_found("provenance of asset", asset_id)
        return own, await self._record.ancestors(tenant_id, asset_id)
