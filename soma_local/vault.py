"""Provisions the secret store: secrets engines, signing keys, a policy and a token for each context."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter

from soma_local.home import write_private

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from mesh.contexts import ContextDeclaration
    from soma_local.home import Home

IDENTITY_KEY = "soma-identity"
_TIMEOUT_S = 20.0
_TOKEN_PERIOD = "8760h"  # noqa: S105 - a duration: a token is valid for a year after its renewal at each start
_NOT_FOUND = 404
_BAD_REQUEST = 400

# Every context reads its own secrets and signs its own tokens (for work that outlives a call).
_COMMON_RULES = {
    "secret/data/{context}/*": ("read",),
    f"transit/keys/{IDENTITY_KEY}": ("read",),
    f"transit/sign/{IDENTITY_KEY}": ("update",),
}


class VaultError(Exception):
    """The secret store rejected a request; the message has its reason."""


class _Key(BaseModel):
    model_config = ConfigDict(extra="ignore")

    public_key: str = ""


class Vault:
    """A client of the Vault API for provisioning."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str) -> AsyncIterator[Vault]:
        """Connects to the Vault API at `url`."""
        headers = {"X-Vault-Token": token}
        async with httpx.AsyncClient(
            base_url=f"{url}/v1/", headers=headers, timeout=_TIMEOUT_S, trust_env=False
        ) as client:
            yield cls(client)

    async def ensure_mount(self, path: str, engine_type: str, options: Mapping[str, str] | None = None) -> None:
        """Mounts a secrets engine unless the path has one."""
        mounts = await self._call("GET", "sys/mounts")
        if f"{path}/" not in mounts:
            await self._call("POST", f"sys/mounts/{path}", {"type": engine_type, "options": dict(options or {})})

    async def ensure_transit_key(self, name: str, key_type: str) -> None:
        """Creates a signing or encryption key unless it exists."""
        if await self._get_or_none(f"transit/keys/{name}") is None:
            await self._call("POST", f"transit/keys/{name}", {"type": key_type})

    async def public_keys(self, name: str) -> Mapping[int, str]:
        """Returns the public keys of a transit key by version, base64 of the raw bytes for ed25519."""
        data = (await self._call("GET", f"transit/keys/{name}")).get("data")
        keys = TypeAdapter(dict[int, _Key]).validate_python(data.get("keys", {}) if isinstance(data, dict) else {})
        return {version: key.public_key for version, key in keys.items()}

    async def write_once(self, path: str, values: Mapping[str, str]) -> bool:
        """Writes a secret below `secret/` unless it exists; returns whether it was written."""
        body = {"data": dict(values), "options": {"cas": 0}}
        response = await self._client.post(f"secret/data/{path}", json=body)
        if response.status_code == _BAD_REQUEST and "check-and-set" in response.text:
            return False
        _raise_for_status(response)
        return True

    async def write_policy(self, name: str, rules: Mapping[str, Sequence[str]]) -> None:
        """Writes a policy: the capabilities on each path."""
        document = "\n".join(
            f'path "{path}" {{ capabilities = [{", ".join(f"{chr(34)}{verb}{chr(34)}" for verb in verbs)}] }}'
            for path, verbs in rules.items()
        )
        await self._call("PUT", f"sys/policies/acl/{name}", {"policy": document})

    async def create_token(self, policy: str) -> str:
        """Creates a renewable token with one policy."""
        body = {"policies": [policy], "no_parent": True, "period": _TOKEN_PERIOD, "display_name": policy}
        response = await self._call("POST", "auth/token/create", body)
        auth = response.get("auth")
        return str(auth["client_token"]) if isinstance(auth, dict) else ""

    async def renew(self, token: str) -> bool:
        """Renews a token; returns whether it is still valid."""
        response = await self._client.post("auth/token/renew", json={"token": token})
        return response.is_success

    async def _get_or_none(self, path: str) -> Mapping[str, object] | None:
        response = await self._client.get(path)
        if response.status_code == _NOT_FOUND:
            return None
        _raise_for_status(response)
        return TypeAdapter(dict[str, object]).validate_json(response.content)

    async def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
        response = await self._client.request(method, path, json=body)
        _raise_for_status(response)
        return TypeAdapter(dict[str, object]).validate_json(response.content) if response.content else {}


async def provision(home: Home, vault: Vault, contexts: Sequence[ContextDeclaration]) -> None:
    """Provisions the store for the services; idempotent, replaces no secret and no key."""
    await vault.ensure_mount("secret", "kv", {"version": "2"})
    await vault.ensure_mount("transit", "transit")
    for key in (IDENTITY_KEY, *(key for context in contexts for key in context.signing_keys)):
        await vault.ensure_transit_key(key, "ed25519")
    for context in contexts:
        own = {path.format(context=context.name): verbs for path, verbs in _COMMON_RULES.items()}
        await vault.write_policy(f"soma-{context.name}", {**own, **context.vault})
        file = home.secrets / f"vault-token-{context.name}"
        if not (file.exists() and await vault.renew(file.read_text(encoding="utf-8").strip())):
            write_private(file, await vault.create_token(f"soma-{context.name}"))


def _raise_for_status(response: httpx.Response) -> None:
    if response.is_error:
        raise VaultError(f"{response.request.method} {response.request.url.path}: {response.text.strip()[:500]}")
