"""Budgets, reservations and decisions in Postgres."""

from svc_selector.adapters.postgres.decisions import PostgresDecisions
from svc_selector.adapters.postgres.ledger import PostgresLedger

__all__ = ["PostgresDecisions", "PostgresLedger"]
