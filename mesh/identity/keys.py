"""The public keys that tokens are verified with, from a file or from the secret store."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from mesh.lifecycle import background
from mesh.logging import get_logger
from mesh.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from mesh.clock import Clock
    from mesh.settings import IdentitySettings

REFRESH_S = 20.0
_log = get_logger(__name__)


class PublicKeys(Protocol):
    """The part of the secret store that tells the public half of signing keys."""

    async def public_keys(self, key: str) -> Mapping[int, bytes]:
        """Raw Ed25519 public keys by version."""


def public_key(raw: bytes) -> OKPKey:
    """The key of 32 raw bytes; its id is its RFC 7638 thumbprint."""
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "use": "sig"})
    key.ensure_kid()
    return key


def key_set(public_keys: Mapping[int, bytes]) -> KeySet:
    """The JWKS of a signing key's versions; `as_dict()` of it is what Envoy is given."""
    return KeySet([public_key(raw) for _, raw in sorted(public_keys.items(), reverse=True)])


class JwksFile:
    """A JWKS on disk, read again when the file changes. While it cannot be read the last keys stay in use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = -1
        self._keys: KeySet | None = None
        self._failure = ""

    def __call__(self) -> KeySet:
        """The keys now; OSError or ValueError when the file could never be read."""
        try:
            stamp = self._path.stat().st_mtime_ns
            if self._keys is None or stamp != self._stamp:
                self._keys = KeySet.import_key_set(json.loads(self._path.read_bytes()))
                self._stamp, self._failure = stamp, ""
        except (OSError, ValueError, TypeError, LookupError, JoseError) as error:
            if self._keys is None:
                raise
            if self._failure != type(error).__name__:
                self._failure = type(error).__name__
                _log.warning("the keys that sign tokens are not read; the last ones stay in use", error=self._failure)
        return self._keys


class TransitJwks:
    """The public keys of one signing key of the secret store, as of the last `refresh`."""

    def __init__(self, transit: PublicKeys, key: str) -> None:
        self._transit = transit
        self._key = key
        self._keys = KeySet([])

    def __call__(self) -> KeySet:
        """The keys last read."""
        return self._keys

    async def refresh(self) -> None:
        """Read the keys again."""
        self._keys = key_set(await self._transit.public_keys(self._key))


@asynccontextmanager
async def jwks_source(
    settings: IdentitySettings, transit: PublicKeys | None, key: str, clock: Clock
) -> AsyncIterator[Callable[[], KeySet]]:
    """The keys to verify with: of `jwks_file` when set, else of `key` in the secret store, read every 20 seconds."""
    if settings.jwks_file is not None:
        yield JwksFile(settings.jwks_file)
        return
    if transit is None:
        raise SettingsError("SA01_IDENTITY_JWKS_FILE is not set, and this service has no secret store to ask")
    source = TransitJwks(transit, key)
    await source.refresh()

    async def keep_fresh() -> None:
        while True:
            await clock.sleep(REFRESH_S)
            await source.refresh()

    async with background(keep_fresh, "jwks-refresh", clock=clock):
        yield source
