"""Connections of the egress guard: each name proves itself, and nothing of one call is sent with another."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from soma_providers.port import EgressError, EgressFailure, EgressRequest, EgressResponse
from soma_providers.runtime.egress import EgressRules, GuardedEgress
from tests.conformance.site import Site
from tests.conformance.wire import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAMED, OTHER = "named.example", "other.example"


@dataclass
class TlsServer:
    """Answers every request; `peers` are the connections, `paths` what was asked."""

    port: int = 0
    peers: set[object] = field(default_factory=set)
    paths: list[str] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        self.peers.add(writer.get_extra_info("peername"))
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.paths.append(head.split()[1].decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def certificate(*names: str) -> tuple[bytes, bytes]:
    """A certificate that signs itself, for these names, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - certificates are judged by the real time
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


@asynccontextmanager
async def running_server(folder: Path, *names: str) -> AsyncIterator[tuple[GuardedEgress, TlsServer]]:
    """A guard, and a server whose certificate names `names`, at the one address of every host."""
    public, private = certificate(*names)
    (folder / "cert.pem").write_bytes(public)
    (folder / "key.pem").write_bytes(private)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = TlsServer()

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async with await asyncio.start_server(server.answer, "127.0.0.1", 0, ssl=own) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        rules = EgressRules(loopback=frozenset({f"{NAMED}:{server.port}", f"{OTHER}:{server.port}"}))
        trusting = ssl.create_default_context(cafile=str(folder / "cert.pem"))
        async with GuardedEgress(rules, resolve=resolve, tls=trusting) as egress:
            yield egress, server


async def called(egress: GuardedEgress, server: TlsServer, host: str) -> EgressResponse:
    """Call a host with a secret."""
    headers = {"Authorization": "Bearer secret"}
    return await egress.fetch(EgressRequest("POST", f"https://{host}:{server.port}/{host}", headers, b"{}"))


async def test_a_name_proves_itself_though_another_has_a_connection_to_the_same_address(tmp_path: Path) -> None:
    async with running_server(tmp_path, NAMED) as (egress, server):
        assert (await called(egress, server, NAMED)).status == 200
        with pytest.raises(EgressError) as caught:
            await called(egress, server, OTHER)
        assert caught.value.reason is EgressFailure.UNREACHABLE
        assert server.paths == [f"/{NAMED}"]


async def test_two_names_of_one_certificate_do_not_share_a_connection(tmp_path: Path) -> None:
    async with running_server(tmp_path, NAMED, OTHER) as (egress, server):
        for host in (NAMED, OTHER, NAMED, OTHER):
            assert (await called(egress, server, host)).status == 200
        assert len(server.peers) == 2


async def test_what_a_server_gives_to_one_call_is_not_sent_with_another() -> None:
    with Site() as site:
        site.next.append(Reply(200, b"", {"Set-Cookie": "session=alice; Path=/"}))
        async with GuardedEgress(EgressRules(loopback=frozenset({site.authority}))) as egress:
            for _ in range(2):
                await egress.fetch(EgressRequest("GET", f"{site.url}/welcome"))
        assert "cookie" not in site.received[-1].headers


async def test_hosts_beyond_the_bound_do_not_keep_their_connections() -> None:
    with Site() as site:
        port = site.authority.rsplit(":", 1)[1]

        async def resolve(_host: str, _port: int) -> list[str]:
            return ["127.0.0.1"]

        hosts = [f"host-{number}.example:{port}" for number in range(80)]
        async with GuardedEgress(EgressRules(loopback=frozenset(hosts)), resolve=resolve) as egress:
            for host in hosts:
                await egress.fetch(EgressRequest("GET", f"http://{host}/welcome"))
            assert len(egress._connections) == 64
