"""Which tokens are of a service's own work, which no API key stands behind."""

from __future__ import annotations

import pytest

from mesh.identity.claims import SHORT_LIVED_S, Actor, Payload

EXECUTOR = "spiffe://soma/executor"


def is_own_work(
    tenant: str, subject: str, actor: str, roles: tuple[str, ...], *, kind: str = "token", life_s: int = 300
) -> bool:
    payload = Payload(
        iss="i", aud="a", sub=subject, jti="k", tenant=tenant, roles=roles, scopes=("asset.delete",),
        kind=kind, exp=life_s, iat=0, act=Actor(sub=actor) if actor else None,
    )  # type: ignore[arg-type]  # fmt: skip
    return payload.is_own_work


@pytest.mark.parametrize(
    ("tenant", "subject", "actor", "kind", "own"),
    [
        ("*", EXECUTOR, "", "token", True),
        ("acme", EXECUTOR, "executor", "token", True),
        ("acme", "alice", "executor", "token", False),
        ("acme", EXECUTOR, "critic", "token", False),
        ("acme", "executor", "executor", "token", False),
        ("acme", EXECUTOR, "", "token", False),
        ("acme", EXECUTOR, "executor", "key", False),
        ("*", "alice", "", "token", False),
        ("*", EXECUTOR, "executor", "token", False),
    ],
)
def test_own_work_is_what_a_service_does_in_its_own_name(
    tenant: str, subject: str, actor: str, kind: str, *, own: bool
) -> None:
    assert is_own_work(tenant, subject, actor, ("service",) if tenant == "*" else ("member",), kind=kind) is own


@pytest.mark.parametrize("tenant", ["*", "acme"])
def test_own_work_takes_a_token_that_lives_shortly(tenant: str) -> None:
    roles, actor = (("service",), "") if tenant == "*" else (("member",), "executor")
    found = [is_own_work(tenant, EXECUTOR, actor, roles, life_s=life) for life in (SHORT_LIVED_S, SHORT_LIVED_S + 1)]
    assert found == [True, False]


@pytest.mark.parametrize(
    ("tenant", "roles"),
    [
        ("*", ("service", "platform_admin")),
        ("*", ("platform_admin",)),
        ("*", ()),
        ("acme", ("admin",)),
        ("acme", ("member", "admin")),
        ("acme", ("service",)),
    ],
)
def test_own_work_needs_no_other_role(tenant: str, roles: tuple[str, ...]) -> None:
    assert not is_own_work(tenant, EXECUTOR, "" if tenant == "*" else "executor", roles)


def test_own_work_within_a_tenant_has_scopes() -> None:
    act = Actor(sub="executor")
    payload = Payload(
        iss="i", aud="a", sub=EXECUTOR, jti="k", tenant="acme", roles=("member",), kind="token", exp=1, iat=0, act=act
    )
    assert not payload.is_own_work
