"""Secrets and keys in any store that speaks Vault's API: Vault itself, or OpenBao."""

from __future__ import annotations

import base64
import binascii
import logging
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError, invalid, not_found
from mesh.secrets.paths import require_path
from mesh.secrets.ports import DataKey, KeyKind
from mesh.secrets.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mesh.clock import Clock
    from mesh.settings import VaultSettings

_TIMEOUT_S = 5.0
_CACHE_S = 5.0
_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND = 400, 403, 404
_ANSWER = TypeAdapter(dict[str, object])
_log = logging.getLogger(__name__)


class _Version(BaseModel):
    model_config = ConfigDict(extra="ignore")

    public_key: str


class Vault:
    """A connection to the store, with the token of a file that an agent may renew."""

    def __init__(self, client: httpx.AsyncClient, settings: VaultSettings) -> None:
        self._client = client
        self._settings = settings
        self._token: Secret[str] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: VaultSettings) -> AsyncIterator[Vault]:
        """Open the connection; the first call reads the token."""
        trust = ssl.create_default_context(cafile=str(settings.ca_file)) if settings.ca_file else True
        async with httpx.AsyncClient(
            base_url=f"{settings.address}/v1/", timeout=_TIMEOUT_S, trust_env=False, verify=trust
        ) as client:
            yield cls(client, settings)

    async def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object] | None:
        """The `data` of the answer; None when nothing is there.

        INVALID_ARGUMENT when the path is none or the store refuses the request's content, else DEPENDENCY_UNAVAILABLE.
        The token is read again once when it is refused.
        """
        require_path(path)
        fresh = self._token is None
        response = await self._send(method, path, body)
        if response.status_code == _FORBIDDEN and not fresh:
            self._token = None
            response = await self._send(method, path, body)
        if response.status_code == _NOT_FOUND:
            return None
        if response.status_code == _BAD_REQUEST:
            _log.info("secret store refused %s %s", method, path)
            raise SomaError(Reason.INVALID_ARGUMENT, "The secret store refused the request")
        if response.is_error:
            _log.error("secret store answered %s %s with %d", method, path, response.status_code)
            raise _unavailable()
        data = _ANSWER.validate_json(response.content).get("data") if response.content else {}
        return data if isinstance(data, dict) else {}

    async def _send(self, method: str, path: str, body: Mapping[str, object] | None) -> httpx.Response:
        try:
            if self._token is None:
                self._token = Secret(self._settings.token_file.read_text(encoding="utf-8").strip())
            headers = {"X-Vault-Token": self._token.reveal()}
            request = self._client.build_request(method, quote(path), json=body, headers=headers)
            _require_unchanged(request, path)
            return await self._client.send(request)
        except (httpx.HTTPError, OSError) as error:
            _log.warning("secret store does not answer: %s", type(error).__name__)
            raise _unavailable() from error


class VaultSecrets:
    """KV version 2, cached for a few seconds."""

    def __init__(self, vault: Vault, mount: str = "secret", clock: Clock | None = None) -> None:
        self._vault = vault
        self._mount = mount
        self._clock = clock or SystemClock()
        self._cache: dict[str, tuple[float, Mapping[str, Secret[str]]]] = {}

    async def read(self, path: str) -> Mapping[str, Secret[str]]:
        """The secrets of a path, at most five seconds old; NOT_FOUND when there are none."""
        now = self._clock.monotonic()
        self._cache = {key: entry for key, entry in self._cache.items() if now - entry[0] < _CACHE_S}
        if path in self._cache:
            return self._cache[path][1]
        answer = await self._vault.call("GET", f"{self._mount}/data/{path}")
        values = answer.get("data") if answer is not None else None
        if not isinstance(values, dict):
            raise not_found("secret", path)
        found = {name: Secret(str(value)) for name, value in values.items()}
        self._cache[path] = (now, found)
        return found

    async def write(self, path: str, values: Mapping[str, Secret[str] | str]) -> None:
        """Replace the secrets of a path; this process sees it at once, others within seconds."""
        plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}
        self._cache.pop(path, None)
        await self._vault.call("POST", f"{self._mount}/data/{path}", {"data": plain})
        self._cache.pop(path, None)

    async def delete(self, path: str) -> None:
        """Forget a path with all its versions."""
        self._cache.pop(path, None)
        await self._vault.call("DELETE", f"{self._mount}/metadata/{path}")
        self._cache.pop(path, None)


