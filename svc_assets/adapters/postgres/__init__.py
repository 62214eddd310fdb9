"""The asset store in Postgres."""

from svc_assets.adapters.postgres.read_audit import PostgresReadAudit
from svc_assets.adapters.postgres.retention import RETENTION_RULES
from svc_assets.adapters.postgres.store import PostgresAssetStore
from svc_assets.adapters.postgres.sweep_state import PostgresSweepState

__all__ = ["RETENTION_RULES", "PostgresAssetStore", "PostgresReadAudit", "PostgresSweepState"]
