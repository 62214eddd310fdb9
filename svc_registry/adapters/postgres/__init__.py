"""The registry in Postgres."""

from svc_registry.adapters.postgres.retention import RULES
from svc_registry.adapters.postgres.store import PostgresStore

__all__ = ["RULES", "PostgresStore"]
