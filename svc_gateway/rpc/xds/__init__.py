"""The control plane: builds Envoy's configuration from the edge's state and serves it (xDS v3)."""

from __future__ import annotations

import warnings

# The generated messages use an API of their library that is deprecated; importing them warns each time.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from svc_gateway.rpc.xds.server import AggregatedDiscovery, SnapshotCache
    from svc_gateway.rpc.xds.snapshot import SnapshotBuilder

__all__ = ["AggregatedDiscovery", "SnapshotBuilder", "SnapshotCache"]
