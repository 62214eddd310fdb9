"""Mutual TLS for servers and channels, and the one place that allows plaintext."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc
from cryptography import x509

from mesh.logging import get_logger
from mesh.settings import SettingsError
from mesh.telemetry import gauge

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.settings import TlsSettings


def server_credentials(tls: TlsSettings) -> grpc.ServerCredentials | None:
    """Credentials that demand a client certificate; None for plaintext, which production refuses.

    Certificates are read again when their files change: connections made from then on use the new ones.
    """
    files = _files(tls)
    if files is None:
        return None
    source = _Certificates(*files)
    return grpc.dynamic_ssl_server_credentials(
        source.read(),
        source.changed,  # type: ignore[arg-type] # the stubs forget that None is an answer
        require_client_authentication=True,
    )


def channel_credentials(tls: TlsSettings) -> grpc.ChannelCredentials | None:
    """Credentials of a client that shows its certificate; None for plaintext, which production refuses."""
    files = _files(tls)
    if files is None:
        return None
    ca_file, cert_file, key_file = files
    return grpc.ssl_channel_credentials(ca_file.read_bytes(), key_file.read_bytes(), cert_file.read_bytes())


def show_expiry(name: str, certificate: Path | None) -> None:
    """Expose when a certificate ends, read from its file at each scrape; a file that cannot be read has ended."""
    if certificate is None:
        return
    expiry = gauge("certificate_expiry_timestamp_seconds", "When a certificate ends, in Unix time.", ("certificate",))
    expiry.labels(name).set_function(lambda: _ends(certificate))


def _ends(certificate: Path) -> float:
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return 0.0


def _files(tls: TlsSettings) -> tuple[Path, Path, Path] | None:
    if tls.ca_file is not None and tls.cert_file is not None and tls.key_file is not None:
        return tls.ca_file, tls.cert_file, tls.key_file
    if tls.profile == "production":
        raise SettingsError(
            "SA01_TLS_CA_FILE, SA01_TLS_CERT_FILE and SA01_TLS_KEY_FILE are not set: "
            "plaintext is allowed with SA01_PROFILE=dev or test only"
        )
    return None


class _Certificates:
    """The certificates on disk; asked by the TLS library at each handshake, from its own threads.

    Each configuration that the library is given replaces the one in use, which frees it, even while another handshake
    reads it: a process that answers many connections with "the same again" crashes. So one is given only for a change.
    """

    def __init__(self, ca_file: Path, cert_file: Path, key_file: Path) -> None:
        self._paths = (ca_file, cert_file, key_file)
        self._stamp: tuple[int, ...] = ()
        self._asking = threading.Lock()
        self._log = get_logger("mesh.rpc")

    def read(self) -> grpc.ServerCertificateConfiguration:
        """The configuration of the files as they are. OSError when one cannot be read."""
        stamp = self._now()
        ca, cert, key = (path.read_bytes() for path in self._paths)
        configuration = grpc.ssl_server_certificate_configuration([(key, cert)], ca)
        self._stamp = stamp
        return configuration

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The configuration when the files changed since it was read last; None to go on with the last good one."""
        with self._asking:
            try:
                return self.read() if self._now() != self._stamp else None
            except OSError:
                self._log.warning("certificates cannot be read; keeping the last ones")
                return None

    def _now(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in self._paths)
