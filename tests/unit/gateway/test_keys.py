"""Who gets which roles, for how long."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import contexts
from mesh.context import Caller
from mesh.errors import Reason, SomaError
from mesh.idempotency import RequestKey
from mesh.identity import Claims
from mesh.ids import SystemIds
from mesh.testing import FakeClock, Issuer
from svc_gateway.app.bootstrap_key import ensure_bootstrap_key
from svc_gateway.app.keys import ApiKeyUseCases, KeySpec, KeyWithSecret, Tokens
from svc_gateway.app.permissions import Permissions
from svc_gateway.app.tenants import Tenants
from svc_gateway.domain.keys import grantable_roles, included_roles, key_expiry
from tests.in_memory.gateway import InMemoryKeyStore, InMemoryTenantStore

if TYPE_CHECKING:
    from mesh.events.audit import AuditEntry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROLES = ("viewer", "member", "admin", "platform_admin")


class Minter:
    """Notes what it signs."""

    def __init__(self) -> None:
        self.minted: list[tuple[Claims, float]] = []

    async def mint(self, claims: Claims, ttl_s: float) -> str:
        self.minted.append((claims, ttl_s))
        return f"jws-{len(self.minted)}"


class KeysHarness:
    """The use cases over stores in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.minter = Minter()
        self.store = InMemoryKeyStore()
        tenants = InMemoryTenantStore()
        permissions = Permissions(tenants, self.store, "test")
        self.keys = ApiKeyUseCases(self.store, permissions, self.minter, "test", clock=self.clock, ids=SystemIds())
        self.audited: list[AuditEntry] = []
        self.tokens = Tokens(self.store, self.minter, self.audited.append, self.clock)
        self.tenants = Tenants(tenants, self.clock)


@pytest.fixture
def harness() -> KeysHarness:
    return KeysHarness()


def caller(*roles: str, key_id: str = "k", actor: str = "") -> Caller:
    return Caller("acme", "alice", roles, (), key_id, "token", actor)


def test_a_role_includes_those_that_policy_says() -> None:
    for number, role in enumerate(contexts.ROLES):
        assert included_roles([role]) == set(contexts.ROLES[: number + 1])


@given(st.sets(st.sampled_from(ROLES), min_size=1), st.lists(st.sampled_from(ROLES), min_size=1))
def test_rights_given_are_never_more_than_the_givers(giver: set[str], wanted: list[str]) -> None:
    if set(wanted) <= included_roles(giver):
        assert included_roles(grantable_roles(wanted, sorted(giver))) <= included_roles(giver)
        return
    with pytest.raises(SomaError) as refused:
        grantable_roles(wanted, sorted(giver))
    assert refused.value.reason is Reason.PERMISSION_DENIED


def test_service_role_is_nobodys_to_give() -> None:
    with pytest.raises(SomaError, match="service"):
        grantable_roles(["service"], ["platform_admin"])


@pytest.mark.parametrize("wanted", [NOW, NOW - timedelta(days=1), NOW + timedelta(days=366)])
def test_key_cannot_expire_in_the_past_or_in_more_than_a_year(wanted: datetime) -> None:
    with pytest.raises(SomaError) as refused:
        key_expiry(NOW, wanted)
    assert refused.value.fields[0].field == "api_key.expire_time"


def test_key_expires_in_a_year_by_default() -> None:
    assert key_expiry(NOW, None) == NOW + timedelta(days=365)


async def test_secret_is_signed_with_the_keys_own_claims(harness: KeysHarness) -> None:
    made = await harness.keys.create(caller("admin"), KeySpec("ci", subject="robot", roles=("viewer",)))
    ((claims, ttl_s),) = harness.minter.minted
    assert made.secret == "soma_test_jws-1"
    assert claims == Claims("acme", "robot", ("viewer",), (), made.key.key_id, "key")
    assert ttl_s == timedelta(days=365).total_seconds()


async def test_key_is_a_members_by_default(harness: KeysHarness) -> None:
    made = await harness.keys.create(caller("admin"), KeySpec("ci"))
    assert (made.key.roles, made.key.subject, made.key.created_by) == (("member",), "alice", "alice")


async def test_token_lives_no_longer_than_its_key(harness: KeysHarness) -> None:
    made = await harness.keys.create(
        caller("member"), KeySpec("ci", expires_at=harness.clock.now() + timedelta(seconds=90))
    )
    token = await harness.tokens.create(caller("member", key_id=made.key.key_id), None, ())
    assert token.expires_at == made.key.expires_at
    assert harness.minter.minted[-1][1] == 90


async def test_token_keeps_the_key_and_who_acts(harness: KeysHarness) -> None:
    made = await harness.keys.create(caller("member"), KeySpec("ci"))
    acting = caller("member", key_id=made.key.key_id, actor="executor")
    await harness.tokens.create(acting, timedelta(minutes=1), ("viewer",))
    claims, ttl_s = harness.minter.minted[-1]
    assert (claims.key_id, claims.actor, claims.roles, ttl_s) == (made.key.key_id, "executor", ("viewer",), 60)


async def test_token_lives_no_longer_than_the_token_it_was_made_with(harness: KeysHarness) -> None:
    made = await harness.keys.create(caller("member"), KeySpec("ci"))
    issuer = await Issuer.create(harness.clock)
    presented = await issuer.token(Claims("acme", "alice", ("member",), key_id=made.key.key_id), ttl_s=120)
    await harness.clock.advance(30)
    token = await harness.tokens.create(issuer.verifier.verify(presented), None, ())
    assert token.expires_at == harness.clock.now() + timedelta(seconds=90)
    assert harness.minter.minted[-1][1] == 90


