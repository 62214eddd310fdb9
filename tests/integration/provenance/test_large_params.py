"""Parameters that earlier versions stored, however large: read within bounds, and nothing else waits meanwhile."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from mesh.context import Caller, RequestContext, use
from mesh.ids import SystemIds
from mesh.rpc.params_truncation import OMITTED
from mesh.rpc.wellknown import json_object
from mesh.stores.postgres import Postgres
from soma.provenance.v1 import provenance_service_pb2 as pb
from svc_provenance.adapters.postgres.provenance import PostgresProvenanceStore
from svc_provenance.app.lineage import Lineage
from svc_provenance.domain.asset_records import MAX_LINEAGE_BYTES, Provenance
from svc_provenance.rpc.convert.summaries import summary_from_proto
from svc_provenance.rpc.provenance_service import ProvenanceServicer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pydantic import JsonValue

    from tests.conftest import Database

IDS = SystemIds()
CALL = RequestContext(Caller("acme", "ann", (), (), "k1", "t"), "r1", "t1")
_INSERT = """
INSERT INTO asset_provenance (asset_id, tenant_id, asset_type, media_type, checksum, created_at, generation_params,
    parent_ids)
VALUES ($1, 'acme', 'diagram', '', '', now(), $2, $3)
"""


class Threads(dict[str, Any]):
    """Parameters that note in which threads they are read."""

    def __init__(self) -> None:
        super().__init__(kind="bar")
        self.seen: set[int] = set()

    def items(self) -> Any:  # noqa: ANN401
        self.seen.add(threading.get_ident())
        return super().items()


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[Postgres]:
    async with Postgres.open(await database("provenance")) as opened:
        yield opened


async def written(postgres: Postgres, params: JsonValue, parents: Sequence[str] = ()) -> str:
    """Store an asset that was made with these parameters."""
    asset_id = IDS.new()
    async with postgres.transaction("acme") as connection:
        await connection.execute(_INSERT, asset_id, params, list(parents))
    return asset_id


async def lineage(postgres: Postgres, asset_id: str) -> pb.Provenance:
    servicer = ProvenanceServicer(Lineage(PostgresProvenanceStore(postgres, summary_from_proto)))
    with use(CALL):
        return await servicer.GetProvenance(pb.GetProvenanceRequest(asset_id=asset_id), cast("Any", None))


async def test_of_large_parameters_of_an_earlier_version_the_size_is_told(postgres: Postgres) -> None:
    asset_id = await written(postgres, {"data": [1] * 50_000})
    read = await lineage(postgres, asset_id)
    assert json_object(read.asset.generation_params) == {OMITTED: {"size_bytes": 150_010}}


async def test_the_nearest_ancestors_of_many_have_their_parameters(postgres: Postgres) -> None:
    params: JsonValue = {"a": "x" * 30_000}
    fits = MAX_LINEAGE_BYTES // 30_010
    older = [await written(postgres, params) for _ in range(fits)]
    parents = [await written(postgres, params, older) for _ in range(3)]
    read = await lineage(postgres, await written(postgres, {"own": True}, parents))
    assert json_object(read.asset.generation_params) == {"own": True}
    whole = [OMITTED not in str(ancestor.generation_params) for ancestor in read.ancestors]
    assert whole == [True] * fits + [False] * 3
    assert [ancestor.asset_id for ancestor in read.ancestors] == parents + older


@pytest.mark.parametrize("call", ["GetProvenance", "ExportProvenance"])
async def test_lineages_are_written_in_a_thread(call: str) -> None:
    params = Threads()
    own = Provenance("a", "diagram", "", "", datetime(2026, 1, 2, tzinfo=UTC), execution_id="e", params=params)

    class OneAsset:
        async def get(self, tenant_id: str, asset_id: str) -> tuple[Provenance, Sequence[Provenance]]:
            return own, []

    servicer = ProvenanceServicer(cast("Any", OneAsset()))
    with use(CALL):
        answer = await getattr(servicer, call)(pb.GetProvenanceRequest(asset_id="a"), None)
    assert "bar" in str(answer)
    assert params.seen
    assert threading.get_ident() not in params.seen
