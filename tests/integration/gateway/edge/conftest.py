"""The edge that its tests share."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from soma_local.engines import EnvoyEngine
from soma_local.envoy_bootstrap import bootstrap
from soma_local.home import Home
from soma_local.pki import EDGE, Pki
from soma_local.ports import free_port
from svc_gateway.adapters.descriptors import Descriptors
from svc_gateway.domain.edge_state import CredentialVerification, EdgeState, EdgeTls, TlsCertificate
from svc_gateway.rpc.xds import SnapshotBuilder, SnapshotCache
from tests.integration.gateway.edge.rig import CONTEXTS, EdgeUnderTest, Signer, control_plane, limits, services, settled
from tests.integration.gateway.edge.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="package")
def edge_home() -> Iterator[Home]:
    folder = Path(tempfile.mkdtemp(prefix="soma-edge-"))
    home = Home(folder)
    home.create()
    yield home
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def pki(edge_home: Home) -> Pki:
    made = Pki(edge_home.pki, SystemClock())
    made.ensure(CONTEXTS)
    return made


@pytest.fixture(scope="package")
async def edge(edge_home: Home, pki: Pki) -> AsyncIterator[EdgeUnderTest]:
    descriptors = Descriptors.read()
    signer = Signer(SystemClock())
    upstream = Upstream()
    async with AsyncExitStack() as stack:
        addresses = await services(stack, pki, upstream)
        pair = pki.pair(EDGE)
        port = free_port()
        state = EdgeState(
            host="127.0.0.1",
            port=port,
            routes=descriptors.route_table(),
            descriptors=descriptors.transcoding_set(),
            upstreams=addresses,
            control=str(addresses["gateway"]),
            tls=EdgeTls(
                TlsCertificate(pair.certificate.read_bytes(), pair.key.read_bytes()), pki.authority.read_bytes()
            ),
            credentials=CredentialVerification("soma", "soma", "test", json.dumps(signer.jwks)),
            limits=limits(),
            access_log=str(edge_home.logs / "access.log"),
        )
        rejected: list[tuple[str, str]] = []
        builder = SnapshotBuilder()
        feed = SnapshotCache()
        feed.publish(builder.build(state))
        xds = await stack.enter_async_context(control_plane(feed, pki, rejected, 0))
        engine = EnvoyEngine(edge_home, lambda admin: bootstrap(admin, [xds], pki.authority, pair))
        await engine.start()
        stack.push_async_callback(engine.stop)
        running = EdgeUnderTest(
            f"https://127.0.0.1:{port}", port, pki.authority, signer, upstream, engine, state, feed, rejected, builder
        )
        await settled(running)
        yield running


@pytest.fixture(autouse=True)
def reset(edge: EdgeUnderTest) -> Iterator[None]:
    edge.upstream.fail = None
    edge.upstream.hold.set()
    edge.upstream.held.clear()
    before = edge.state
    yield
    if edge.state != before:
        edge.state = before
        edge.change()
    assert edge.rejected == []
