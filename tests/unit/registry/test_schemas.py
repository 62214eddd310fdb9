"""SchemaValidator that tenants offer: what is refused, and what an older release let in."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from svc_registry.app import Catalog, Registry
from svc_registry.app.schemas import SchemaValidator
from svc_registry.domain import Capability, Kind, Modality, Requester
from tests.unit.selector.finding import codes, find, ids, requirements

if TYPE_CHECKING:
    from mesh.testing import FakeClock
    from svc_registry.domain import JsonObject
    from tests.in_memory.registry import MemoryStore

ACME = Requester("acme", "alice")
D2 = Capability("d2", "acme", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",))
NEED = requirements(params={"source": "a" * 40})
REMOTE: JsonObject = {"$ref": "http://169.254.169.254/latest/meta-data"}
BACKTRACKING: JsonObject = {"properties": {"source": {"pattern": "^(a+)+$"}}}


@pytest.fixture
def registry(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> Registry:
    return Registry(store, catalog, clock)


@pytest.mark.parametrize("field", ["input_schema", "output_schema"])
@pytest.mark.parametrize("schema", [REMOTE, {"$ref": "#"}, {"type": "nonsense"}, {"title": "x" * 70_000}])
async def test_a_schema_that_cannot_be_bounded_is_refused_at_registration(
    registry: Registry, field: str, schema: JsonObject
) -> None:
    with pytest.raises(SomaError) as refused:
        await registry.register(ACME, replace(D2, **{field: schema}))  # type: ignore[arg-type]
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert refused.value.fields[0].field == f"capability.{field}"


@pytest.mark.parametrize("field", ["input_schema", "output_schema"])
async def test_a_schema_that_cannot_be_bounded_is_refused_at_an_update(registry: Registry, field: str) -> None:
    await registry.register(ACME, D2)
    with pytest.raises(SomaError) as refused:
        await registry.update(ACME, "d2@acme", replace(D2, **{field: REMOTE}), [field])  # type: ignore[arg-type]
    assert refused.value.fields[0].field == f"capability.{field}"


async def test_a_stored_schema_that_cannot_be_used_leaves_out_its_capability_alone(
    registry: Registry, store: MemoryStore, catalog: Catalog
) -> None:
    await registry.register(ACME, replace(D2, tool_id="other"))
    stored = replace(D2, input_schema=REMOTE, version=1, tenant_id="acme")
    await store.save_capability(stored, 0, "alice")
    await catalog.refresh(stored.key)
    answer = await find(catalog, NEED)
    assert (ids(answer), codes(answer)) == (["other@acme"], {"d2@acme": "SCHEMA_UNUSABLE"})
    assert "local references" in answer.left_out[0].reason


async def test_a_pattern_that_backtracks_elsewhere_is_checked_in_linear_time(
    registry: Registry, catalog: Catalog
) -> None:
    await registry.register(ACME, replace(D2, input_schema=BACKTRACKING))
    assert codes(await find(catalog, requirements(params={"source": "a" * 5000 + "b"}))) == {
        "d2@acme": "PARAMS_MISMATCH"
    }


async def test_a_new_version_is_checked_by_its_own_schema(registry: Registry, catalog: Catalog) -> None:
    for schema, fits in (({"required": ["a"]}, False), ({}, True), ({"type": "object"}, True)):
        await registry.register(ACME, replace(D2, input_schema=schema))
        assert bool(ids(await find(catalog, NEED))) is fits


async def test_a_tenant_has_one_check_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def stopped(schema: JsonObject) -> None:
        if schema["title"] == "acme":
            begun.set()
            assert go_on.wait(30)

    monkeypatch.setattr("svc_registry.app.schemas.compile_schema", stopped)
    schemas = SchemaValidator()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(schemas.find_problem({"title": "acme"}, "acme"))
        assert await asyncio.to_thread(begun.wait, 30)
        begun.clear()
        group.create_task(schemas.find_problem({"title": "acme"}, "acme"))
        assert await schemas.find_problem({"title": "umbrella"}, "umbrella") == ""
        assert not begun.is_set()
        go_on.set()
