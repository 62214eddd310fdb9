"""Where the edge's certificates and keys come from: files, and the secret store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from svc_gateway.domain.edge_state import Identity, Trust

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from joserfc.jwk import KeySet


class EdgeSources:
    """Reads what may change while the edge runs."""

    def __init__(self, cert_file: Path, key_file: Path, ca_file: Path | None, keys: Callable[[], KeySet]) -> None:
        self._cert_file = cert_file
        self._key_file = key_file
        self._ca_file = ca_file
        self._keys = keys

    def trust(self) -> Trust:
        """The certificates on disk now."""
        identity = Identity(self._cert_file.read_bytes(), self._key_file.read_bytes())
        return Trust(identity, None if self._ca_file is None else self._ca_file.read_bytes())

    def jwks(self) -> str:
        """The public keys now; never a private part."""
        return json.dumps(self._keys().as_dict(private=False), sort_keys=True)
