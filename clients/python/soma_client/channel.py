"""The connection to the edge."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from soma_client.version import __version__

if TYPE_CHECKING:
    import os

_MAX_MESSAGE_BYTES = 8 * 1024 * 1024
_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.primary_user_agent", f"soma-client-python/{__version__}"),
    ("grpc.enable_retries", 0),  # this package retries, and honours RetryInfo
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 32 * 1024),
)


@dataclass(frozen=True)
class Target:
    """Where the edge is, and how it is trusted. ValueError where that makes no sense."""

    address: str
    """host:port."""
    authority: bytes | None = None
    """Certificates to trust, PEM; None: those that come with gRPC."""
    server_name: str = ""
    """Name that the certificate must hold, where it is not the host of the address."""
    plaintext: bool = False
    """No TLS: for a server on the same machine."""

    @classmethod
    def of(cls, address: str, ca_file: str | os.PathLike[str] | None, server_name: str, *, plaintext: bool) -> Target:
        """Reads the CA file; OSError when it cannot be read."""
        if plaintext and ca_file is not None:
            raise ValueError("give ca_file or plaintext=True, not both")
        authority = None if ca_file is None else Path(ca_file).read_bytes()
        return cls(address.removeprefix("https://").rstrip("/"), authority, server_name, plaintext)

    def __post_init__(self) -> None:
        host, colon, port = self.address.rpartition(":")
        if not (host and colon and port.isdecimal()):
            raise ValueError(f"the address {self.address!r} is not host:port, for example 'localhost:8010'")
        if self.plaintext and not _is_loopback(host):
            raise ValueError(f"plaintext=True would send the credential to {host} for all to read: use TLS")

    def open(self) -> grpc.aio.Channel:
        """A channel that connects by itself, and again when the edge was away. Needs a running event loop."""
        if self.plaintext:
            return grpc.aio.insecure_channel(self.address, options=_OPTIONS)
        named = (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()
        credentials = grpc.ssl_channel_credentials(root_certificates=self.authority)
        return grpc.aio.secure_channel(self.address, credentials, options=(*_OPTIONS, *named))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
