"""Health probes: of contexts, and of the dependencies that contexts report on."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from mesh.dependencies import health_name
from mesh.errors import SomaError
from mesh.rpc.client import connect
from mesh.testing.server import PLAINTEXT, served
from soma_local.ports import free_port
from svc_gateway.adapters.health_probes import dependency_probe, grpc_probe, no_address_probe, shared_dependency_probe
from svc_gateway.domain.degradation import UnknownHealthError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from mesh.testing.server import RunningServer


@pytest.fixture
async def assets() -> AsyncIterator[RunningServer]:
    async with served([]) as server:
        yield server


@pytest.fixture
async def executor() -> AsyncIterator[RunningServer]:
    async with served([]) as server:
        yield server


@pytest.fixture
async def nobody() -> AsyncIterator[grpc.aio.Channel]:
    """A channel to where nobody listens."""
    async with connect(f"127.0.0.1:{free_port()}", PLAINTEXT, service_config="{}") as channel:
        yield channel


@asynccontextmanager
async def lost(reason: str) -> AsyncIterator[None]:
    """Expect to hear of a loss."""
    with pytest.raises(SomaError) as told:
        yield
    assert told.value.message == reason


async def test_what_is_well_is_well(assets: RunningServer) -> None:
    await assets.server.health.set(health_name("blobs"), True)
    await dependency_probe("assets", assets.channel, "blobs")()


async def test_what_is_lost_comes_with_the_reason_that_the_context_gives(assets: RunningServer) -> None:
    await assets.server.health.set(health_name("blobs"), False, "cannot be written")
    async with lost("cannot be written"):
        await dependency_probe("assets", assets.channel, "blobs")()


async def test_what_the_context_has_not_judged_is_not_told(assets: RunningServer) -> None:
    with pytest.raises(UnknownHealthError, match="svc_assets has not reported it yet"):
        await dependency_probe("assets", assets.channel, "blobs")()


async def test_what_a_context_would_know_that_is_away_is_not_told(nobody: grpc.aio.Channel) -> None:
    with pytest.raises(UnknownHealthError, match="svc_assets cannot be reached"):
        await dependency_probe("assets", nobody, "blobs")()


async def test_what_every_context_has_is_well_when_it_is_everywhere(
    assets: RunningServer, executor: RunningServer
) -> None:
    for each in (assets, executor):
        await each.server.health.set(health_name("outbox"), True)
    await shared_dependency_probe({"assets": assets.channel, "executor": executor.channel}, "outbox")()


async def test_what_every_context_has_is_lost_where_one_says_so(
    assets: RunningServer, executor: RunningServer, nobody: grpc.aio.Channel
) -> None:
    await assets.server.health.set(health_name("outbox"), True)
    await executor.server.health.set(health_name("outbox"), False, "the oldest event waits for 40 s to be sent")
    everywhere = {"assets": assets.channel, "critic": nobody, "executor": executor.channel}
    async with lost("executor: the oldest event waits for 40 s to be sent"):
        await shared_dependency_probe(everywhere, "outbox")()


async def test_what_one_context_does_not_tell_is_not_well(assets: RunningServer, nobody: grpc.aio.Channel) -> None:
    await assets.server.health.set(health_name("outbox"), True)
    with pytest.raises(UnknownHealthError, match="svc_critic cannot be reached"):
        await shared_dependency_probe({"assets": assets.channel, "critic": nobody}, "outbox")()


async def test_a_context_tells_its_version() -> None:
    async with served([], version="1.2.3") as server:
        answer = await grpc_probe(server.channel)()
    assert answer is not None
    assert answer.version == "1.2.3"


async def test_a_context_without_an_address_is_lost_and_its_variable_is_named() -> None:
    async with lost("has no address, so that calls to it are refused: set SA01_PEERS_CRITIC=host:port"):
        await no_address_probe("critic")()
