"""When the edge's configuration is built, and what is in it."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from mesh.lifecycle import background
from mesh.testing import FakeClock, SlowWorkClock
from mesh.testing.contract import eventually
from svc_gateway.app.edge_reconciler import BUILD_DELAY_S, PAUSE_FACTOR, PAUSE_S, EdgeReconciler
from svc_gateway.domain.edge_state import CredentialVerification, EdgeState, EdgeTls, Limits, TlsCertificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from svc_gateway.domain.routes import RouteTable

EDGE_TLS = EdgeTls(TlsCertificate(b"chain", b"key"))
STATE = EdgeState(
    host="127.0.0.1",
    port=8010,
    routes=cast("RouteTable", None),
    descriptors=b"",
    upstreams={},
    control="127.0.0.1:9001",
    tls=EDGE_TLS,
    credentials=CredentialVerification("soma", "soma", "test", "keys"),
    limits=Limits(100, 10, 5, 1_000, 2_000, 30, 60),
)


class Edge:
    """An edge, with what was published to it."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._revoked: frozenset[str] = frozenset()
        self.keys = "keys"
        self.unreadable: Exception | None = None
        self.failures = 0
        self.threads: set[int] = set()
        self.published: list[EdgeState] = []
        self.reconciler = EdgeReconciler(
            STATE, self, lambda: self._revoked, build=self._build, publish=self.published.append, clock=clock
        )

    def tls(self) -> EdgeTls:
        return EDGE_TLS

    def jwks(self) -> str:
        if self.unreadable is not None:
            raise self.unreadable
        return self.keys

    def revoke(self, key_id: str) -> None:
        self._revoked |= {key_id}
        self.reconciler.wake()

    def revoked(self) -> list[set[str]]:
        """The revoked keys of each state that was published."""
        return [{*state.credentials.revoked} for state in self.published]

    def _build(self, state: EdgeState) -> EdgeState:
        self.threads.add(threading.get_ident())
        if self.failures:
            self.failures -= 1
            raise RuntimeError("planted")
        return state

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the edge while entered, at first within the pause after its first build."""
        async with background(self.reconciler.run, "edge", clock=self._clock):
            assert await self._clock.sleeper() == PAUSE_S
            yield


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def edge(clock: FakeClock) -> Edge:
    return Edge(clock)


async def test_keys_that_are_revoked_in_a_burst_are_published_once(edge: Edge, clock: FakeClock) -> None:
    burst = [f"key-{number}" for number in range(50)]
    async with edge.kept():
        for key_id in burst:
            edge.revoke(key_id)
            await clock.advance(PAUSE_S / 100)
        assert edge.revoked() == [set()]
        await clock.advance(PAUSE_S + BUILD_DELAY_S)
        await eventually(lambda: edge.revoked() == [set(), {*burst}])
        await clock.sleeper()
    assert len(edge.published) == 2


async def test_builds_that_take_long_are_rare() -> None:
    clock = SlowWorkClock(3)
    async with background(Edge(clock).reconciler.run, "edge", clock=clock):
        assert await clock.sleeper() == 3 * PAUSE_FACTOR


async def test_key_that_is_revoked_after_the_pause_is_published_soon(edge: Edge, clock: FakeClock) -> None:
    async with edge.kept():
        await clock.advance(PAUSE_S)
        edge.revoke("key")
        assert await clock.sleeper() == pytest.approx(BUILD_DELAY_S)
        await clock.advance(BUILD_DELAY_S)
        await eventually(lambda: edge.revoked() == [set(), {"key"}])


async def test_configuration_is_built_off_the_loop(edge: Edge) -> None:
    await edge.reconciler.refresh()
    assert edge.threads
    assert threading.get_ident() not in edge.threads


async def test_what_stays_the_same_is_published_once(edge: Edge) -> None:
    await edge.reconciler.refresh()
    await edge.reconciler.refresh()
    edge.keys = "other keys"
    await edge.reconciler.refresh()
    assert [state.credentials.jwks for state in edge.published] == ["keys", "other keys"]


@pytest.mark.parametrize("error", [OSError, ValueError])
async def test_keys_that_cannot_be_read_leave_the_last_ones_in_use(edge: Edge, error: type[Exception]) -> None:
    edge.keys = "other keys"
    await edge.reconciler.refresh()
    edge.unreadable = error("planted")
    edge.revoke("key")
    await edge.reconciler.refresh()
    assert [state.credentials.jwks for state in edge.published] == ["other keys", "other keys"]
    assert edge.revoked() == [set(), {"key"}]


async def test_what_could_not_be_built_is_built_again(edge: Edge) -> None:
    edge.failures = 1
    edge.revoke("key")
    with pytest.raises(RuntimeError, match="planted"):
        await edge.reconciler.refresh()
    await edge.reconciler.refresh()
    assert edge.revoked() == [{"key"}]
