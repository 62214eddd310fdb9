"""Provisions the secret store: engines, the identity's signing key, one limited token for each context."""

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
_TOKEN_PERIOD = "8760h"  # noqa: S105 - a duration: a token lives a year from its last renewal, at each start
_NOT_FOUND = 404
_BAD_REQUEST = 400

# Every context reads its own secrets and signs as itself (tokens for work that outlives a call).
_COMMON_RULES = {
    "secret/data/{context}/*": ("read",),
    f"transit/keys/{IDENTITY_KEY}": ("read",),
    f"transit/sign/{IDENTITY_KEY}": ("update",),
}


class VaultError(Exception):
    """The secret store refused a request; the text holds its reasons."""


class _Key(BaseModel):
    model_config = ConfigDict(extra="ignore")

    public_key: str = ""


class Vault:
    """The few calls that provisioning needs, with a token that may make them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str) -> AsyncIterator[Vault]:
        """Connect to the Vault API at `url`."""
        headers = {"X-Vault-Token": token}
        async with httpx.AsyncClient(
            base_url=f"{url}/v1/", headers=headers, timeout=_TIMEOUT_S, trust_env=False
        ) as client:
            yield cls(client)

    async def ensure_mount(self, path: str, kind: str, options: Mapping[str, str] | None = None) -> None:
        """Mount a secrets engine unless something is mounted there."""
        mounts = await self._call("GET", "sys/mounts")
        if f"{path}/" not in mounts:
            await self._call("POST", f"sys/mounts/{path}", {"type": kind, "options": dict(options or {})})

    async def ensure_transit_key(self, name: str, kind: str) -> None:
        """Make a signing or encryption key unless it exists; a key is never replaced."""
        if await self._find(f"transit/keys/{name}") is None:
            await self._call("POST", f"transit/keys/{name}", {"type": kind})

    async def public_keys(self, name: str) -> Mapping[int, str]:
        """Give the public keys of a transit key by version, base64 of the raw bytes for ed25519."""
        data = (await self._call("GET", f"transit/keys/{name}")).get("data")
        keys = TypeAdapter(dict[int, _Key]).validate_python(data.get("keys", {}) if isinstance(data, dict) else {})
        return {version: key.public_key for version, key in keys.items()}

    async def write_once(self, path: str, values: Mapping[str, str]) -> bool:
        """Write a secret below `secret/` unless one is there; say whether it was written."""
        body = {"data": dict(values), "options": {"cas": 0}}
        response = await self._client.post(f"secret/data/{path}", json=body)
        if response.status_code == _BAD_REQUEST and "check-and-set" in response.text:
            return False
        _check(response)
        return True

    async def write_policy(self, name: str, rules: Mapping[str, Sequence[str]]) -> None:
        """Set a policy: paths and what may be done there."""
        document = "\n".join(
            f'path "{path}" {{ capabilities = [{", ".join(f"{chr(34)}{verb}{chr(34)}" for verb in verbs)}] }}'
            for path, verbs in rules.items()
        )
        await self._call("PUT", f"sys/policies/acl/{name}", {"policy": document})

    async def create_token(self, policy: str) -> str:
        """Give a new renewable token with one policy."""
        body = {"policies": [policy], "no_parent": True, "period": _TOKEN_PERIOD, "display_name": policy}
        answer = await self._call("POST", "auth/token/create", body)
        auth = answer.get("auth")
        return str(auth["client_token"]) if isinstance(auth, dict) else ""

    async def renew(self, token: str) -> bool:
        """Renew another's token; say whether it is still good."""
        response = await self._client.post("auth/token/renew", json={"token": token})
        return response.is_success

    async def _find(self, path: str) -> Mapping[str, object] | None:
        response = await self._client.get(path)
        if response.status_code == _NOT_FOUND:
            return None
        _check(response)
        return TypeAdapter(dict[str, object]).validate_json(response.content)

    async def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
        response = await self._client.request(method, path, json=body)
        _check(response)
        return TypeAdapter(dict[str, object]).validate_json(response.content) if response.content else {}


async def provision(home: Home, vault: Vault, contexts: Sequence[ContextDeclaration]) -> None:
    """Bring the store to the state that the services expect; safe to repeat, replaces no secret and no key."""
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


def _check(response: httpx.Response) -> None:
    if response.is_error:
        raise VaultError(f"{response.request.method} {response.request.url.path}: {response.text.strip()[:500]}")
