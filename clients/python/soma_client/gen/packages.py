"""The messages of each context by its name."""

# Generated from protos/soma by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.gen.soma.assets import v1 as assets
from soma_client.gen.soma.common import v1 as common
from soma_client.gen.soma.critic import v1 as critic
from soma_client.gen.soma.events import v1 as events
from soma_client.gen.soma.executor import v1 as executor
from soma_client.gen.soma.gateway import v1 as gateway
from soma_client.gen.soma.provenance import v1 as provenance
from soma_client.gen.soma.registry import v1 as registry
from soma_client.gen.soma.selector import v1 as selector

__all__ = ["assets", "common", "critic", "events", "executor", "gateway", "provenance", "registry", "selector"]
