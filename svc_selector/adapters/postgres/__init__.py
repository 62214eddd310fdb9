"""Budgets, reservations and decisions in Postgres."""

from svc_selector.adapters.postgres.decisions import PostgresDecisionStore
from svc_selector.adapters.postgres.ledger import PostgresLedger

__all__ = ["PostgresDecisionStore", "PostgresLedger"]
