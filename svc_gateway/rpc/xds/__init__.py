"""The control plane: turns the edge's state into Envoy's configuration and serves it (xDS v3)."""

from __future__ import annotations

import warnings

# The generated messages declare validators in a way that their own library calls old, on every import.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from svc_gateway.rpc.xds.server import AggregatedDiscovery, Feed
    from svc_gateway.rpc.xds.snapshot import SnapshotBuilder

__all__ = ["AggregatedDiscovery", "Feed", "SnapshotBuilder"]
