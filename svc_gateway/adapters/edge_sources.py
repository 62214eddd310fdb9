"""The edge's certificates, from files, and its public keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from svc_gateway.domain.edge_state import EdgeTls, TlsCertificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from joserfc.jwk import KeySet


class FileEdgeSources:
    """Reads certificates from files, and public keys from `keys`."""

    def __init__(self, cert_file: Path, key_file: Path, ca_file: Path | None, keys: Callable[[], KeySet]) -> None:
        self._cert_file = cert_file
        self._key_file = key_file
        self._ca_file = ca_file
        self._keys = keys

    def tls(self) -> EdgeTls:
        """Reads the certificates."""
        certificate = TlsCertificate(self._cert_file.read_bytes(), self._key_file.read_bytes())
        return EdgeTls(certificate, None if self._ca_file is None else self._ca_file.read_bytes())

    def jwks(self) -> str:
        """Returns the public keys, without private parts."""
        return json.dumps(self._keys().as_dict(private=False), sort_keys=True)
