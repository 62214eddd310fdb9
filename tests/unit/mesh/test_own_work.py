"""Which tokens are of a service's own work, which no API key stands behind."""

from __future__ import annotations

import pytest

from mesh.identity.claims import Actor, Payload

EXECUTOR = "spiffe://soma/executor"


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
    ],
)
def test_own_work_is_what_a_service_does_in_its_own_name(
    tenant: str, subject: str, actor: str, kind: str, *, own: bool
) -> None:
    act = Actor(sub=actor) if actor else None
    payload = Payload(iss="i", aud="a", sub=subject, jti="k", tenant=tenant, kind=kind, exp=1, iat=0, act=act)  # type: ignore[arg-type]
    assert payload.is_own_work is own
