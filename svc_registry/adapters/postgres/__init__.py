"""The registry in Postgres."""

from svc_registry.adapters.postgres.retention import RETENTION_RULES
from svc_registry.adapters.postgres.store import PostgresStore

__all__ = ["RETENTION_RULES", "PostgresStore"]
