"""Adapters of the asset store: Postgres, the blob store, the spool, inspection and the gateway."""
