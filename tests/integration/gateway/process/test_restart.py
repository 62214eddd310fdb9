"""What goes on while keys rotate and the control plane restarts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from soma_local.vault import IDENTITY_KEY, Vault
from tests.integration.gateway.process.rig import Mesh, new_key

if TYPE_CHECKING:
    import httpx


async def test_rotated_signing_key_is_accepted_and_connections_stay(mesh: Mesh) -> None:
    async with mesh.client() as client:
        assert (await client.get("/v1/health/components")).status_code == 200
        async with Vault.open(mesh.openbao.url, mesh.openbao.root_token) as vault:
            await vault.ensure_transit_key(IDENTITY_KEY, "ed25519")
            await vault._call("POST", f"transit/keys/{IDENTITY_KEY}/rotate")

        async def published() -> bool:
            return len((await client.get("/.well-known/jwks.json")).json()["keys"]) > 1

        await mesh.until(published, within_s=40)

        async def accepted() -> bool:
            made = (await client.post("/v1/token", json={})).json()
            async with mesh.client(made["token"]) as other:
                return (await other.get("/v1/health/components")).status_code == 200

        await mesh.until(accepted, within_s=40)
        assert (await client.get("/v1/health/components")).status_code == 200


async def refused_by_envoy(client: httpx.AsyncClient) -> bool:
    answer = await client.get("/v1/api-keys")
    return answer.status_code == 401 and "x-soma-reason" not in answer.headers


async def test_edge_serves_on_while_the_control_plane_restarts(mesh: Mesh) -> None:
    async with mesh.client() as client:
        revoked = await new_key(client)
        await client.delete(f"/v1/api-keys/{revoked['key_id']}")
        async with mesh.client(revoked["secret"]) as other:
            await mesh.until(partial(refused_by_envoy, other))
        first_key = mesh.key
        await mesh.gateway.kill()
        absent = await client.get("/v1/api-keys")
        assert (absent.status_code, absent.json()["details"][0]["reason"]) == (503, "UNAVAILABLE")
        assert absent.headers["retry-after"] == "1"
        async with mesh.client(revoked["secret"]) as other:
            assert (await other.get("/v1/api-keys")).status_code == 401
        await mesh.gateway.start()

        async def serves() -> bool:
            return (await client.get("/v1/api-keys")).status_code == 200

        await mesh.until(serves)
        assert mesh.key == first_key
        later = await new_key(client)
        await client.delete(f"/v1/api-keys/{later['key_id']}")
        async with mesh.client(later["secret"]) as other:
            # Until the proxy has found the new control plane, the service itself refuses.
            await mesh.until(partial(refused_by_envoy, other))
