"""Opens channels to the other contexts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc.aio

from mesh import telemetry
from mesh.clock import SystemClock
from mesh.rpc.channel import MeshChannel
from mesh.rpc.credentials import channel_credentials
from mesh.rpc.outgoing import ClientCallPreparer
from mesh.rpc.targets import endpoints
from mesh.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from opentelemetry.trace import Tracer

    from mesh.clock import Clock
    from mesh.settings import TlsSettings

_KEEPALIVE_MS, _KEEPALIVE_TIMEOUT_MS = 30_000, 10_000
_RESOLVE_AGAIN_MS = 5_000
_FIRST_RECONNECT_MS, _MAX_RECONNECT_MS = 100, 2_000
_MAX_MESSAGE_BYTES = 8 * 1024 * 1024
_MAX_METADATA_BYTES = 32 * 1024


@asynccontextmanager
async def connect(
    address: str,
    tls: TlsSettings,
    *,
    service_config: str,
    token: Callable[[], Awaitable[str]] | None = None,
    clock: Clock | None = None,
    tracer: Tracer | None = None,
    max_message_bytes: int = _MAX_MESSAGE_BYTES,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to `address` while entered; it connects by itself, and again when the peer was away.

    `address` is host:port or another target of gRPC's name syntax. Calls are shared among all addresses that it
    resolves to where `service_config`, the gRPC service config as JSON, balances the load; it also has deadlines and
    retries per method. The certificate of each address in a list must be good for the first. A name is resolved again
    when a connection ends, every 5 seconds at most. Calls carry the current caller's token, or what `token` gives where
    there is no caller; the trace, the request id, and what is left of the request's deadline. They fail with SomaError.
    """
    if not address:
        raise SettingsError("the address of a peer is not set: set SA01_PEERS_<CONTEXT>=host:port")
    options: list[tuple[str, int | str]] = [
        ("grpc.service_config", service_config),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),  # a replica that vanished is to be known before the next call
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.dns_min_time_between_resolutions_ms", _RESOLVE_AGAIN_MS),
        ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),  # peers start side by side
        ("grpc.max_reconnect_backoff_ms", _MAX_RECONNECT_MS),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
    ]
    if len(named := endpoints(address)) > 1:
        # Else the whole list would be the name that certificates are checked against, and none would hold it.
        options.append(("grpc.default_authority", named[0]))
    credentials = channel_credentials(tls)
    inner = (
        grpc.aio.insecure_channel(address, options=options)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, options=options)
    )
    channel = MeshChannel(inner, ClientCallPreparer(clock or SystemClock(), tracer or telemetry.tracer(), token))
    async with channel:
        yield channel
