"""A context writes to the topics that it declares, and to no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest

from mesh.events.event import Event
from mesh.events.outbox import Outbox

if TYPE_CHECKING:
    import asyncpg


class Connection:
    """Notes the topics of the events that were written through it."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    async def execute(self, _statement: str, *columns: tuple[object, ...]) -> None:
        self.topics += [str(topic) for topic in columns[3]]


def event(topic: str) -> Event:
    return Event("id", "kind", topic, "key", "acme", datetime(2026, 1, 1, tzinfo=UTC), b"")


async def written(outbox: Outbox, *events: Event) -> list[str]:
    connection = Connection()
    await outbox.add(cast("asyncpg.Connection", connection), *events)
    return connection.topics


async def test_declared_topics_are_written() -> None:
    outbox = Outbox({"ant.events", "audit.events"})
    assert await written(outbox, event("ant.events"), event("audit.events")) == ["ant.events", "audit.events"]


async def test_nothing_is_written_where_one_topic_is_not_declared() -> None:
    outbox, connection = Outbox({"ant.events"}), Connection()
    with pytest.raises(ValueError, match=r"topic bee\.events is not declared: name it in `publishes`"):
        await outbox.add(cast("asyncpg.Connection", connection), event("ant.events"), event("bee.events"))
    assert connection.topics == []


@pytest.mark.parametrize("again", [{"group": "critic"}, {"dlq_id": "letter"}])
async def test_what_is_sent_again_may_go_to_the_topic_it_came_from(again: dict[str, str]) -> None:
    assert await written(Outbox({"ant.events"}), replace(event("bee.events"), **again)) == ["bee.events"]


async def test_without_a_declaration_every_topic_is_written() -> None:
    assert await written(Outbox(), event("any.events")) == ["any.events"]
