"""What the mesh needs from a secret store."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.secrets.secret import Secret


class KeyKind(StrEnum):
    """What a transit key is for."""

    SIGNING = "ed25519"
    ENCRYPTION = "aes256-gcm96"


@dataclass(frozen=True)
class DataKey:
    """A 32-byte key for data, and the wrapped form of it that may be stored beside the data."""

    plaintext: Secret[bytes]
    wrapped: str


class Secrets(Protocol):
    """Named sets of secrets. A change is seen within seconds.

    A path is made of plain names, parted by "/"; INVALID_ARGUMENT for any other (`mesh.secrets.paths`).
    """

    async def read(self, path: str) -> Mapping[str, Secret[str]]:
        """The newest secrets of a path; NOT_FOUND when there are none."""

    async def write(self, path: str, values: Mapping[str, Secret[str] | str]) -> None:
        """Replace the secrets of a path."""

    async def delete(self, path: str) -> None:
        """Forget a path with all its versions; nothing happens when there is none."""


class Transit(Protocol):
    """Keys that sign and wrap without leaving the store. All raise NOT_FOUND for a key that does not exist."""

    async def create_key(self, key: str, kind: KeyKind) -> None:
        """Make a key unless it exists."""

    async def rotate(self, key: str) -> None:
        """Add a version to a key; the older ones still verify and unwrap."""

    async def destroy(self, key: str) -> None:
        """Destroy a key with all its versions: what it wrapped is unreadable from then on."""

    async def sign(self, key: str, data: bytes, version: int | None = None) -> bytes:
        """The raw 64-byte Ed25519 signature of the data, by the newest version unless one is named."""

    async def public_keys(self, key: str) -> Mapping[int, bytes]:
        """The raw 32-byte public keys of a signing key, by version."""

    async def data_key(self, key: str) -> DataKey:
        """A new data key, wrapped by the newest version of an encryption key."""

    async def unwrap(self, key: str, wrapped: str) -> Secret[bytes]:
        """The data key of a wrapped form; INVALID_ARGUMENT when this key did not wrap it."""
