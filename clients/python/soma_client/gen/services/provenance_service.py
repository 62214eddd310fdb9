"""The record of assets."""

# Generated from protos/soma/provenance/v1/provenance_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
from soma_client.gen.google.protobuf import Struct
from soma_client.gen.soma.provenance import v1 as provenance_v1


class ProvenanceServiceMethods:
    """The record of assets."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self, asset_id: str, *, timeout: float | None = None) -> provenance_v1.Provenance:
        """Reads the provenance of an asset with its whole lineage.

        Args:
            asset_id: Id of the asset. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.GetProvenanceRequest(asset_id=asset_id)
        return await self._caller.unary(
            "/soma.provenance.v1.ProvenanceService/GetProvenance", request, provenance_v1.Provenance, timeout
        )

    async def export(self, asset_id: str, *, timeout: float | None = None) -> Struct:
        """Writes the lineage of an asset as a W3C PROV-JSON document: entities, activities, agents and how
        they relate.

        Args:
            asset_id: Id of the asset. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.ExportProvenanceRequest(asset_id=asset_id)
        return await self._caller.unary(
            "/soma.provenance.v1.ProvenanceService/ExportProvenance", request, Struct, timeout
        )
