"""Callers for tests, with real tokens signed by a key in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mesh import context
from mesh.clock import SystemClock
from mesh.context import Caller, RequestContext
from mesh.identity import Claims, TokenMinter, TokenVerifier, TransitJwks
from mesh.ids import SystemIds
from mesh.secrets import KeyKind, MemoryTransit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh.clock import Clock

ISSUER = "soma"
AUDIENCE = "soma"
KEY = "identity"
TOKEN_S = 3_600.0

ALICE = Claims(tenant_id="acme", subject="alice", roles=("admin",), key_id="key-alice")
BOB = Claims(tenant_id="umbrella", subject="bob", roles=("admin",), key_id="key-bob")


class Issuer:
    """Signs tokens and verifies them; `revoked` is the set of revoked key ids."""

    def __init__(self, transit: MemoryTransit, clock: Clock) -> None:
        self.transit = transit
        self.keys = TransitJwks(transit, KEY)
        self.revoked: set[str] = set()
        self.minter = TokenMinter(transit, KEY, issuer=ISSUER, audience=AUDIENCE, clock=clock, ids=SystemIds())
        self.verifier = TokenVerifier(self.keys, ISSUER, AUDIENCE, clock, self.revoked.__contains__)

    @classmethod
    async def create(cls, clock: Clock | None = None) -> Issuer:
        """An issuer with a new key."""
        transit = MemoryTransit()
        await transit.create_key(KEY, KeyKind.SIGNING)
        issuer = cls(transit, clock or SystemClock())
        await issuer.keys.refresh()
        return issuer

    async def token(self, claims: Claims = ALICE, ttl_s: float = TOKEN_S) -> str:
        """A token of these claims."""
        return await self.minter.mint(claims, ttl_s)


@contextmanager
def acting_as(claims: Claims = ALICE, *, deadline: float | None = None, token: str = "") -> Iterator[Caller]:
    """Run the block as if a request of this caller were being served."""
    caller = Caller(
        tenant_id=claims.tenant_id,
        subject=claims.subject,
        roles=claims.roles,
        scopes=claims.scopes,
        key_id=claims.key_id,
        token=token,
        actor=claims.actor,
    )
    request = RequestContext(caller=caller, request_id="test-request", trace_id="0" * 31 + "1", deadline=deadline)
    with context.use(request):
        yield caller
