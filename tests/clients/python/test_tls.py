"""The client speaks to a server that its authority vouches for, and to no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from mesh.clock import SystemClock
from soma.executor.v1 import job_pb2
from soma_client import CertificateError, SomaClient
from soma_local.pki import Pki
from tests.clients.python.edge import JOBS, KEY, Edge, Machine, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    made = Pki(tmp_path, SystemClock())
    made.ensure(("gateway",))
    return made


@pytest.fixture
async def tls_edge(pki: Pki) -> AsyncIterator[Edge]:
    """A server with a certificate for localhost and 127.0.0.1."""
    pair = pki.pair("gateway")
    pem = ((pair.key.read_bytes(), pair.certificate.read_bytes()),)
    async with serving(grpc.ssl_server_credentials(pem)) as running:
        yield running


@pytest.mark.parametrize(("host", "options"), [("localhost", {}), ("127.0.0.1", {"server_name": "localhost"})])
async def test_a_server_of_the_authority_is_trusted(
    tls_edge: Edge, pki: Pki, host: str, options: dict[str, Any]
) -> None:
    tls_edge.answer(f"{JOBS}/GetJob", job_pb2.Job(job_id="j1"))
    async with SomaClient(f"{host}:{tls_edge.port}", api_key=KEY, ca_file=pki.authority, **options) as client:
        assert (await client.jobs.get("j1")).job_id == "j1"


async def test_another_server_is_told_at_once_with_the_fix(
    tls_edge: Edge, pki: Pki, machine: Machine, tmp_path: Path
) -> None:
    other = Pki(tmp_path / "other", SystemClock())
    other.ensure(())
    for options in ({}, {"ca_file": other.authority}, {"ca_file": pki.authority, "server_name": "mesh.example"}):
        async with SomaClient(f"localhost:{tls_edge.port}", api_key=KEY, system=machine.system(), **options) as client:
            for call in (client.jobs.get("j1"), anext(client.jobs.watch("j1"))):
                with pytest.raises(CertificateError, match="give as ca_file the certificate authority"):
                    await call
    assert machine.pauses == []
    assert tls_edge.calls == []
