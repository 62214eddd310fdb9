"""The engines that a local mesh stands on, each from a wheel."""

from __future__ import annotations

from mesh.local.engines.base import Engine
from mesh.local.engines.envoy import EnvoyEngine
from mesh.local.engines.openbao import OpenBaoEngine
from mesh.local.engines.postgres import PostgresEngine
from mesh.local.engines.temporal import TemporalEngine
from mesh.local.engines.valkey import ValkeyEngine

__all__ = ["Engine", "EnvoyEngine", "OpenBaoEngine", "PostgresEngine", "TemporalEngine", "ValkeyEngine"]
