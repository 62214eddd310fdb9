"""The mesh that is measured, seen as an operator sees it: addresses, process ids, metrics."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from mesh.clock import SystemClock
from mesh.testing.contract import eventually
from soma_local.home import Home
from soma_local.pki import OPERATOR, KeyPair, Pki
from soma_local.ports import free_port
from soma_local.services import ALL_IN_ONE
from tests.bench.probes import Histogram, exposition, histogram
from tests.e2e.conftest import START_S, RunningMesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence


class Rig(RunningMesh):
    """A mesh with one process for each context, or with all of them in one."""

    embedded = False

    @property
    def operator(self) -> KeyPair:
        """The certificate that opens the contexts' own ports."""
        return Pki(self.home.pki, SystemClock()).pair(OPERATOR)

    def context_pid(self, context: str) -> int:
        """Process id of what serves a context."""
        return self.pid(ALL_IN_ONE if self.embedded else f"svc-{context}")

    def observed(self, context: str, name: str, labels: Mapping[str, str]) -> Histogram:
        """A histogram of the process that serves a context."""
        ports: dict[str, int] = json.loads((self.home.run / "ports.json").read_text())
        # A process that serves several contexts exposes its metrics on the first one's port.
        first = min(key.partition(".")[0] for key in ports if key.endswith(".metrics")) if self.embedded else context
        return histogram(exposition(ports[f"{first}.metrics"]), name, labels)

    @contextmanager
    def paused(self, context: str) -> Iterator[None]:
        """Stops a context's process and lets it go on afterwards; does nothing where it shares its process."""
        if self.embedded:
            yield
            return
        pid = self.context_pid(context)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @asynccontextmanager
    async def replacing(self, contexts: Sequence[str]) -> AsyncIterator[None]:
        """Stops the contexts' processes; at the end kills them, and waits until those started instead serve."""
        pids = {self.context_pid(context) for context in contexts}
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        for context in contexts:
            await self._wait_replaced(context, pids)

    async def _wait_replaced(self, context: str, pids: Collection[int]) -> None:
        async with self.direct(context) as channel:

            async def has_been_replaced() -> bool:
                return self.context_pid(context) not in pids and await _serves(HealthStub(channel))

            await eventually(has_been_replaced, within_s=START_S)

    @asynccontextmanager
    async def direct(self, context: str) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to a context's own port, past the edge, with the deadlines and retries that every caller has."""
        pair = self.operator
        options = [("grpc.service_config", files("protos").joinpath("service_config.json").read_text())]
        credentials = grpc.ssl_channel_credentials(
            self.authority.read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes()
        )
        async with grpc.aio.secure_channel(self.service_address(context), credentials, options) as channel:
            yield channel


async def _serves(health: HealthStub) -> bool:
    try:
        answer = await health.Check(HealthCheckRequest(), timeout=5)
    except grpc.aio.AioRpcError:
        return False
    return bool(answer.status == HealthCheckResponse.SERVING)


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Ends the program by SystemExit on SIGTERM, so that what it started is stopped; in the main thread."""

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def running(*, embedded: bool) -> Iterator[Rig]:
    """Starts a mesh in a folder of its own and stops it at the end; shows its log when it does not start."""
    with stopping_on_sigterm(), tempfile.TemporaryDirectory(prefix="soma-bench-") as folder:
        rig = Rig(Home(Path(folder)), free_port())
        rig.embedded = embedded
        shape = [] if embedded else ["--mesh"]
        try:
            up = rig.soma("up", "--detach", "--port", str(rig.port), *shape)
            if up.returncode:
                sys.exit(up.stdout + up.stderr)
            yield rig
        finally:
            rig.soma("down")
