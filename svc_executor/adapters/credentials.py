"""Credentials of tenants from the secret store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, invalid
from mesh.secrets import require_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.secrets import Secrets
    from soma_providers.port import Credential

_FOLDER = "tenants"


class TenantCredentials:
    """`Credentials` below `tenants/<tenant>/`. A path without secrets gives none: the provider says what it lacks.

    A path that could leave the tenant's folder is refused with INVALID_ARGUMENT, whoever let it into the registry.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def read(self, tenant_id: str, path: str) -> Mapping[str, Credential]:
        if not path:
            return {}
        # Each part by itself: a tenant or a path with a separator must not look like a deeper folder.
        tenant_id, path = _folder_name(tenant_id), require_path(path)
        try:
            return await self._secrets.read(f"{_FOLDER}/{tenant_id}/{path}")
        except SomaError as error:
            if error.reason is Reason.NOT_FOUND:
                return {}
            raise


def _folder_name(tenant_id: str) -> str:
    if "/" in tenant_id:
        raise invalid("tenant_id", "is not the name of one folder")
    return require_path(tenant_id)
