"""What the executor consumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.dead_letters import DeadLetterPublisher
from mesh.events.inbox import Consumer
from mesh.telemetry import gauge
from soma.events.v1.dead_letter_pb2 import DeadLettered, DeadLetterResolved
from svc_executor.adapters.postgres.erasure import PostgresTexts
from svc_executor.events.assets import TOPIC, AssetEventHandlers

if TYPE_CHECKING:
    from mesh.chassis import Chassis

_BATCH = 20
"""Events of one transaction: each locks the asset that it is about."""


def consumer(mesh: Chassis) -> Consumer:
    """Takes in the facts of the other contexts."""
    lag = gauge("consumer_lag", "Events that wait for a consumer group.", ("group",)).labels(mesh.name)
    return Consumer(
        mesh.bus,
        mesh.postgres,
        mesh.codec,
        mesh.name,
        (TOPIC,),
        AssetEventHandlers(mesh.clock, PostgresTexts).handlers(),
        dead_letter_sink=DeadLetterPublisher(
            mesh.outbox, DeadLettered, DeadLetterResolved, ids=mesh.ids, clock=mesh.clock
        ),
        clock=mesh.clock,
        batch=_BATCH,
        on_lag=lag.set,
    )
