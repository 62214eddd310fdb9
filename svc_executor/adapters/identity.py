"""Tokens for the owners of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import Caller

if TYPE_CHECKING:
    from mesh.identity import TokenMinter
    from svc_executor.domain.job import Principal

SERVICE = "executor"


class MintedIdentity:
    """An `Identity` whose tokens are signed by the secret store and name the executor as the actor."""

    def __init__(self, minter: TokenMinter) -> None:
        self._minter = minter

    async def on_behalf(self, owner: Principal) -> str:
        """See the port."""
        caller = Caller(owner.tenant_id, owner.subject, owner.roles, owner.scopes, owner.key_id, token="")
        return await self._minter.on_behalf(caller, SERVICE)
