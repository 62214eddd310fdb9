"""The engines of a local mesh, from wheels; Kafka from Maven."""

from __future__ import annotations

from soma_local.engines.base import Engine
from soma_local.engines.envoy import EnvoyEngine
from soma_local.engines.kafka import KafkaEngine
from soma_local.engines.openbao import OpenBaoEngine
from soma_local.engines.postgres import PostgresEngine
from soma_local.engines.temporal import TemporalEngine
from soma_local.engines.valkey import ValkeyEngine

__all__ = ["Engine", "EnvoyEngine", "KafkaEngine", "OpenBaoEngine", "PostgresEngine", "TemporalEngine", "ValkeyEngine"]
