"""What the tests of events share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mesh.events.event import Codec, Event
from mesh.ids import SystemIds

if TYPE_CHECKING:
    from collections.abc import Callable

TOPIC = "probe.events"


@pytest.fixture
def codec() -> Codec:
    return Codec()


@pytest.fixture
def event() -> Callable[..., Event]:
    """Make an event of type `noted`; anything may be set otherwise."""
    ids = SystemIds()

    def make(key: str = "k", payload: bytes = b"", **changes: object) -> Event:
        values: dict[str, object] = {
            "event_id": ids.new(), "type": "noted", "topic": TOPIC, "key": key, "tenant_id": "a",
            "occurred_at": datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), "payload": payload,
        }  # fmt: skip
        return Event(**{**values, **changes})  # type: ignore[arg-type]

    return make
