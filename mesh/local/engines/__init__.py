"""The engines that a local mesh stands on, from wheels; Kafka from Maven."""

from __future__ import annotations

from mesh.local.engines.base import Engine
from mesh.local.engines.envoy import EnvoyEngine
from mesh.local.engines.kafka import KafkaEngine
from mesh.local.engines.openbao import OpenBaoEngine
from mesh.local.engines.postgres import PostgresEngine
from mesh.local.engines.temporal import TemporalEngine
from mesh.local.engines.valkey import ValkeyEngine

__all__ = ["Engine", "EnvoyEngine", "KafkaEngine", "OpenBaoEngine", "PostgresEngine", "TemporalEngine", "ValkeyEngine"]
