"""Adapters of the selector: catalog, policy, metrics, peers and Postgres."""