class VaultTransit:
    """The transit engine."""

    def __init__(self, vault: Vault, mount: str = "transit") -> None:
        self._vault = vault
        self._mount = mount

    async def create_key(self, key: str, kind: KeyKind) -> None:
        """Make a key unless it exists."""
        if await self._vault.call("GET", f"{self._mount}/keys/{key}") is None:
            await self._vault.call("POST", f"{self._mount}/keys/{key}", {"type": kind.value})

    async def rotate(self, key: str) -> None:
        """Add a version to a key."""
        await self._require(key)
        await self._vault.call("POST", f"{self._mount}/keys/{key}/rotate", {})

    async def destroy(self, key: str) -> None:
        """Destroy a key with all its versions."""
        await self._require(key)
        await self._vault.call("POST", f"{self._mount}/keys/{key}/config", {"deletion_allowed": True})
        await self._vault.call("DELETE", f"{self._mount}/keys/{key}")

    async def sign(self, key: str, data: bytes, version: int | None = None) -> bytes:
        """The raw 64-byte signature of the data."""
        body: dict[str, object] = {"input": base64.b64encode(data).decode()}
        if version is not None:
            body["key_version"] = version
        try:
            answer = await self._use(f"sign/{key}", key, body)
        except SomaError as error:  # some stores call an unknown version their own failure
            if version is None or version in (versions := await self.public_keys(key)):
                raise
            raise invalid("version", f"the key has the versions {sorted(versions)}") from error
        return _unbase64(str(answer.get("signature", "")).rpartition(":")[2])

    async def public_keys(self, key: str) -> Mapping[int, bytes]:
        """The raw 32-byte public keys, by version."""
        try:
            versions = TypeAdapter(dict[int, _Version]).validate_python((await self._require(key)).get("keys"))
        except ValidationError:  # an encryption key lists times instead of public keys
            raise not_found("key", key) from None
        return {number: _unbase64(version.public_key) for number, version in versions.items()}

    async def data_key(self, key: str) -> DataKey:
        """A new data key, wrapped by the newest version."""
        answer = await self._use(f"datakey/plaintext/{key}", key, {"bits": 256})
        return DataKey(Secret(_unbase64(str(answer.get("plaintext", "")))), str(answer.get("ciphertext", "")))

    async def unwrap(self, key: str, wrapped: str) -> Secret[bytes]:
        """The data key of a wrapped form."""
        try:
            answer = await self._use(f"decrypt/{key}", key, {"ciphertext": wrapped})
        except SomaError as error:
            if error.reason is not Reason.INVALID_ARGUMENT:
                raise
            raise invalid("wrapped", "this key did not wrap it") from error
        return Secret(_unbase64(str(answer.get("plaintext", ""))))

    async def _use(self, path: str, key: str, body: Mapping[str, object]) -> dict[str, object]:
        try:
            answer = await self._vault.call("POST", f"{self._mount}/{path}", body)
        except SomaError as error:
            if error.reason is Reason.INVALID_ARGUMENT:  # a missing key and a bad request look alike
                await self._require(key)
            raise
        if answer is None:
            raise not_found("key", key)
        return answer

    async def _require(self, key: str) -> dict[str, object]:
        found = await self._vault.call("GET", f"{self._mount}/keys/{key}")
        if found is None:
            raise not_found("key", key)
        return found


def _require_unchanged(request: httpx.Request, path: str) -> None:
    """The last guard: whatever the client makes of a path, the store is asked for this one or not at all."""
    if not request.url.raw_path.endswith(f"/v1/{quote(path)}".encode()):
        raise invalid("path", "is not a valid path in the secret store")


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _unavailable() from error


def _unavailable() -> SomaError:
    return SomaError(
        Reason.DEPENDENCY_UNAVAILABLE,
        "The secret store does not answer; try again shortly",
        metadata={"component": "secrets"},
        retry_after_s=1.0,
    )
