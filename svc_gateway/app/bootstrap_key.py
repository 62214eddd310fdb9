"""Creates the tenant and the API key that a new installation starts with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import Caller
from mesh.errors import Reason, SomaError
from svc_gateway.app.keys import ApiKeyUseCases, KeySpec
from svc_gateway.domain.keys import PLATFORM_ADMIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from svc_gateway.app.ports import KeyFile
    from svc_gateway.app.tenants import Tenants

_ROLES = ("member", "admin", PLATFORM_ADMIN)
_SUBJECT = "bootstrap"


async def ensure_bootstrap_key(
    tenant_id: str,
    plan: str,
    file: KeyFile,
    *,
    lock: AbstractAsyncContextManager[None],
    keys: ApiKeyUseCases,
    tenants: Tenants,
    verify: Callable[[str], Awaitable[Caller]],
) -> None:
    """Creates the tenant with this plan unless it exists, and a key unless the file has a valid one.

    Every replica of the gateway runs this at its start; `lock` lets one of them in at a time.
    """
    async with lock:
        await _ensure(tenant_id, plan, file, keys, tenants, verify)


async def _ensure(  # noqa: PLR0917 - the arguments of its caller
    tenant_id: str,
    plan: str,
    file: KeyFile,
    keys: ApiKeyUseCases,
    tenants: Tenants,
    verify: Callable[[str], Awaitable[Caller]],
) -> None:
    platform = Caller(tenant_id=tenant_id, subject=_SUBJECT, roles=_ROLES, scopes=(), key_id="", token="")
    try:
        await tenants.get(platform, tenant_id)
    except SomaError as error:
        if error.reason is not Reason.NOT_FOUND:
            raise
        await tenants.create(tenant_id, "", plan)
    if not await _is_valid(file.read(), tenant_id, keys, verify):
        created = await keys.create(platform, KeySpec(display_name="first key", roles=_ROLES))
        file.write(created.secret)


async def _is_valid(
    secret: str, tenant_id: str, keys: ApiKeyUseCases, verify: Callable[[str], Awaitable[Caller]]
) -> bool:
    if not secret:
        return False
    try:
        caller = await verify(secret)
        await keys.get(caller, caller.key_id)
    except SomaError as error:
        if error.reason not in {Reason.UNAUTHENTICATED, Reason.NOT_FOUND}:
            raise
        return False
    return caller.tenant_id == tenant_id
