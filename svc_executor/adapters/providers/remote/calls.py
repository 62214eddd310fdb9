"""Calls a remote provider through the egress guard and gives its errors their meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from svc_executor.domain.egress import EgressError, EgressFailure, EgressRequest, EgressResponse
from svc_executor.domain.provider import Failure, ProbeResult, ProviderError

if TYPE_CHECKING:
    from datetime import datetime

    from svc_executor.domain.provider import Invocation, ProviderContext

KEY = "api_key"
_OK, _REDIRECT = 200, 300
_UNTRUSTED = frozenset({401, 403})
_CLIENT_ERRORS = frozenset({400, 404, 405, 409, 411, 413, 415, 422})
_REJECTED = frozenset({"content_policy_violation", "moderation_blocked", "content_moderation", "content_filter"})
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "payment_required"})
_PAYMENT_REQUIRED, _TOO_MANY, _TIMEOUTS, _SERVER_ERROR = 402, 429, frozenset({408, 504}), 500
_EGRESS = {
    EgressFailure.TIMEOUT: (Failure.TIMEOUT, "did not answer in time"),
    EgressFailure.UNREACHABLE: (Failure.UNAVAILABLE, "cannot be reached"),
    EgressFailure.INCOMPLETE: (Failure.UNAVAILABLE, "broke off its answer"),
    EgressFailure.TOO_LARGE: (Failure.UNAVAILABLE, "answered with more than is accepted"),
    EgressFailure.REFUSED: (Failure.UNAVAILABLE, "has an endpoint that the egress rules refuse"),
}


class RemoteCalls:
    """Calls one provider, `name` to people."""

    def __init__(self, name: str, context: ProviderContext) -> None:
        self.name = name
        self._egress = context.egress
        self._clock = context.clock
        self._probes = str(context.settings.get("probe_remote", "")).lower() == "true"

    async def post(
        self, invocation: Invocation, url: str, content: bytes, headers: Mapping[str, str], *, keyless: bool = False
    ) -> EgressResponse:
        """Send one request with key and idempotency key; raise ProviderError for anything but success.

        With `keyless` a missing key is no failure: an endpoint of one's own may ask for none.
        """
        key = "" if keyless and KEY not in invocation.credentials else self._key(invocation)
        sent = {"Idempotency-Key": invocation.idempotency_key, "User-Agent": "somamesh", **headers}
        if key:
            sent["Authorization"] = f"Bearer {key}"
        response = await self.fetch(EgressRequest("POST", url, sent, content, invocation.timeout_s))
        if not _OK <= response.status < _REDIRECT:
            raise self._failure(response, key)
        return response

    async def fetch(self, request: EgressRequest) -> EgressResponse:
        """Send a request as it is; raise ProviderError when no whole answer came."""
        try:
            return await self._egress.fetch(request)
        except EgressError as error:
            reason, text = _EGRESS[error.reason]
            raise ProviderError(reason, f"{self.name} {text}") from error

    async def probe(self, url: str) -> ProbeResult:
        """Say whether the provider's door answers; needs no key, so 401 is as good as 200.

        Nobody is called unless the setting `probe_remote` says so: a machine that uses no remote provider stays silent.
        """
        if not self._probes:
            return ProbeResult(healthy=True, detail="not probed; its calls tell")
        start = self._clock.monotonic()
        try:
            response = await self.fetch(EgressRequest("GET", url, timeout_s=5.0, max_bytes=1024 * 1024))
        except ProviderError as error:
            return ProbeResult(healthy=False, detail=error.message)
        elapsed = (self._clock.monotonic() - start) * 1000
        if response.status >= _SERVER_ERROR:
            return ProbeResult(healthy=False, detail=f"{self.name} answered {response.status}", latency_ms=elapsed)
        return ProbeResult(healthy=True, latency_ms=elapsed)

    def json(self, response: EgressResponse) -> Mapping[str, object]:
        """Read an answer's JSON object; raise ProviderError when it is none."""
        body = _object(response.content)
        if body is None:
            raise ProviderError(Failure.UNAVAILABLE, f"{self.name} gave an answer that cannot be read")
        return body

    def _key(self, invocation: Invocation) -> str:
        credential = invocation.credentials.get(KEY)
        if credential is None:
            raise ProviderError(Failure.AUTH_FAILED, f"no {KEY} of {self.name} is stored for this tenant")
        return credential.reveal()

    def _failure(self, response: EgressResponse, key: str) -> ProviderError:
        code, words = _said(response.content)
        words = (words.replace(key, "***") if key else words)[:300]
        if response.status == _TOO_MANY and code not in _NO_CREDIT:
            wait = _retry_after(response.headers.get("retry-after", ""), self._clock.now())
            return ProviderError(Failure.RATE_LIMITED, f"{self.name} asks to slow down", retry_after_s=wait)
        reason, text = _meaning(response.status, code, words)
        return ProviderError(reason, f"{self.name} {text}")


def _meaning(status: int, code: str, words: str) -> tuple[Failure, str]:
    """Give the reason of an error answer, and what to say after the provider's name."""
    meanings = (
        (code in _NO_CREDIT or status == _PAYMENT_REQUIRED, Failure.AUTH_FAILED, "has no credit left for this account"),
        (code in _REJECTED, Failure.CONTENT_REJECTED, f"refuses this content: {words}"),
        (status in _UNTRUSTED, Failure.AUTH_FAILED, f"does not accept the stored {KEY}"),
        (status in _TIMEOUTS, Failure.TIMEOUT, "did not finish in time"),
        (status in _CLIENT_ERRORS, Failure.INVALID_INPUT, f"does not accept the request: {words}"),
    )
    found = next(((reason, text) for applies, reason, text in meanings if applies), None)
    return found or (Failure.UNAVAILABLE, f"answered {status}")


def as_object(value: object) -> Mapping[str, object]:
    """Take a value for an object; anything else is an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_count(value: object) -> int:
    """Take a value for a count; anything else is 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _said(content: bytes) -> tuple[str, str]:
    """Give code and words of an error body: OpenAI's `error` object, or `name` with `errors`."""
    body = _object(content) or {}
    error = as_object(body.get("error"))
    if error:
        return str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")
    errors = body.get("errors")
    words = "; ".join(str(entry) for entry in errors) if isinstance(errors, list) else ""
    return str(body.get("name") or ""), words


def _object(content: bytes) -> Mapping[str, object] | None:
    try:
        body = json.loads(content)
    except ValueError:
        return None
    return body if isinstance(body, Mapping) else None


def _retry_after(value: str, now: datetime) -> float | None:
    """Read seconds or an HTTP date."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None
