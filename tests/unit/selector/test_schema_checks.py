"""No tenant's schema and no caller's parameters hold up the others."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.json_schema import compile_schema
from svc_selector.app.schema_checks import INLINE_BYTES, SchemaChecks
from svc_selector.domain.model import Candidate, Lifecycle, SelectionRequest, StoredParams
from tests.unit.selector.selecting import NEED, SUBJECT, candidate, selector_harness

if TYPE_CHECKING:
    from mesh.json_schema import BoundedValue
    from svc_selector.domain.model import JsonObject


class Watched:
    """A schema that fits all, and notes whether it was asked on the event loop."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    def first_error_in(self, bounded: BoundedValue) -> str:
        self.asked.append(threading.current_thread() is threading.main_thread())
        return ""


class Stopped(Watched):
    """A schema whose check goes on until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def first_error_in(self, bounded: BoundedValue) -> str:
        self.begun.set()
        assert self.go_on.wait(30)
        return super().first_error_in(bounded)


def request_of(params: JsonObject, size: int) -> SelectionRequest:
    return SelectionRequest(replace(NEED, params=params), stored_params=StoredParams({}, size_bytes=size))


async def checked(candidates: list[Candidate], size: int) -> None:
    """Selects with parameters of a size."""
    await selector_harness(candidates).selector.select(request_of({"x": 1}, size), SUBJECT)


@pytest.mark.parametrize(("size", "on_loop"), [(INLINE_BYTES, True), (INLINE_BYTES + 1, False)])
async def test_large_parameters_are_checked_in_a_thread(size: int, on_loop: bool) -> None:
    schema = Watched()
    await checked([candidate("t@local", schema=schema)], size)
    assert schema.asked == [on_loop]


@pytest.mark.parametrize("private", [{"owner": "acme"}, {"tenants": ("acme",)}])
async def test_private_offers_are_checked_in_a_thread(private: dict[str, object]) -> None:
    schema, public = Watched(), Watched()
    await checked([candidate("t@acme", schema=schema, **private), candidate("t@local", schema=public)], 10)
    assert (schema.asked, public.asked) == ([False], [True])


async def test_one_ask_of_a_tenant_is_checked_at_a_time() -> None:
    schema, other = Stopped(), Watched()
    candidates = [
        candidate("t@acme", owner="acme", schema=schema),
        candidate("t@umbrella", owner="umbrella", schema=other),
    ]
    checks = SchemaChecks()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(checks.errors(candidates[:1], request_of({}, 10), "acme"))
        assert await asyncio.to_thread(schema.begun.wait, 30)
        schema.begun.clear()
        group.create_task(checks.errors(candidates[:1], request_of({}, 10), "acme"))
        await checks.errors(candidates[1:], request_of({}, 10), "umbrella")
        assert not schema.begun.is_set()
        schema.go_on.set()
    assert schema.asked == [False, False]


async def test_private_offers_share_one_bound_and_those_of_the_platform_have_their_own() -> None:
    schema = compile_schema({"properties": {"x": {"items": {"allOf": [{"minimum": 0}] * 100}}}})
    private = [candidate(f"{name}@acme", owner="acme", schema=schema) for name in ("a", "b", "c")]
    public = [candidate(f"{name}@local", schema=schema) for name in ("a", "b", "c")]
    errors = await SchemaChecks().errors([*private, *public], request_of({"x": [1] * 1_100}, 10), "acme")
    assert [name for name, error in errors.items() if error] == ["c@acme"]
    assert "after the others" in errors["c@acme"]


async def test_what_cannot_serve_anyhow_is_not_checked() -> None:
    schema = Watched()
    disabled = candidate("t@local", schema=schema, lifecycle=Lifecycle.DISABLED)
    await checked([disabled, candidate("u@local", schema=schema)], 10)
    assert len(schema.asked) == 1
