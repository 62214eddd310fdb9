"""Credentials of tenants from the secret store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.secrets import Secrets
    from svc_executor.domain.provider import Credential

_FOLDER = "tenants"


class TenantCredentials:
    """`Credentials` below `tenants/<tenant>/`. A path without secrets gives none: the provider says what it lacks."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def read(self, tenant_id: str, path: str) -> Mapping[str, Credential]:
        """See the port."""
        if not path:
            return {}
        try:
            return await self._secrets.read(f"{_FOLDER}/{tenant_id}/{path}")
        except SomaError as error:
            if error.reason is Reason.NOT_FOUND:
                return {}
            raise
