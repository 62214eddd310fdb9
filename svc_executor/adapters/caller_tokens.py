"""Tokens for the owners of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import Caller
from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.identity import TokenMinter
    from svc_executor.domain.job import CallerIdentity

SERVICE = "executor"


class MintedTokens:
    """An `CallerTokens` whose tokens are signed by the secret store and name the executor as the actor.

    `revoked` tells of the id of a key whether it is revoked.
    """

    def __init__(self, minter: TokenMinter, revoked: Callable[[str], bool]) -> None:
        self._minter = minter
        self._revoked = revoked

    async def token_for(self, owner: CallerIdentity) -> str:
        # Peers would refuse the token, but providers that run here would be called and paid until then.
        if self._revoked(owner.key_id):
            raise SomaError(Reason.UNAUTHENTICATED, "The key that the job was submitted with has been revoked")
        caller = Caller(owner.tenant_id, owner.subject, owner.roles, owner.scopes, owner.key_id, token="")
        return await self._minter.on_behalf(caller, SERVICE)
