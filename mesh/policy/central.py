"""Lets a central OPA evaluate policy."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import httpx

from mesh.policy.evaluator import PolicyUnavailable, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.clock import Clock

TIMEOUT_S = 2.0
REFRESH_S = 5.0
_log = logging.getLogger(__name__)


class CentralOpa:
    """An OPA server, asked through its Data API; the revision of its bundle is the policy's id.

    Each answer tells the revision, and `follow` asks for it where nobody asks for anything else. While OPA hangs, each
    who asks waits for `timeout_s` at most, and nobody else waits.
    """

    is_immutable = False

    def __init__(self, url: str, clock: Clock, *, timeout_s: float = TIMEOUT_S) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._client = httpx.AsyncClient(base_url=url, timeout=timeout_s, trust_env=False, limits=limits)
        self._clock = clock
        self._timeout_s = timeout_s
        self._revision: str | None = None

    @property
    def policy_id(self) -> str:
        """Revision of OPA's bundle as heard last; PolicyUnavailable when it was never told."""
        if self._revision is None:
            raise PolicyUnavailable
        return self._revision

    async def evaluate(self, rule: str, input_: Mapping[str, object]) -> object:
        """The value of a rule; PolicyUnavailable when it is undefined, fails, or OPA does not answer."""
        answer = await self._post(rule.replace(".", "/"), input_)
        if "result" not in answer:
            _log.error("policy rule %s is undefined for its input", rule)
            raise PolicyUnavailable
        return answer["result"]

    async def refresh(self) -> None:
        """Ask for the revision; PolicyUnavailable when OPA cannot tell it."""
        await self._post("data/system/version", {})
        if self._revision is None:
            _log.error("OPA names no bundle revision: give its bundle the digest of the policy as revision")
            raise PolicyUnavailable

    async def follow(self) -> None:
        """Keep the revision fresh, for ever."""
        while True:
            await self._clock.sleep(REFRESH_S)
            await self.refresh()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, path: str, input_: Mapping[str, object]) -> dict[str, object]:
        query = {"strict-builtin-errors": "true", "provenance": "true"}
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.post(f"/v1/{path}", json={"input": input_}, params=query)
            response.raise_for_status()
            answer = response.json()
        except (httpx.HTTPError, TimeoutError, ValueError, TypeError) as error:
            _log.error("OPA cannot answer %s: %s", path, first_line(error))
            raise PolicyUnavailable from error
        if not isinstance(answer, dict):
            raise PolicyUnavailable
        self._revision = _revision(answer.get("provenance")) or self._revision
        return answer


def _revision(provenance: object) -> str:
    """The revisions of all bundles, "" when one has none."""
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    revisions = sorted(str(bundle.get("revision", "")) for bundle in (bundles or {}).values())
    return "+".join(revisions) if all(revisions) else ""
