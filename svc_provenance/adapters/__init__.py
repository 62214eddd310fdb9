"""Adapters of provenance: Postgres, the blob store, the secret store, policy and Temporal."""
