"""Statements and commands have spans below recorded ones, with no value in them, and none elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from redis.exceptions import ResponseError

from mesh.rpc.interceptor import Access
from mesh.statement_spans import StatementSpans
from mesh.stores.postgres import Postgres
from mesh.testing import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer
    from redis.asyncio import Redis

    from mesh.rpc.interceptor import ServicerContext
    from tests.conftest import Database

SECRET = "sk-hunter2"
TABLE = """
-- migrate:up
CREATE TABLE notes (text text PRIMARY KEY);
-- migrate:down
DROP TABLE notes;
"""
INSERT = "INSERT INTO notes (text) VALUES ($1)"


class Exported:
    """What leaves the process: spans of statements from one exporter, those of the work around them from another."""

    def __init__(self) -> None:
        self.statements = StatementSpans(Resource.get_empty(), of_statements := InMemorySpanExporter())
        self._exporters = (of_statements, InMemorySpanExporter())
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporters[1]))
        self.tracer: Tracer = provider.get_tracer("test")

    def all(self) -> list[ReadableSpan]:
        """All spans by now; no statement has one from here on."""
        self.statements.stop()
        return [span for exporter in self._exporters for span in exporter.get_finished_spans()]

    def named(self, name: str) -> ReadableSpan:
        """The one span of that name."""
        [found] = [span for span in self.all() if span.name == name]
        return found


@pytest.fixture
def exported() -> Iterator[Exported]:
    made = Exported()
    made.statements.start()
    yield made
    made.statements.stop()


@pytest.fixture
async def notes(database: Database, tmp_path: Path) -> AsyncIterator[Postgres]:
    """A database with a table in which each text is once."""
    (tmp_path / "20260101000000_notes.sql").write_text(TABLE)
    async with Postgres.open(await database("notes", tmp_path)) as opened:
        yield opened


async def test_one_trace_leads_from_the_caller_to_the_statements_of_the_service(
    notes: Postgres, valkey: Redis, exported: Exported
) -> None:
    async def keep(request: StringValue, _: ServicerContext) -> StringValue:
        async with notes.transaction() as connection:
            await connection.execute(INSERT, request.value)
        await valkey.set(f"notes:{request.value}", request.value)
        return request

    handler = grpc.unary_unary_rpc_method_handler(keep, StringValue.FromString, StringValue.SerializeToString)

    def add(_: object, server: grpc.aio.Server) -> None:
        server.add_registered_method_handlers("probe.v1.Notes", {"Keep": handler})

    async with served(
        [(add, None)], tracer=exported.tracer, access_of=lambda _service, _method: Access("notes.keep", False)
    ) as server:
        path, write, read = "/probe.v1.Notes/Keep", StringValue.SerializeToString, StringValue.FromString
        await server.channel.unary_unary(path, write, read)(StringValue(value=SECRET))

    spans = exported.all()
    assert len({span.context.trace_id for span in spans if span.context is not None}) == 1
    client, served_span = (
        next(span for span in spans if span.kind is kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER)
    )
    assert client.context is not None
    assert served_span.parent is not None
    insert, set_value = (next(span for span in spans if span.name == name) for name in ("INSERT", "SET"))
    assert served_span.context is not None
    assert [span.parent and span.parent.span_id for span in (insert, set_value)] == [served_span.context.span_id] * 2
    assert SECRET not in "".join(span.to_json() for span in spans)


async def test_a_statement_is_shown_with_its_text_and_without_its_values(notes: Postgres, exported: Exported) -> None:
    with exported.tracer.start_as_current_span("work"):
        async with notes.transaction("acme") as connection:
            await connection.execute(INSERT, SECRET)
    span = exported.named("INSERT")
    attributes = span.attributes or {}
    assert (attributes["db.system"], attributes["db.statement"]) == ("postgresql", INSERT)
    assert SECRET not in span.to_json()


async def test_a_command_is_shown_without_its_key_and_value(valkey: Redis, exported: Exported) -> None:
    with exported.tracer.start_as_current_span("work"):
        await valkey.set(SECRET, SECRET)
    span = exported.named("SET")
    attributes = span.attributes or {}
    assert (attributes["db.system"], attributes["db.statement"]) == ("redis", "SET ? ?")
    assert SECRET not in span.to_json()


async def test_commands_of_a_pipeline_are_one_span_without_values(valkey: Redis, exported: Exported) -> None:
    with exported.tracer.start_as_current_span("work"):
        async with valkey.pipeline() as pipeline:
            pipeline.set("a", SECRET)
            pipeline.get(SECRET)
            await pipeline.execute()
    assert (exported.named("SET GET").attributes or {})["db.statement"] == "SET ? ?\nGET ?"


async def test_a_violated_constraint_shows_its_type_and_not_the_values_of_the_row(
    notes: Postgres, exported: Exported
) -> None:
    with exported.tracer.start_as_current_span("work"):
        async with notes.transaction("acme") as connection:
            await connection.execute("SELECT 1")
            await connection.execute(INSERT, SECRET)
        with pytest.raises(asyncpg.UniqueViolationError, match=SECRET):
            async with notes.transaction("acme") as connection:
                await connection.fetchval(INSERT, SECRET)
    failed = [span for span in exported.all() if span.status.status_code is StatusCode.ERROR]
    assert [(span.name, span.status.description, span.events) for span in failed] == [
        ("INSERT", "UniqueViolationError", ())
    ]
    assert SECRET not in failed[0].to_json()


async def test_a_refused_command_shows_its_type_and_not_its_words(valkey: Redis, exported: Exported) -> None:
    with exported.tracer.start_as_current_span("work"), pytest.raises(ResponseError, match=SECRET):
        await valkey.execute_command("NOSUCH", SECRET)
    span = exported.named("NOSUCH")
    assert (span.status.description, span.events) == ("ResponseError", ())
    assert SECRET not in span.to_json()


async def test_outside_of_a_trace_statements_have_no_spans(notes: Postgres, valkey: Redis, exported: Exported) -> None:
    async with notes.transaction("acme") as connection:
        await connection.execute(INSERT, "a")
    await valkey.get("a")
    assert exported.all() == []


async def test_below_a_span_that_is_not_recorded_statements_have_no_spans(
    notes: Postgres, valkey: Redis, exported: Exported
) -> None:
    unrecorded = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("test")
    with unrecorded.start_as_current_span("work") as span:
        assert span.get_span_context().is_valid
        async with notes.transaction("acme") as connection:
            await connection.execute(INSERT, "a")
        await valkey.get("a")
    assert exported.all() == []


async def test_after_the_stop_the_drivers_are_as_they_were(exported: Exported) -> None:
    assert hasattr(asyncpg.Connection.execute, "__wrapped__")
    exported.statements.stop()
    assert not hasattr(asyncpg.Connection.execute, "__wrapped__")
