"""Rows of the asset store in Postgres."""

from svc_assets.adapters.postgres.retention import RULES
from svc_assets.adapters.postgres.rows import PostgresRows
from svc_assets.adapters.postgres.sweep import PostgresSweep

__all__ = ["RULES", "PostgresRows", "PostgresSweep"]
