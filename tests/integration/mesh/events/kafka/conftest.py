"""A bus over the Kafka that all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.events.kafka import KafkaBus
from tests.integration.mesh.events.kafka.rig import TOPIC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.settings import BusSettings


@pytest.fixture
async def bus(kafka: BusSettings) -> AsyncIterator[KafkaBus]:
    async with KafkaBus(kafka, topics=[TOPIC]) as opened:
        yield opened
