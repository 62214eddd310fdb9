"""A secret store within the process: the same keys and signatures, forgotten at the end."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mesh.errors import invalid, not_found
from mesh.secrets.paths import require_path
from mesh.secrets.ports import DataKey, KeyKind
from mesh.secrets.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

K = TypeVar("K")
_KEY_BITS = 256
_NONCE_BYTES = 12


class MemorySecrets:
    """Secrets in a dictionary."""

    def __init__(self) -> None:
        self._paths: dict[str, dict[str, Secret[str]]] = {}

    async def read(self, path: str) -> Mapping[str, Secret[str]]:
        """The secrets of a path; NOT_FOUND when there are none."""
        if require_path(path) not in self._paths:
            raise not_found("secret", path)
        return dict(self._paths[path])

    async def write(self, path: str, values: Mapping[str, Secret[str] | str]) -> None:
        """Replace the secrets of a path."""
        self._paths[require_path(path)] = {
            name: value if isinstance(value, Secret) else Secret(value) for name, value in values.items()
        }

    async def delete(self, path: str) -> None:
        """Forget a path."""
        self._paths.pop(require_path(path), None)


class MemoryTransit:
    """Ed25519 and AES-256-GCM keys, versions from 1."""

    def __init__(self) -> None:
        self._signing: dict[str, list[Ed25519PrivateKey]] = {}
        self._wrapping: dict[str, list[AESGCM]] = {}

    async def create_key(self, key: str, kind: KeyKind) -> None:
        """Make a key unless it exists."""
        if require_path(key) in self._signing or key in self._wrapping:
            return
        if kind is KeyKind.SIGNING:
            self._signing[key] = [Ed25519PrivateKey.generate()]
        else:
            self._wrapping[key] = [AESGCM(AESGCM.generate_key(_KEY_BITS))]

    async def rotate(self, key: str) -> None:
        """Add a version to a key."""
        if require_path(key) in self._signing:
            self._signing[key].append(Ed25519PrivateKey.generate())
        else:
            _versions(self._wrapping, key).append(AESGCM(AESGCM.generate_key(_KEY_BITS)))

    async def destroy(self, key: str) -> None:
        """Destroy a key with all its versions."""
        if self._signing.pop(require_path(key), None) is None and self._wrapping.pop(key, None) is None:
            raise not_found("key", key)

    async def sign(self, key: str, data: bytes, version: int | None = None) -> bytes:
        """The raw 64-byte signature of the data."""
        versions = _versions(self._signing, key)
        if version is not None and not 1 <= version <= len(versions):
            raise invalid("version", f"the key has the versions 1 to {len(versions)}")
        return versions[(version or len(versions)) - 1].sign(data)

    async def public_keys(self, key: str) -> Mapping[int, bytes]:
        """The raw 32-byte public keys, by version."""
        versions = _versions(self._signing, key)
        return {number: private.public_key().public_bytes_raw() for number, private in enumerate(versions, 1)}

    async def data_key(self, key: str) -> DataKey:
        """A new data key, wrapped by the newest version."""
        versions = _versions(self._wrapping, key)
        plaintext, nonce = AESGCM.generate_key(_KEY_BITS), os.urandom(_NONCE_BYTES)
        sealed = nonce + versions[-1].encrypt(nonce, plaintext, None)
        return DataKey(Secret(plaintext), f"memory:v{len(versions)}:{base64.b64encode(sealed).decode()}")

    async def unwrap(self, key: str, wrapped: str) -> Secret[bytes]:
        """The data key of a wrapped form."""
        versions = _versions(self._wrapping, key)
        try:
            _, version, text = wrapped.split(":")
            sealed = base64.b64decode(text, validate=True)
            wrapper = versions[int(version.removeprefix("v")) - 1]
            return Secret(wrapper.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None))
        except (ValueError, IndexError, InvalidTag) as error:
            raise invalid("wrapped", "this key did not wrap it") from error


def _versions(keys: dict[str, list[K]], key: str) -> list[K]:
    if require_path(key) not in keys:
        raise not_found("key", key)
    return keys[key]
