"""Jobs in Postgres."""

from __future__ import annotations

from svc_executor.adapters.postgres.jobs import PostgresJobs

__all__ = ["PostgresJobs"]
