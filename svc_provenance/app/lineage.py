"""Reads lineages of assets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import not_found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_provenance.app.ports import ProvenanceStore
    from svc_provenance.domain.asset_records import Provenance


class Lineage:
    """Reads what assets were made from."""

    def __init__(self, store: ProvenanceStore) -> None:
        self._store = store

    async def get(self, tenant_id: str, asset_id: str) -> tuple[Provenance, Sequence[Provenance]]:
        """Returns an asset's provenance and that of all it was made from; NOT_FOUND for an unknown asset."""
        asset = await self._store.provenance(tenant_id, asset_id)
        if asset is None:
            raise not_found("provenance of asset", asset_id)
        return asset, await self._store.ancestors(tenant_id, asset_id)
