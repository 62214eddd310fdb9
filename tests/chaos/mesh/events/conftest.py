"""The buses that the event tests run on, as this process and its children reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.events.event import Codec
from tests.chaos.mesh.events.buses import BusUnderTest

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from mesh.settings import BusSettings, ValkeySettings


@pytest.fixture
def codec() -> Codec:
    return Codec()


@pytest.fixture
def valkey_line(valkey: Redis, valkey_settings: ValkeySettings) -> BusUnderTest:
    return BusUnderTest("valkey", valkey_settings.url.get_secret_value())


@pytest.fixture
def kafka_line(kafka: BusSettings) -> BusUnderTest:
    return BusUnderTest.kafka(kafka)


@pytest.fixture(params=["valkey", "kafka"])
def line(request: pytest.FixtureRequest) -> BusUnderTest:
    found: BusUnderTest = request.getfixturevalue(f"{request.param}_line")
    return found
