"""ProvenanceService: convert, call, convert back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.context import caller
from soma.provenance.v1.provenance_service_pb2_grpc import ProvenanceServiceServicer
from svc_provenance.rpc.convert.lineage import lineage_to_proto, prov_json_to_proto

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.struct_pb2 import Struct

    from soma.provenance.v1 import provenance_service_pb2 as pb
    from svc_provenance.app.lineage import Lineage


class ProvenanceServicer(ProvenanceServiceServicer):
    """Serves the provenance of assets. Converts in threads: hundreds of ancestors may have large parameters."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage

    async def GetProvenance(self, request: pb.GetProvenanceRequest, context: grpc.aio.ServicerContext) -> pb.Provenance:
        """Reads an asset's provenance with its lineage."""
        asset, ancestors = await self._lineage.get(caller().tenant_id, request.asset_id.lower())
        return await asyncio.to_thread(lineage_to_proto, asset, ancestors)

    async def ExportProvenance(self, request: pb.ExportProvenanceRequest, context: grpc.aio.ServicerContext) -> Struct:
        """Exports an asset's lineage as PROV-JSON."""
        asset, ancestors = await self._lineage.get(caller().tenant_id, request.asset_id.lower())
        return await asyncio.to_thread(prov_json_to_proto, asset, ancestors)
