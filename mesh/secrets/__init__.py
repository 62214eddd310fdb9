"""Secrets, fetched when they are needed, and keys that never leave the store."""

from __future__ import annotations

from mesh.secrets.memory import MemorySecrets, MemoryTransit
from mesh.secrets.paths import require_path
from mesh.secrets.ports import DataKey, KeyKind, Secrets, Transit
from mesh.secrets.secret import Secret
from mesh.secrets.vault import Vault, VaultSecrets, VaultTransit

__all__ = [
    "DataKey",
    "KeyKind",
    "MemorySecrets",
    "MemoryTransit",
    "Secret",
    "Secrets",
    "Transit",
    "Vault",
    "VaultSecrets",
    "VaultTransit",
    "require_path",
]
