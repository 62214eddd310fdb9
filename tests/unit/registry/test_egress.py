"""Whether data leaves the machine is not for a tenant to say: the registry sets `needs_egress` where it is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.idempotency import RequestKey
from soma_providers.runtime import manifests
from svc_executor.adapters.peers import capability_of
from svc_registry.app import Catalog, Registry, reconcile_needs_egress
from svc_registry.domain import Capability, Constraints, Kind, Modality, Requester
from svc_registry.rpc.convert import capability_from_proto

if TYPE_CHECKING:
    from mesh.testing import FakeClock
    from tests.in_memory.registry import MemoryStore

OPERATOR = Requester("ops", "root", is_platform=True)
ACME = Requester("acme", "alice")
LOOPBACK, REMOTE = "http://127.0.0.1:11434/v1", "https://llm.example/v1"
EGRESS = Constraints(needs_egress=True)
CHAT = Capability("chat", "local", Kind.MODEL, (Modality.TEXT,), ("text_chat",), data_classifications=("confidential",))
GPT = replace(CHAT, tool_id="gpt", provider="openai", adapter="openai_chat", endpoint=REMOTE, constraints=EGRESS)
BROWSER = replace(CHAT, tool_id="browser", adapter="browser", constraints=EGRESS)
SMALL = replace(CHAT, tool_id="small", adapter="small")
VLLM = replace(CHAT, tool_id="vllm", adapter="vllm", endpoint=LOOPBACK)


@pytest.fixture
async def registry(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> Registry:
    made = Registry(store, catalog, clock)
    for item in (GPT, BROWSER, SMALL, VLLM):
        await made.register(OPERATOR, item)
    return made


@pytest.mark.parametrize(
    ("adapter", "endpoint", "needed"),
    [
        ("openai_chat", REMOTE, True),
        ("openai_chat", "", True),
        ("openai_chat", LOOPBACK, False),
        ("openai_chat", "http://localhost:11434/v1", False),
        ("openai_chat", "http://127.0.0.1.llm.example/v1", True),
        ("openai_chat", "http://127.0.0.1@llm.example/v1", True),
        ("openai_chat", "//[", True),
        ("browser", LOOPBACK, True),
        ("small", "", False),
        ("small", LOOPBACK, False),
        ("small", REMOTE, True),
        ("vllm", "", True),
        ("vllm", LOOPBACK, False),
        ("vllm", REMOTE, True),
        ("unknown", "", True),
        ("unknown", LOOPBACK, True),
    ],
)
async def test_what_a_tenant_registers_needs_egress_where_its_endpoint_or_adapter_does(
    registry: Registry, store: MemoryStore, adapter: str, endpoint: str, needed: bool
) -> None:
    answer = await registry.register(ACME, replace(CHAT, adapter=adapter, endpoint=endpoint))
    assert answer.constraints.needs_egress is needed
    assert await store.get_capability(answer.key) == answer


async def test_a_tenants_capability_of_a_local_adapter_that_ships_with_the_mesh_stays_local(registry: Registry) -> None:
    shipped = [capability_from_proto(capability_of(one)) for one in manifests.installed()]
    private = []
    for item in shipped:
        await registry.register(OPERATOR, item)
        private.append(
            await registry.register(ACME, replace(item, provider="mine", endpoint="", constraints=Constraints()))
        )
    expected = {(item.tool_id, item.constraints.needs_egress) for item in shipped}
    assert {(item.tool_id, item.constraints.needs_egress) for item in private} == expected
    assert {needed for _, needed in expected} == {True, False}


@pytest.mark.parametrize("change", [{"endpoint": REMOTE}, {"adapter": "openai_chat"}, {"adapter": "browser"}])
async def test_an_update_follows_the_rule(registry: Registry, change: dict[str, str]) -> None:
    await registry.register(ACME, replace(CHAT, adapter="small"))
    changed = await registry.update(ACME, "chat@local", replace(CHAT, **change), list(change))  # type: ignore[arg-type]
    assert changed.constraints.needs_egress
    denied = await registry.update(ACME, "chat@local", CHAT, ["constraints"])
    assert denied.constraints.needs_egress


async def test_an_adapter_whose_capability_the_operator_deleted_needs_egress(registry: Registry) -> None:
    await registry.delete(OPERATOR, "gpt@openai")
    assert (await registry.register(ACME, replace(CHAT, adapter="openai_chat"))).constraints.needs_egress


async def test_the_platform_says_what_its_adapters_do(registry: Registry) -> None:
    local = await registry.register(OPERATOR, replace(CHAT, adapter="new", endpoint=LOOPBACK))
    remote = await registry.register(OPERATOR, replace(CHAT, tool_id="far", adapter="new", endpoint=REMOTE))
    assert (local.constraints.needs_egress, remote.constraints.needs_egress) == (False, True)
    assert await registry.register(OPERATOR, replace(CHAT, tool_id="far", adapter="new", endpoint=REMOTE)) == remote


async def test_a_repeated_request_is_the_same_after_the_platform_changed(registry: Registry) -> None:
    offered = replace(CHAT, adapter="later")
    first = await registry.register(ACME, offered, RequestKey.for_request("r"))
    await registry.register(OPERATOR, replace(SMALL, tool_id="later", adapter="later"))
    assert await registry.register(ACME, offered, RequestKey.for_request("r")) == first
    assert not (await registry.register(ACME, offered, RequestKey.for_request("other"))).constraints.needs_egress


async def test_what_an_older_release_stored_is_corrected_once(
    registry: Registry, store: MemoryStore, catalog: Catalog, clock: FakeClock
) -> None:
    near = await registry.register(ACME, replace(CHAT, tool_id="near", adapter="openai_chat", endpoint=LOOPBACK))
    older = replace(CHAT, adapter="openai_chat", tenant_id="acme", version=1, created_at=clock.now())
    await store.save_capability(older, 0, "alice")
    await catalog.refresh(older.key)
    for _ in range(2):
        await reconcile_needs_egress(store, catalog, clock)
    corrected = catalog.capabilities.get(older.key)
    assert corrected == await store.get_capability(older.key)
    assert corrected is not None
    assert (corrected.constraints.needs_egress, corrected.version) == (True, 2)
    assert catalog.capabilities.get(near.key) == near
