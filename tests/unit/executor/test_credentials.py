"""Credentials of a tenant come from its own folder, whatever the registry says."""

from __future__ import annotations

import pytest

from mesh.errors import Reason, SomaError
from mesh.secrets import MemorySecrets
from svc_executor.adapters.credentials import TenantCredentials


@pytest.fixture
async def credentials() -> TenantCredentials:
    secrets = MemorySecrets()
    for tenant in ("mine", "victim"):
        await secrets.write(f"tenants/{tenant}/providers/openai", {"api_key": tenant})
    return TenantCredentials(secrets)


async def test_a_path_is_read_below_the_tenants_folder(credentials: TenantCredentials) -> None:
    found = await credentials.read("mine", "providers/openai")
    assert found["api_key"].reveal() == "mine"


async def test_without_a_path_and_without_secrets_there_are_none(credentials: TenantCredentials) -> None:
    assert await credentials.read("mine", "") == {}
    assert await credentials.read("mine", "providers/none") == {}


@pytest.mark.parametrize(
    ("tenant", "path"),
    [
        ("mine", "../victim/providers/openai"),
        ("mine", "providers/../../victim/providers/openai"),
        ("mine", "%2e%2e/victim/providers/openai"),
        ("mine", "..%2fvictim%2fproviders%2fopenai"),
        ("mine", "..\\victim\\providers\\openai"),
        ("mine", "/victim/providers/openai"),
        ("mine", "providers//openai"),
        ("mine", "providers/openai\n"),
        ("mine", "."),
        ("..", "tenants/victim/providers/openai"),
        ("mine/../victim", "providers/openai"),
        ("victim/providers", "openai"),
        ("", "victim/providers/openai"),
    ],
)
async def test_a_path_out_of_the_tenants_folder_is_refused(
    credentials: TenantCredentials, tenant: str, path: str
) -> None:
    with pytest.raises(SomaError) as refused:
        await credentials.read(tenant, path)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
