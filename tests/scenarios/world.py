"""A mesh with its tenants, a provider that is paid and a site, as the scenarios use them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from mesh.secrets import Vault, VaultSecrets
from mesh.settings import VaultSettings
from tests.bench.soak.__main__ import restarts
from tests.bench.soak.rest import client_of
from tests.conformance.openai import KEY, OpenAiServer
from tests.scenarios.scenario import expect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

    from tests.bench.rig import Rig
    from tests.conformance.site import Site
    from tests.conformance.wire import Received, Reply

ROLES = ("viewer", "member", "admin")
JOBS, CAPABILITIES, SELECTIONS = "/v1/multimodal/jobs", "/v1/multimodal/capabilities", "/v1/selections"
UPLOADS, ASSETS = "/v1/uploads", "/v1/multimodal/assets"
UNENDED = {"JOB_STATE_PENDING", "JOB_STATE_RUNNING"}
SLOW = "slow"
_TRIES = 6
_ENDED_ON_THE_WAY = {httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT}
Json = dict[str, Any]


class PaidProvider(OpenAiServer):
    """OpenAI's API; the model `slow` answers once it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def judge(self, request: Received) -> Reply:
        """Answer as the reference says, in time or late."""
        if f'"{SLOW}"'.encode() in request.body:
            self.released.wait(120)
        return super().judge(request)

    def calls(self, about: str) -> list[Received]:
        """The calls whose body holds a text."""
        return [each for each in self.received if about.encode() in each.body]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lets the model `slow` wait for the end of the block."""
        self.released.clear()
        try:
            yield
        finally:
            self.released.set()

    @contextmanager
    def answering(self, text: str, finish: str = "stop") -> Iterator[None]:
        """Gives this answer meanwhile."""
        before = self.text, self.finish
        self.text, self.finish = text, finish
        try:
            yield
        finally:
            self.text, self.finish = before


@dataclass
class Tenant:
    """A tenant and a client with an administrator's key."""

    tenant_id: str
    client: httpx.AsyncClient

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401  httpx's own
        """An answer, whatever its status; asked for again where the edge or a deadline ended the call.

        What is asked must be repeatable. A service that is held up is told by `watching`, not by these.
        """
        for _ in range(_TRIES):
            try:
                answer = await self.client.request(method, path, **options)
            except httpx.TransportError:
                answer = httpx.Response(httpx.codes.SERVICE_UNAVAILABLE)
            if answer.status_code not in _ENDED_ON_THE_WAY:
                break
            await asyncio.sleep(1)
        return answer

    async def ask(self, method: str, path: str, **options: Any) -> Json:  # noqa: ANN401  httpx's own
        """The body of an answer that must be good."""
        answer = await self.call(method, path, **options)
        expect(answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        found: Json = answer.json()
        return found

    async def submit(self, *tasks: Mapping[str, object], **fields: object) -> str:
        """The id of a job that is made of these tasks."""
        body = {"plan": {"version": "1.0", "tasks": list(tasks), **fields}, "request_id": os.urandom(8).hex()}
        return str((await self.ask("POST", JOBS, json=body))["job_id"])

    async def ended(self, job_id: str) -> Json:
        """A job once it has ended; outages on the way are waited for."""
        while True:
            answer = await self.call("GET", f"{JOBS}/{job_id}")
            if answer.is_success and answer.json()["state"] not in UNENDED:
                found: Json = answer.json()
                return found
            await asyncio.sleep(0.3)

    async def run(self, *tasks: Mapping[str, object], **fields: object) -> Json:
        """A job of these tasks once it has ended."""
        return await self.ended(await self.submit(*tasks, **fields))

    async def attempts(self, job_id: str) -> Sequence[Json]:
        """The attempts of a job."""
        found: Sequence[Json] = (await self.ask("GET", f"{JOBS}/{job_id}/describe")).get("executions", [])
        return found

    async def upload(self, content: bytes, media_type: str = "text/plain", **query: str) -> httpx.Response:
        """The answer to an upload."""
        return await self.call(
            "POST", UPLOADS, params={"filename": "a.txt", **query}, content=content,
            headers={"content-type": media_type},
        )  # fmt: skip


@dataclass
class World:
    """All that takes part."""

    rig: Rig
    provider: PaidProvider
    site: Site
    stack: AsyncExitStack
    innocent: Tenant
    hostile: Tenant

    @classmethod
    @asynccontextmanager
    async def open(cls, rig: Rig, provider: PaidProvider, site: Site) -> AsyncIterator[World]:
        """On a mesh that runs and may fetch from the provider and the site."""
        async with AsyncExitStack() as stack:
            tenants = [await _tenant(rig, stack, name) for name in ("innocent", "hostile")]
            yield cls(rig, provider, site, stack, *tenants)

    async def tenant(self, name: str) -> Tenant:
        """One more tenant."""
        return await _tenant(self.rig, self.stack, name)

    async def another_key(self, tenant: Tenant) -> Tenant:
        """The same tenant with another key of its own."""
        return await _with_key(self.rig, self.stack, tenant.tenant_id)

    async def keep_secret(self, tenant_id: str, path: str, key: str = KEY) -> None:
        """Stores a provider's key of a tenant, as its operators do."""
        settings = VaultSettings(
            address=self.rig.variable("SA01_VAULT_ADDRESS"),
            token_file=self.rig.home.secrets / "vault-token-gateway",
        )
        async with Vault.open(settings) as vault:
            await VaultSecrets(vault).write(f"tenants/{tenant_id}/{path}", {"api_key": key})

    async def paid(self, tenant: Tenant, model: str, *, picture: bool = False) -> Json:
        """A capability of the tenant's own at the provider, alone on a task type of its name."""
        await self.keep_secret(tenant.tenant_id, "providers/openai")
        name = f"p{os.urandom(4).hex()}"
        units = ["PRICE_UNIT_IMAGE"] if picture else ["PRICE_UNIT_INPUT_TOKEN", "PRICE_UNIT_OUTPUT_TOKEN"]
        return await tenant.ask("POST", CAPABILITIES, json={
            "tool_id": name, "provider": "openai", "kind": "CAPABILITY_KIND_MODEL", "task_types": [name],
            "adapter": "openai_images" if picture else "openai_chat", "model": model,
            "modalities": ["MODALITY_IMAGE" if picture else "MODALITY_TEXT"],
            "endpoint": f"{self.provider.url}/v1", "credential_path": "providers/openai",
            "price_list": {"prices": [{"unit": unit, "micro_usd": 1_000} for unit in units]},
        })  # fmt: skip

    async def called(self, tenant: Tenant, job_id: str, about: str) -> None:
        """Waits until the provider is called about something; raises WrongError when the job ended before."""

        async def reached() -> bool:
            answer = await tenant.call("GET", f"{JOBS}/{job_id}")
            job = answer.json() if answer.is_success else {}
            expect(job.get("state", "JOB_STATE_RUNNING") in UNENDED, f"before the provider was called: {job}")
            return bool(self.provider.calls(about))

        await eventually(reached)

    def restarts(self) -> dict[str, int]:
        """How often each program was started again."""
        return restarts(self.rig)

    async def kill(self, program: str) -> None:
        """Kills a program and waits until it was started again."""
        before = self.rig.pid(program)
        os.kill(before, signal.SIGKILL)

        async def again() -> bool:
            found = self.rig.pid(program)
            return bool(found) and found != before and psutil.pid_exists(found)

        await eventually(again)

    @contextmanager
    def stopped(self, program: str) -> Iterator[None]:
        """Stops a program and its children meanwhile."""
        whole = psutil.Process(self.rig.pid(program))
        tree = [whole, *whole.children(recursive=True)]
        for process in tree:
            process.suspend()
        try:
            yield
        finally:
            for process in tree:
                if process.is_running():
                    process.resume()


async def eventually(met: Callable[[], Awaitable[bool]], pause_s: float = 0.3) -> None:
    """Waits for a condition; the bound of the scenario ends it."""
    while not await met():  # noqa: ASYNC110  what is waited for is in other processes
        await asyncio.sleep(pause_s)


async def _tenant(rig: Rig, stack: AsyncExitStack, name: str) -> Tenant:
    return await _with_key(rig, stack, f"{name}-{os.urandom(3).hex()}")


async def _with_key(rig: Rig, stack: AsyncExitStack, tenant_id: str) -> Tenant:
    secret = await asyncio.to_thread(rig.tenant_key, tenant_id, "pro", ROLES)
    return Tenant(tenant_id, await stack.enter_async_context(client_of(rig.url, str(rig.authority), secret)))
