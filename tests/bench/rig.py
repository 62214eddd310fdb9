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

from mesh.clock import SystemClock
from mesh.local.home import Home
from mesh.local.pki import OPERATOR, KeyPair, Pki
from mesh.local.ports import free_port
from mesh.local.services import ALL_IN_ONE
from tests.bench.probes import Histogram, exposition, histogram
from tests.e2e.conftest import RunningMesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping


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
    async def direct(self, context: str) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to a context's own port, past the edge, with the deadlines and retries that every caller has."""
        pair = self.operator
        options = [("grpc.service_config", files("protos").joinpath("service_config.json").read_text())]
        credentials = grpc.ssl_channel_credentials(
            self.authority.read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes()
        )
        async with grpc.aio.secure_channel(self.service_address(context), credentials, options) as channel:
            yield channel


@contextmanager
def running(*, embedded: bool) -> Iterator[Rig]:
    """Starts a mesh in a folder of its own and stops it at the end; shows its log when it does not start."""
    with tempfile.TemporaryDirectory(prefix="soma-bench-") as folder:
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
