"""Pages of keys and tenants: complete, in order, and each token good for the list and the filters it was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from mesh.errors import Reason, SomaError
from mesh.identity import Claims
from mesh.ids import SystemIds
from mesh.testing import FakeClock, acting_as
from soma.gateway.v1 import identity_service_pb2 as pb
from svc_gateway.app.existing_key_feed import ExistingKeyFeed
from svc_gateway.app.key_set_signer import KeySetSigner
from svc_gateway.app.keys import ApiKeyUseCases, KeySpec
from svc_gateway.app.permissions import Permissions
from svc_gateway.app.revoked_key_feed import RevokedKeyFeed
from svc_gateway.app.tenants import Tenants
from svc_gateway.rpc.api_key_service import ApiKeyServicer
from svc_gateway.rpc.tenant_service import TenantServicer
from tests.in_memory.gateway import InMemoryKeyStore, InMemoryTenantStore

if TYPE_CHECKING:
    from svc_gateway.rpc.api_key_service import Context

ROOT = Claims("acme", "root", ("admin", "platform_admin"), key_id="k")
CONTEXT = cast("Context", None)
FOREIGN = ["%%%", "é", "AA", "=", "////", "a b", "x.y"]


class Minter:
    """Signs nothing."""

    async def mint(self, claims: Claims, ttl_s: float) -> str:
        return "jws"

    async def sign(self, payload: dict[str, object], typ: str) -> str:
        return "jws"


class Lists:
    """The two servicers over stores in memory, with three keys and three tenants, as the platform's administrator."""

    def __init__(self) -> None:
        clock, store = FakeClock(), InMemoryKeyStore()
        tenants = InMemoryTenantStore()
        self._tenants = Tenants(tenants, clock)
        permissions = Permissions(tenants, store, "test")
        self._keys = ApiKeyUseCases(store, permissions, Minter(), "test", clock=clock, ids=SystemIds())
        revoked = RevokedKeyFeed(store, clock)
        self._key_lists = ApiKeyServicer(
            self._keys, revoked, ExistingKeyFeed(store, clock), KeySetSigner(Minter(), clock), self._tenants
        )
        self._tenant_lists = TenantServicer(self._tenants)
        self.key_ids: list[str] = []

    async def fill(self) -> None:
        with acting_as(ROOT) as caller:
            for name in ("a", "b", "c"):
                self.key_ids.append((await self._keys.create(caller, KeySpec(name))).key.key_id)
                await self._tenants.create(name, "", "")

    async def keys(self, token: str = "", *, size: int = 2, inactive: bool = False) -> pb.ListApiKeysResponse:
        asked = pb.ListApiKeysRequest(page_token=token, page_size=size, include_inactive=inactive)
        with acting_as(ROOT):
            return await self._key_lists.ListApiKeys(asked, CONTEXT)

    async def tenants(self, token: str = "", *, size: int = 2) -> pb.ListTenantsResponse:
        asked = pb.ListTenantsRequest(page_token=token, page_size=size)
        with acting_as(ROOT):
            return await self._tenant_lists.ListTenants(asked, CONTEXT)


@pytest.fixture
async def lists() -> Lists:
    made = Lists()
    await made.fill()
    return made


async def test_pages_of_keys_follow_each_other_newest_first(lists: Lists) -> None:
    first = await lists.keys()
    rest = await lists.keys(first.next_page_token, size=50)
    assert [key.key_id for key in [*first.api_keys, *rest.api_keys]] == lists.key_ids[::-1]
    assert rest.next_page_token == ""


async def test_pages_of_tenants_follow_each_other_by_id(lists: Lists) -> None:
    first = await lists.tenants()
    rest = await lists.tenants(first.next_page_token, size=50)
    assert [tenant.tenant_id for tenant in [*first.tenants, *rest.tenants]] == ["a", "b", "c"]
    assert rest.next_page_token == ""


async def test_token_is_good_for_its_filters_alone(lists: Lists) -> None:
    token = (await lists.keys()).next_page_token
    with pytest.raises(SomaError) as refused:
        await lists.keys(token, inactive=True)
    assert refused.value.fields[0].field == "page_token"


async def test_token_of_one_list_is_refused_by_the_other(lists: Lists) -> None:
    of_keys, of_tenants = (await lists.keys()).next_page_token, (await lists.tenants()).next_page_token
    for ask, token in ((lists.keys, of_tenants), (lists.tenants, of_keys)):
        with pytest.raises(SomaError) as refused:
            await ask(token)
        assert (refused.value.reason, refused.value.fields[0].field) == (Reason.INVALID_ARGUMENT, "page_token")


@pytest.mark.parametrize("token", FOREIGN)
async def test_foreign_page_tokens_are_refused(lists: Lists, token: str) -> None:
    for ask in (lists.keys, lists.tenants):
        with pytest.raises(SomaError) as refused:
            await ask(token)
        assert refused.value.fields[0].field == "page_token"
