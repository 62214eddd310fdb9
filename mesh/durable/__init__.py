"""Durable work: Temporal's client and workers, as the mesh uses them."""

from __future__ import annotations

from mesh.durable.claim_check import BlobStore, ClaimCheck
from mesh.durable.connection import client, worker
from mesh.durable.propagation import ContextPropagation
from mesh.durable.sweep import PayloadSweep, history_retention

__all__ = ["BlobStore", "ClaimCheck", "ContextPropagation", "PayloadSweep", "client", "history_retention", "worker"]
