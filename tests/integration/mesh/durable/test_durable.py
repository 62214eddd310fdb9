"""Durable work: what travels along, what stays out of the history, what survives an outage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.service import RPCError

from mesh import durable
from mesh.context import Caller, RequestContext, use
from mesh.ids import SystemIds
from mesh.settings import BlobSettings, TemporalSettings
from mesh.stores import blobs
from soma_local.engines import TemporalEngine
from soma_local.ports import free_port
from soma_local.testing.engines import running
from tests.integration.mesh.durable.durable_work import QUEUE, Asking, Carrying, grow, measure, who

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from temporalio.client import Client, WorkflowHistory

    from mesh.stores.blobs import Blobs

_NEW = SystemIds().new
_LARGE = 300_000


@pytest.fixture
async def store() -> AsyncIterator[Blobs]:
    async with blobs.open(BlobSettings(url="memory:///")) as opened:
        yield opened


@pytest.fixture
async def client(temporal_settings: TemporalSettings, store: Blobs) -> AsyncIterator[Client]:
    async with durable.client(temporal_settings, store) as connected:
        yield connected


@pytest.fixture
async def working(client: Client) -> AsyncIterator[None]:
    async with durable.worker(client, QUEUE, [Asking, Carrying], [who, grow, measure]):
        yield


def request() -> RequestContext:
    caller = Caller("tenant-a", "ann", ("author", "reader"), ("s",), "k1", token="very-secret-token")
    return RequestContext(caller, "r1", "t1", traceparent="00-abc-def-01")


async def history_of(client: Client, workflow_id: str) -> WorkflowHistory:
    return await client.get_workflow_handle(workflow_id).fetch_history()


@pytest.mark.usefixtures("working")
async def test_activities_know_for_whom_they_work_also_below_child_workflows(client: Client) -> None:
    with use(request()):
        answers = await client.execute_workflow(Asking.run, 1, id=_NEW(), task_queue=QUEUE)
    assert answers == [["tenant-a", "ann", "author,reader", "", "00-abc-def-01"]] * 4


@pytest.mark.usefixtures("working")
async def test_the_token_is_never_in_the_history(client: Client) -> None:
    id_ = _NEW()
    with use(request()):
        await client.execute_workflow(Asking.run, 0, id=id_, task_queue=QUEUE)
    history = b"".join([event.SerializeToString() for event in (await history_of(client, id_)).events])
    assert b"tenant-a" in history
    assert b"very-secret-token" not in history


@pytest.mark.usefixtures("working")
async def test_large_payloads_stay_out_of_the_history(client: Client, store: Blobs) -> None:
    id_ = _NEW()
    assert await client.execute_workflow(Carrying.run, "x" * _LARGE, id=id_, task_queue=QUEUE) == 2 * _LARGE
    history = await history_of(client, id_)
    assert sum(event.ByteSize() for event in history.events) < 20_000
    assert len([key async for key in store.list("workflows")]) == 2


async def test_a_damaged_payload_is_refused(store: Blobs) -> None:
    codec = durable.ClaimCheck(store)
    [claim] = await codec.encode([Payload(data=b"x" * _LARGE)])
    assert await codec.decode([claim]) == [Payload(data=b"x" * _LARGE)]
    await store.put(claim.data.decode(), b"y")
    with pytest.raises(ValueError, match="damaged"):
        await codec.decode([claim])


async def test_a_small_payload_is_left_alone(store: Blobs) -> None:
    assert await durable.ClaimCheck(store).encode([Payload(data=b"x")]) == [Payload(data=b"x")]


async def test_a_client_and_a_worker_start_while_the_server_is_away_and_work_once_it_is_there(
    tmp_path: Path, store: Blobs
) -> None:
    engine = TemporalEngine(tmp_path, port := free_port())
    async with (
        durable.client(TemporalSettings(address=f"127.0.0.1:{port}"), store) as client,
        durable.worker(client, QUEUE, [Carrying], [grow, measure]),
    ):
        with pytest.raises((RPCError, RuntimeError)):
            await client.execute_workflow(Carrying.run, "x", id=_NEW(), task_queue=QUEUE)
        async with running(engine):
            assert await client.execute_workflow(Carrying.run, "xx", id=_NEW(), task_queue=QUEUE) == 4
