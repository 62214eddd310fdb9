"""A server of the mesh: the chain around every method, health, reflection, and a shutdown in order."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from mesh.clock import SystemClock
from mesh.health import OVERALL, Health
from mesh.logging import get_logger
from mesh.rpc import reflection
from mesh.rpc.access import declared_access
from mesh.rpc.credentials import server_credentials, show_expiry
from mesh.rpc.interceptor_order import check_order
from mesh.rpc.interceptors.admission import Admission, TenantLimits
from mesh.rpc.interceptors.progress import UploadProgress
from mesh.rpc.registrar import Registrar, Registration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.clock import Clock
    from mesh.rpc.interceptor import Interceptor
    from mesh.rpc.registrar import AccessOf
    from mesh.settings import ServerSettings, TlsSettings

__all__ = ["Registration", "Server", "serving"]

_KEEPALIVE_MS = 30_000
_FASTEST_PING_MS = 10_000
_MAX_METADATA_BYTES = 32 * 1024


@dataclass(frozen=True)
class Server:
    """A server that listens. `address` is the host:port actually bound; `health` holds its services' states."""

    name: str
    address: str
    health: Health


@asynccontextmanager
async def serving(
    name: str,
    settings: ServerSettings,
    tls: TlsSettings,
    registrations: Sequence[Registration],
    chain: Sequence[Interceptor],
    *,
    clock: Clock | None = None,
    access_of: AccessOf = declared_access,
) -> AsyncIterator[Server]:
    """Serve `registrations` behind `chain` while entered, with grpc.health.v1 and reflection.

    On leaving: NOT_SERVING, no new calls, open streams told to reconnect after `stream_drain_seconds`, the rest
    given `drain_seconds`. Raises OSError when the address cannot be bound, SettingsError for plaintext in production.
    """
    health = Health()
    admission = Admission(
        settings.max_concurrent_calls,
        settings.max_concurrent_streams,
        max_uploads=settings.max_concurrent_uploads,
        tenant=TenantLimits(settings.tenant_share, settings.tenant_uploads, settings.tenant_event_streams),
    )
    timer = clock or SystemClock()
    progress = UploadProgress(timer, settings.upload_grace_s, settings.upload_bytes_per_s)
    registrar = Registrar([*registrations, (health_pb2_grpc.add_HealthServicer_to_server, health)])
    names = tuple(registrar.services)
    for add, servicer in reflection.registrations(names):
        add(servicer, registrar)
    server = grpc.aio.server(options=_options(settings))
    whole = [*chain, admission, progress]
    check_order(whole)
    registrar.register(server, whole, timer, access_of)
    address = _bind(server, settings.bind, tls)
    await server.start()
    show_expiry(name, tls.cert_file)
    for service in (OVERALL, *names):
        await health.set(service, True)
    log = get_logger("mesh.rpc")
    log.info("serving", context=name, address=address)
    try:
        yield Server(name, address, health)
    finally:
        await _stop(server, health, admission, settings)
        log.info("stopped", context=name)


async def _stop(server: grpc.aio.Server, health: Health, admission: Admission, settings: ServerSettings) -> None:
    await health.drain()
    stopping = asyncio.ensure_future(server.stop(settings.drain_seconds))
    await asyncio.wait((stopping,), timeout=min(settings.stream_drain_seconds, settings.drain_seconds))
    admission.end_streams()
    await stopping


def _bind(server: grpc.aio.Server, bind: str, tls: TlsSettings) -> str:
    credentials = server_credentials(tls)
    host = bind.rpartition(":")[0]
    try:
        port = server.add_insecure_port(bind) if credentials is None else server.add_secure_port(bind, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {bind}: is it in use?") from error
    return f"{host}:{port}"


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    aging = [("grpc.max_connection_age_ms", int(settings.max_connection_age_seconds * 1000))]
    return [
        *(aging if settings.max_connection_age_seconds else ()),
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _FASTEST_PING_MS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _FASTEST_PING_MS),
    ]
