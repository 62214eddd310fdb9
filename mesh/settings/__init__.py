"""Settings: small frozen blocks, read once from the environment at start."""

from __future__ import annotations

from mesh.settings.blocks import (
    BlobSettings,
    Block,
    IdentitySettings,
    PeerAddress,
    PeerAddresses,
    PolicySettings,
    PostgresSettings,
    ServerSettings,
    TelemetrySettings,
    TemporalSettings,
    TlsSettings,
    ValkeySettings,
    VaultSettings,
)
from mesh.settings.bus import BusSettings
from mesh.settings.loading import Env, EnvEach, SettingsError, Variable, load, variables

__all__ = [
    "BlobSettings",
    "Block",
    "BusSettings",
    "Env",
    "EnvEach",
    "IdentitySettings",
    "PeerAddress",
    "PeerAddresses",
    "PolicySettings",
    "PostgresSettings",
    "ServerSettings",
    "SettingsError",
    "TelemetrySettings",
    "TemporalSettings",
    "TlsSettings",
    "ValkeySettings",
    "Variable",
    "VaultSettings",
    "load",
    "variables",
]
