"""The event bus on Apache Kafka: for meshes of many machines."""

from __future__ import annotations

from mesh.events.kafka.bus import KafkaBus
from mesh.events.kafka.cluster import cluster_id

__all__ = ["KafkaBus", "cluster_id"]