async def test_token_made_with_a_key_lives_its_own_time(harness: KeysHarness) -> None:
    made = await harness.keys.create(caller("member"), KeySpec("ci"))
    issuer = await Issuer.create(harness.clock)
    claims = Claims("acme", "alice", ("member",), key_id=made.key.key_id, kind="key")
    presented = await issuer.token(claims, timedelta(days=365).total_seconds())
    token = await harness.tokens.create(issuer.verifier.verify(presented), None, ())
    assert token.expires_at == harness.clock.now() + timedelta(minutes=15)


@pytest.mark.parametrize("less", [{"actor": "executor"}, {"scopes": ("api_key.write",)}])
async def test_key_is_not_made_with_less_than_a_whole_credential(harness: KeysHarness, less: dict[str, Any]) -> None:
    with pytest.raises(SomaError) as refused:
        await harness.keys.create(replace(caller("admin"), **less), KeySpec("ci"))
    assert refused.value.reason is Reason.PERMISSION_DENIED
    assert harness.minter.minted == []


async def test_same_request_is_answered_after_the_key_has_expired_and_signs_nothing(harness: KeysHarness) -> None:
    wanted = KeySpec("ci", expires_at=harness.clock.now() + timedelta(hours=1), request=RequestKey.for_request("once"))
    first = await harness.keys.create(caller("admin"), wanted)
    await harness.clock.advance(7200)
    assert await harness.keys.create(caller("admin"), wanted) == KeyWithSecret(first.key)
    assert len(harness.minter.minted) == 1


async def test_token_is_not_made_from_a_key_that_is_gone(harness: KeysHarness) -> None:
    made = await harness.keys.create(caller("member"), KeySpec("ci"))
    await harness.keys.revoke(caller("admin"), made.key.key_id)
    for key_id in (made.key.key_id, "unknown"):
        with pytest.raises(SomaError) as refused:
            await harness.tokens.create(caller("member", key_id=key_id), None, ())
        assert refused.value.reason is Reason.UNAUTHENTICATED


async def test_created_token_is_audited_with_its_key(harness: KeysHarness) -> None:
    made = await harness.keys.create(caller("member"), KeySpec("ci"))
    await harness.tokens.create(caller("member", key_id=made.key.key_id), None, ())
    [entry] = harness.audited
    assert (entry.action, entry.resource_type, entry.resource_id) == ("token.create", "token", made.key.key_id)
    assert (entry.tenant_id, entry.before) == ("acme", None)
    assert entry.after


async def test_token_that_cannot_be_audited_is_not_handed_out(harness: KeysHarness) -> None:
    def full(entry: AuditEntry) -> None:
        raise SomaError(Reason.OVERLOADED, "full")

    made = await harness.keys.create(caller("member"), KeySpec("ci"))
    with pytest.raises(SomaError) as refused:
        await Tokens(harness.store, harness.minter, full, harness.clock).create(
            caller("member", key_id=made.key.key_id), None, ()
        )
    assert refused.value.reason is Reason.OVERLOADED


async def test_key_of_another_tenant_does_not_exist(harness: KeysHarness) -> None:
    made = await harness.keys.create(caller("admin"), KeySpec("ci"))
    stranger = Caller("other", "eve", ("admin",), (), "k", "token")
    for ask in (harness.keys.get, harness.keys.revoke):
        with pytest.raises(SomaError) as refused:
            await ask(stranger, made.key.key_id)
        assert refused.value.reason is Reason.NOT_FOUND


class File:
    """A key file in memory."""

    def __init__(self) -> None:
        self.secret = ""

    def read(self) -> str:
        return self.secret

    def write(self, secret: str) -> None:
        self.secret = secret


async def test_first_key_is_made_once_and_again_when_it_is_no_good(harness: KeysHarness) -> None:
    file = File()
    known: dict[str, Caller] = {}

    async def verify(secret: str) -> Caller:
        if secret not in known:
            raise SomaError(Reason.UNAUTHENTICATED, "not one of ours")
        return known[secret]

    async def ensure() -> None:
        lock = nullcontext()
        await ensure_bootstrap_key(
            "dev", "dev", file, lock=lock, keys=harness.keys, tenants=harness.tenants, verify=verify
        )

    await ensure()
    made = file.secret
    claims, _ = harness.minter.minted[-1]
    known[made] = Caller("dev", claims.subject, claims.roles, (), claims.key_id, made)
    await ensure()
    assert file.secret == made
    known.clear()
    await ensure()
    assert file.secret != made
    assert (await harness.tenants.get(caller("platform_admin"), "dev")).plan == "dev"


async def test_a_platform_administrator_makes_another_tenants_first_key(harness: KeysHarness) -> None:
    made = await harness.keys.create(
        caller("admin", "platform_admin"), KeySpec("first", roles=("admin",), tenant_id="other")
    )
    assert made.key.tenant_id == "other"


async def test_to_others_another_tenant_does_not_exist(harness: KeysHarness) -> None:
    with pytest.raises(SomaError) as hidden:
        await harness.keys.create(caller("admin"), KeySpec("first", tenant_id="other"))
    assert hidden.value.reason is Reason.NOT_FOUND
