"""What clients do beside jobs: uploads, selections on a budget that is soon spent, and keys that are revoked."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import httpx

from mesh.testing.contract import eventually
from tests.chaos.contexts.messages.clients import Backoff
from tests.chaos.contexts.replicas.accounts import Asset, Purchase, Revoked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.chaos.contexts.messages.message_run import MessageRun
    from tests.chaos.contexts.replicas.members import Replica, Replicas

TOOL, PRICE, AFFORDED = "replicas", 5, 10
_NEED = {"modality": "MODALITY_TOOL", "task_type": TOOL}
_SOON_S = 120.0
_QUIET_ROUNDS = 20
_SENT_AGAIN = {408, 425, 429}
_SERVER_ERROR = 500


@dataclass
class Work:
    """The clients of one tenant, and what they know."""

    message_run: MessageRun
    members: Replicas
    again: bool = True
    """Whether another try of a request has the first one's id, as it should."""
    uploads: list[Asset] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    revoked: list[Revoked] = field(default_factory=list)

    async def prepare(self) -> None:
        """Register what costs money, and a budget for ten of it."""
        tenant, api = self.message_run.tenant_id, self.message_run.api
        tool = {
            "tool_id": TOOL,
            "provider": "replicas",
            "kind": "CAPABILITY_KIND_TOOL",
            "modalities": ["MODALITY_TOOL"],
            "task_types": [TOOL],
            "allow": {"tenants": [tenant]},
            "price_list": {"prices": [{"unit": "PRICE_UNIT_CALL", "micro_usd": PRICE}]},
        }
        (await api.post("/v1/multimodal/capabilities", json=tool)).raise_for_status()
        budget = {"modality": "MODALITY_TOOL", "limit_micro_usd": str(PRICE * AFFORDED)}
        (await api.put("/v1/budgets", json=budget)).raise_for_status()
        await eventually(self._all_know, within_s=_SOON_S)

    async def _all_know(self) -> bool:
        """Whether every replica of the selector that is met in many tries knows the tool."""
        need = {"requirements": _NEED, "dry_run": True}
        tries = (self.message_run.api.post("/v1/selections", json=need) for _ in range(_QUIET_ROUNDS))
        return all(answer.is_success for answer in await asyncio.gather(*tries))

    async def buy(self) -> None:
        """One selection that costs, until it is made or refused."""
        id_ = self.message_run.ids.new()

        def send(request_id: str) -> Awaitable[httpx.Response]:
            return self.message_run.api.post("/v1/selections", json={"requirements": _NEED, "request_id": request_id})

        answer = await self._sent("selection", id_, send)
        reservation_id = answer.json()["budget"]["reservation_id"] if answer.is_success else ""
        refusal = "" if answer.is_success else _reason(answer)
        self.purchases.append(Purchase(id_, reservation_id, refusal))

    async def upload(self) -> None:
        """One small file, until it is stored."""
        id_ = self.message_run.ids.new()
        content = f"replicas {id_}\n".encode()

        def send(request_id: str) -> Awaitable[httpx.Response]:
            query = {"filename": f"{id_}.txt", "request_id": request_id}
            headers = {"content-type": "text/plain"}
            return self.message_run.api.post("/v1/uploads", params=query, content=content, headers=headers)

        answer = await self._sent("upload", id_, send)
        answer.raise_for_status()
        self.uploads.append(Asset(answer.json()["asset_id"], f"{id_}.txt", hashlib.sha256(content).hexdigest()))

    async def revoke(self) -> None:
        """Make a key that every replica admits, revoke it, and wait until every replica refuses it."""
        id_ = self.message_run.ids.new()

        def make(_: str) -> Awaitable[httpx.Response]:  # a secret is told once: each try makes a key of its own
            return self.message_run.api.post("/v1/api-keys", json={"display_name": id_})

        made = (await self._sent("key", id_, make)).raise_for_status().json()
        await self._everywhere(made["secret"], admitted=True)
        await self.end(made["key_id"])
        self.revoked.append(Revoked(made["key_id"], made["secret"]))
        await self._everywhere(made["secret"], admitted=False)

    async def end(self, key_id: str) -> None:
        """Revoke a key, until that is acknowledged."""
        path = f"/v1/api-keys/{key_id}"
        (await self._sent("revocation", key_id, lambda _: self.message_run.api.delete(path))).raise_for_status()

    async def _everywhere(self, key: str, *, admitted: bool) -> None:
        async def holds(member: Replica) -> bool:
            return await self.members.admits(member, key) is admitted

        waits = (eventually(partial(holds, member), within_s=_SOON_S) for member in self.members.all)
        await asyncio.gather(*waits)

    async def _sent(
        self, what: str, message_id: str, send: Callable[[str], Awaitable[httpx.Response]]
    ) -> httpx.Response:
        """The answer to a request, sent again while it gets lost or is put off."""
        message_run = self.message_run
        backoff = Backoff(message_run.tally, message_run.clock)
        request_id = message_id
        while True:
            await backoff.next()
            try:
                answer = await send(request_id)
            except httpx.TransportError as failure:
                message_run.tally.lost[f"{what}: {type(failure).__name__}"] += 1
            else:
                put_off = answer.status_code >= _SERVER_ERROR or answer.status_code in _SENT_AGAIN
                if put_off and _reason(answer) != "BUDGET_EXCEEDED":
                    message_run.tally.put_off[f"{answer.status_code} {_reason(answer)}"] += 1
                elif not message_run.response_loss.loses(what):
                    return answer
            request_id = request_id if self.again else message_run.ids.new()


def _reason(answer: httpx.Response) -> str:
    """The reason in the body of an error."""
    try:
        details = answer.json()["details"]
    except (ValueError, KeyError, TypeError):
        return "without a reason"
    return next((str(item["reason"]) for item in details if "reason" in item), "without a reason")
