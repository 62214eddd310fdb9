"""Services prove themselves to each other with certificates."""

from __future__ import annotations

import ipaddress
import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.rpc.client import connect
from mesh.rpc.interceptor_chain import standard_chain
from mesh.rpc.server import serving
from mesh.settings import ServerSettings, TlsSettings
from mesh.testing import AllowAll, Issuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from mesh.rpc.server import Server

NOW = datetime.now(UTC)  # noqa: TID251 - certificates are checked against the machine's clock


class Authority:
    """A certificate authority with a folder for what it issues."""

    def __init__(self, folder: Path, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.folder = folder
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._sign(self.name, self.key, ca=True))

    def issue(self, service: str) -> TlsSettings:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
        cert_file, key_file = self.folder / f"{service}.crt", self.folder / f"{service}.key"
        cert_file.write_bytes(self._sign(name, key, ca=False, service=service))
        private = serialization.PrivateFormat.PKCS8
        key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
        return TlsSettings(ca_file=self.file, cert_file=cert_file, key_file=key_file)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool, service: str = "") -> bytes:
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        names += [x509.UniformResourceIdentifier(f"spiffe://soma/{service}")] if service else []
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(minutes=5))
            .not_valid_after(NOW + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@asynccontextmanager
async def running(tls: TlsSettings) -> AsyncIterator[Server]:
    issuer = await Issuer.create()
    chain = standard_chain(verifier=issuer.verifier, authorizer=AllowAll(), clock=SystemClock())
    async with serving("probe", ServerSettings(drain_seconds=1.0), tls, [], chain) as server:
        yield server


async def check(server: Server, tls: TlsSettings, address: str = "") -> int:
    async with connect(address or server.address, tls, service_config="{}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        return int(answer.status)


async def test_a_peer_with_a_certificate_of_our_authority_is_served(authority: Authority) -> None:
    async with running(authority.issue("server")) as server:
        assert await check(server, authority.issue("client")) == health_pb2.HealthCheckResponse.SERVING


async def test_each_of_several_addresses_is_known_by_the_name_of_the_first(authority: Authority) -> None:
    settings = authority.issue("server")
    async with running(settings) as first, running(settings) as second:
        several = f"ipv4:{first.address},{second.address}"
        assert await check(first, authority.issue("client"), several) == health_pb2.HealthCheckResponse.SERVING


async def test_a_peer_of_another_authority_is_not(authority: Authority, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    stranger = Authority(folder, "stranger").issue("client")
    trusting = stranger.model_copy(update={"ca_file": authority.file})
    async with running(authority.issue("server")) as server:
        with pytest.raises(SomaError) as caught:
            await check(server, trusting)
    assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE


async def test_a_peer_without_a_certificate_is_not(authority: Authority) -> None:
    async with running(authority.issue("server")) as server:
        credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
        async with grpc.aio.secure_channel(server.address, credentials) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_that_another_authority_signed_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    async with running(Authority(folder, "stranger").issue("server")) as server:
        with pytest.raises(SomaError) as caught:
            await check(server, authority.issue("client"))
    assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE


async def test_certificates_are_replaced_while_the_server_runs(authority: Authority, tmp_path: Path) -> None:
    settings = authority.issue("server")
    folder = tmp_path / "next"
    folder.mkdir()
    following = Authority(folder, "following")
    async with running(settings) as server:
        assert await check(server, authority.issue("client")) == health_pb2.HealthCheckResponse.SERVING
        replacement = following.issue("server")
        for old, new in zip(_files(settings), _files(replacement), strict=True):
            old.write_bytes(new.read_bytes())
            os.utime(old, ns=(2**60, 2**60))
        assert await check(server, following.issue("client")) == health_pb2.HealthCheckResponse.SERVING


async def test_certificates_that_cannot_be_read_leave_the_last_ones(authority: Authority) -> None:
    settings = authority.issue("server")
    client = authority.issue("client")
    async with running(settings) as server:
        for file in _files(settings)[1:]:
            file.unlink()
        assert await check(server, client) == health_pb2.HealthCheckResponse.SERVING


async def test_the_tls_library_is_given_certificates_again_only_when_they_changed(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[object] = []
    make = grpc.dynamic_ssl_server_credentials

    def watched(
        initial: grpc.ServerCertificateConfiguration,
        fetch: Callable[[], grpc.ServerCertificateConfiguration],
        require_client_authentication: bool,
    ) -> grpc.ServerCredentials:
        def fetched() -> grpc.ServerCertificateConfiguration:
            answer = fetch()
            answers.append(answer)
            return answer

        return make(initial, fetched, require_client_authentication)

    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", watched)
    settings = authority.issue("server")
    async with running(settings) as server:
        for _ in range(2):
            await check(server, authority.issue("client"))
        assert answers
        assert set(answers) == {None}
        for file in _files(settings):
            os.utime(file, ns=(2**60, 2**60))
        answers.clear()
        for _ in range(2):
            await check(server, authority.issue("client"))
    assert [answer for answer in answers if answer is not None] == answers[:1]


def _files(tls: TlsSettings) -> tuple[Path, ...]:
    files = (tls.ca_file, tls.cert_file, tls.key_file)
    return tuple(file for file in files if file is not None)
