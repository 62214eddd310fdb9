"""Keys and tenants: a case of each method whose request has an id."""

from __future__ import annotations

from tests.e2e.contexts.request_ids.api import Api, Case, Json, unused


def key(api: Api) -> Case:
    read = ("gateway.v1.ApiKeyService.ListApiKeys", {"page_size": 1})
    return Case({"api_key": {"display_name": "one"}}, {"api_key": {"display_name": "other"}}, "key_id", read)


def tenant(api: Api) -> Case:
    name = unused("once")

    def called(text: str) -> Json:
        return {"tenant": {"tenant_id": name, "plan": "pro", "display_name": text}}

    read = ("gateway.v1.TenantService.GetTenant", {"tenant_id": name})
    return Case(called("one"), called("other"), "tenant_id", read)


def changed_tenant(api: Api) -> Case:
    name = unused("once")
    api("gateway.v1.TenantService.CreateTenant", {"tenant": {"tenant_id": name, "plan": "pro"}})

    def called(text: str) -> Json:
        changed = {"tenant_id": name, "display_name": text}
        return {"tenant_id": name, "tenant": changed, "update_mask": "displayName"}

    read = ("gateway.v1.TenantService.GetTenant", {"tenant_id": name})
    later = called("later")
    return Case(
        called("one"), called("other"), "tenant_id", read, lambda _: api("gateway.v1.TenantService.UpdateTenant", later)
    )


CASES = {
    "gateway.v1.ApiKeyService.CreateApiKey": key,
    "gateway.v1.TenantService.CreateTenant": tenant,
    "gateway.v1.TenantService.UpdateTenant": changed_tenant,
}
