"""Adapters of the critic: Postgres, heuristics, metrics and the asset store."""
