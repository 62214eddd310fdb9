"""Keys, tokens and tenants: made, used, revoked."""

from __future__ import annotations

import grpc
import grpc.aio
import httpx
import pytest

from soma.gateway.v1 import identity_service_pb2, identity_service_pb2_grpc
from tests.integration.gateway.process.rig import Mesh, new_key


async def test_first_key_is_left_for_its_owner_alone(mesh: Mesh) -> None:
    assert mesh.key_file.stat().st_mode & 0o777 == 0o600
    assert mesh.key.startswith("soma_test_")


async def test_secret_of_a_key_is_shown_once(mesh: Mesh) -> None:
    async with mesh.client() as client:
        made = await new_key(client)
        read = await client.get(f"/v1/api-keys/{made['key_id']}")
    assert made["secret"].startswith("soma_test_")
    assert read.json() == {**made, "secret": ""}


async def test_same_request_makes_one_key(mesh: Mesh) -> None:
    async with mesh.client() as client:
        first = await client.post("/v1/api-keys?request_id=once", json={"display_name": "a"})
        again = await client.post("/v1/api-keys?request_id=once", json={"display_name": "a"})
        other = await client.post("/v1/api-keys?request_id=once", json={"display_name": "b"})
    assert again.json() == {**first.json(), "secret": ""}
    assert (other.status_code, other.json()["details"][0]["reason"]) == (409, "IDEMPOTENCY_MISMATCH")


async def test_key_is_accepted_in_both_headers(mesh: Mesh) -> None:
    async with mesh.client() as client:
        secret = (await new_key(client, roles=["viewer"]))["secret"]
    async with mesh.client(secret) as client:
        assert (await client.get("/v1/health/components")).status_code == 200
    async with mesh.client("") as client:
        client.headers = httpx.Headers({"x-api-key": secret})
        assert (await client.get("/v1/health/components")).status_code == 200


async def test_roles_cannot_be_raised(mesh: Mesh) -> None:
    async with mesh.client() as client:
        admin = (await new_key(client, roles=["admin"]))["secret"]
    async with mesh.client(admin) as client:
        refused = await client.post("/v1/api-keys", json={"display_name": "x", "roles": ["platform_admin"]})
    assert (refused.status_code, refused.json()["details"][0]["reason"]) == (403, "PERMISSION_DENIED")


async def test_policy_decides_who_makes_keys(mesh: Mesh) -> None:
    async with mesh.client() as client:
        viewer = (await new_key(client, roles=["viewer"]))["secret"]
    async with mesh.client(viewer) as client:
        refused = await client.post("/v1/api-keys", json={"display_name": "x"})
    assert refused.status_code == 403


async def test_token_is_accepted_and_keeps_fewer_roles(mesh: Mesh) -> None:
    async with mesh.client() as client:
        made = await client.post("/v1/token", json={"ttl": "60s", "roles": ["viewer"]})
        assert made.status_code == 200, made.text
    async with mesh.client(made.json()["token"]) as client:
        assert (await client.get("/v1/tenants/dev")).json()["tenant_id"] == "dev"
        assert (await client.get("/v1/api-keys")).status_code == 403


async def test_revoked_key_and_its_tokens_are_refused(mesh: Mesh) -> None:
    async with mesh.client() as admin:
        made = await new_key(admin)
        async with mesh.client(made["secret"]) as client:
            token = (await client.post("/v1/token", json={})).json()["token"]
            async with mesh.client(token) as bearer:
                assert (await bearer.get("/v1/health/components")).status_code == 200
                assert (await admin.delete(f"/v1/api-keys/{made['key_id']}")).status_code == 200

                async def refused() -> bool:
                    answers = [await asker.get("/v1/health/components") for asker in (client, bearer)]
                    return all(answer.status_code == 401 for answer in answers)

                await mesh.until(refused)


async def test_revocation_takes_effect_at_the_edge_and_not_only_behind_it(mesh: Mesh) -> None:
    async with mesh.client() as admin:
        made = await new_key(admin)
        await admin.delete(f"/v1/api-keys/{made['key_id']}")
    async with mesh.client(made["secret"]) as client:

        async def refused_by_envoy() -> bool:
            answer = await client.get("/v1/health/components")
            return answer.status_code == 401 and "x-soma-reason" not in answer.headers

        await mesh.until(refused_by_envoy)


async def test_revocations_are_streamed_to_services_only(mesh: Mesh) -> None:
    async with mesh.channel() as channel:
        stub = identity_service_pb2_grpc.ApiKeyServiceStub(channel)
        call = stub.WatchRevocations(
            identity_service_pb2.WatchRevocationsRequest(), metadata=(("authorization", f"Bearer {mesh.key}"),)
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_tenants_see_themselves_alone(mesh: Mesh) -> None:
    async with mesh.client() as client:
        made = await client.post("/v1/tenants", json={"tenant_id": "acme", "display_name": "Acme"})
        assert (made.status_code, made.json()["plan"]) == (200, "none")
        assert (await client.post("/v1/tenants", json={"tenant_id": "acme"})).status_code == 409
        admin = (await new_key(client, roles=["admin"]))["secret"]
    async with mesh.client(admin) as client:
        assert (await client.get("/v1/tenants/acme")).status_code == 404
        assert [tenant["tenant_id"] for tenant in (await client.get("/v1/tenants")).json()["tenants"]] == ["dev"]


async def test_caller_reads_what_its_tenant_and_key_allow(mesh: Mesh) -> None:
    async with mesh.client() as client:
        before = (await client.get("/v1/tenants/dev")).json()
        body = {"permissions": {"personas": ["writer", "analyst"], "max_asset_bytes": {"image": "1000"}}}
        changed = await client.patch("/v1/tenants/dev?update_mask=permissions", json=body)
        assert changed.status_code == 200, changed.text
        narrowed = (await new_key(client, roles=["viewer"], personas=["writer"]))["secret"]
        refused = await client.post("/v1/api-keys", json={"display_name": "x", "personas": ["boss"]})
    async with mesh.client(narrowed) as client:
        found = (await client.get("/v1/permissions:effective")).json()
        assert (await client.patch("/v1/tenants/dev?update_mask=plan", json={})).status_code == 403
    assert before["plan"] == "dev"
    assert refused.status_code == 403
    assert (found["tenant_id"], found["plan"], found["personas"]) == ("dev", "dev", ["writer"])
    assert (found["max_asset_bytes"]["image"], found["data_classification_floor"]) == ("1000", "public")


async def test_pages_of_keys_are_complete_and_in_order(mesh: Mesh) -> None:
    async with mesh.client() as client:
        made = [(await new_key(client))["key_id"] for _ in range(3)]
        found: list[str] = []
        token = ""
        while True:
            page = (await client.get("/v1/api-keys", params={"page_size": 2, "page_token": token})).json()
            found += [key["key_id"] for key in page["api_keys"]]
            token = page["next_page_token"]
            if not token:
                break
        refused = await client.get("/v1/api-keys", params={"page_token": "%%%"})
    assert found[:3] == made[::-1]
    assert len(found) == len(set(found))
    assert refused.status_code == 400
