"""Lets a central OPA evaluate policy."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httpx

from mesh.policy.evaluator import PolicyUnavailable, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT_S = 2.0
_log = logging.getLogger(__name__)


class CentralOpa:
    """An OPA server, asked through its Data API; the revision of its bundle is the policy's id."""

    blocking = True

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)

    def policy_id(self) -> str:
        """Revision of OPA's bundle; PolicyUnavailable when OPA cannot tell it."""
        provenance = self._ask("data", {}, {"provenance": "true"}).get("provenance")
        bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
        revisions = sorted(str(bundle.get("revision", "")) for bundle in (bundles or {}).values())
        if not revisions or not all(revisions):
            _log.error("OPA names no bundle revision: give its bundle the digest of the policy as revision")
            raise PolicyUnavailable
        return "+".join(revisions)

    def evaluate(self, rule: str, input_: Mapping[str, object]) -> object:
        """The value of a rule; PolicyUnavailable when it is undefined, fails, or OPA does not answer."""
        answer = self._ask(rule.replace(".", "/"), input_, {"strict-builtin-errors": "true"})
        if "result" not in answer:
            _log.error("policy rule %s is undefined for its input", rule)
            raise PolicyUnavailable
        return answer["result"]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, path: str, input_: Mapping[str, object], query: Mapping[str, str]) -> dict[str, object]:
        try:
            response = self._client.post(f"/v1/{path}", json={"input": input_}, params=dict(query))
            response.raise_for_status()
            answer = response.json()
        except (httpx.HTTPError, ValueError, TypeError) as error:
            _log.error("OPA cannot answer %s: %s", path, first_line(error))
            raise PolicyUnavailable from error
        if not isinstance(answer, dict):
            raise PolicyUnavailable
        return answer
