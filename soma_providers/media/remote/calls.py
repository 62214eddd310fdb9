"""Calls a remote provider through the egress guard and gives its errors their meaning."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from soma_providers.port import (
    EgressError,
    EgressFailure,
    EgressRequest,
    EgressResponse,
    Failure,
    FailureOrigin,
    ProbeResult,
    ProviderError,
    storable_fields,
)

if TYPE_CHECKING:
    from datetime import datetime

    from soma_providers.port import Invocation, ProviderContext, Usage

KEY = "api_key"
_OK, _REDIRECT = 200, 300
_UNTRUSTED = frozenset({401, 403})
_CLIENT_ERRORS = frozenset({400, 404, 405, 409, 411, 413, 415, 422})
_REJECTED = frozenset({"content_policy_violation", "moderation_blocked", "content_moderation", "content_filter"})
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "payment_required"})
_PAYMENT_REQUIRED, _TOO_MANY, _SERVER_ERROR = 402, 429, 500
# Where a proxy gave up waiting, the provider may have done the work. Of Cloudflare's own codes, 520 and 524 follow a
# request that was sent, and 522 may; 521, 523, 525 and 526 tell that no connection was made.
_TIMEOUTS = frozenset({408, 504, 520, 522, 524})
_EGRESS = {
    EgressFailure.TIMEOUT: (Failure.TIMEOUT, "did not answer in time", FailureOrigin.PROVIDER),
    EgressFailure.UNREACHABLE: (Failure.UNAVAILABLE, "cannot be reached", FailureOrigin.PROVIDER),
    EgressFailure.INCOMPLETE: (Failure.UNAVAILABLE, "broke off its answer", FailureOrigin.PROVIDER),
    EgressFailure.TOO_LARGE: (Failure.UNAVAILABLE, "answered with more than is accepted", FailureOrigin.CALLER),
    EgressFailure.REFUSED: (Failure.UNAVAILABLE, "has an endpoint that the egress rules refuse", FailureOrigin.CALLER),
}
# Where the request went out and no whole answer came back, the provider may have done the work.
_MAY_HAVE_WORKED = frozenset({EgressFailure.TIMEOUT, EgressFailure.INCOMPLETE, EgressFailure.TOO_LARGE})
_MOST_VALUES = 250_000
_MOST_TOKENS = 10**9
_PROBED_AFTER_USE_S = 3_600.0
_UNASKED = ProbeResult(healthy=None, detail="not asked; its calls tell")


class RemoteCalls:
    """Calls one provider, `name` to people, whose own address is `base`."""

    def __init__(self, name: str, base: str, context: ProviderContext) -> None:
        self.name = name
        self._base = base
        self._egress = context.egress
        self._clock = context.clock
        self._probes = str(context.settings.get("probe_remote", "")).lower()
        self._listed = context.egress.is_listed(host_of(base))
        self._used_at: float | None = None

    def base(self, invocation: Invocation) -> str:
        """Give the base address of a call, without a slash at its end."""
        return (invocation.endpoint or self._base).rstrip("/")

    async def post(
        self,
        invocation: Invocation,
        path: str,
        content: bytes,
        headers: Mapping[str, str],
        *,
        max_usage: Usage,
        allow_missing_key: bool = False,
    ) -> EgressResponse:
        """Send one request with key and idempotency key; raise ProviderError for anything but success.

        `max_usage` is what it may consume, which is assumed where the answer does not arrive. With
        `allow_missing_key` a missing key is no failure: an endpoint of one's own may ask for none.
        """
        base = self.base(invocation)
        if base == self._base:
            self._used_at = self._clock.monotonic()
        key = "" if allow_missing_key and KEY not in invocation.credentials else self._key(invocation)
        sent = {"Idempotency-Key": invocation.idempotency_key, "User-Agent": "somamesh", **headers}
        if key:
            sent["Authorization"] = f"Bearer {key}"
        request = EgressRequest("POST", f"{base}{path}", sent, content, invocation.timeout_s)
        response = await self._fetch(request, max_usage)
        if not _OK <= response.status < _REDIRECT:
            raise self._failure(response, key)
        return response

    async def _fetch(self, request: EgressRequest, max_usage: Usage | None = None) -> EgressResponse:
        try:
            return await self._egress.fetch(request)
        except EgressError as error:
            reason, text, origin = _EGRESS[error.reason]
            usage = max_usage if error.reason in _MAY_HAVE_WORKED else None
            raise ProviderError(reason, f"{self.name} {text}", origin=origin, usage=_estimated(usage)) from error

    async def probe(self, path: str) -> ProbeResult:
        """Ask a free address of the provider's own; needs no key, so 401 is as good as 200.

        It is asked always where the egress rules list its host, else from its first use until an hour after its last,
        so that a machine that uses no remote provider stays silent. The setting `probe_remote` makes that always
        ("true") or never ("false").
        """
        now = self._clock.monotonic()
        in_use = self._used_at is not None and now - self._used_at < _PROBED_AFTER_USE_S
        if self._probes == "false" or not (self._listed or in_use or self._probes == "true"):
            return _UNASKED
        try:
            response = await self._fetch(
                EgressRequest("GET", f"{self._base}{path}", timeout_s=5.0, max_bytes=1024 * 1024)
            )
        except ProviderError as error:
            return ProbeResult(healthy=False, detail=error.message, endpoint=self._base)
        elapsed = (self._clock.monotonic() - now) * 1000
        healthy = response.status < _SERVER_ERROR
        detail = "" if healthy else f"{self.name} answered {response.status}"
        return ProbeResult(healthy, detail, elapsed, self._base)

    def json(self, response: EgressResponse, max_usage: Usage) -> Mapping[str, object]:
        """Read an answer's JSON object; raise ProviderError when it is none."""
        body = _object(response.content)
        if body is None:
            raise ProviderError(
                Failure.UNAVAILABLE, f"{self.name} gave an answer that cannot be read", usage=_estimated(max_usage)
            )
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


def _estimated(usage: Usage | None) -> Usage | None:
    return None if usage is None else replace(usage, estimated=True)


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


def as_count(value: object) -> int | None:
    """Take a value for a count; 3.0 is one too. None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        return None
    return int(value) if value == int(value) else None


def tokens_used(reported: object, sent: str, received: str, max_usage: Usage) -> Usage:
    """Give the tokens that the `usage` of an answer reports under the names `sent` and `received`.

    A number that is missing is taken from `max_usage`. No number is above 1,000,000,000.
    """
    found = as_object(reported)
    input_tokens, output_tokens = as_count(found.get(sent)), as_count(found.get(received))
    return replace(
        max_usage,
        input_tokens=max_usage.input_tokens if input_tokens is None else min(input_tokens, _MOST_TOKENS),
        output_tokens=max_usage.output_tokens if output_tokens is None else min(output_tokens, _MOST_TOKENS),
        estimated=input_tokens is None or output_tokens is None,
    )


def host_of(url: str) -> str:
    """Give the host of an address; empty for what is none, which the egress rules refuse."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def tokens_of(text: str) -> int:
    """Give about as many tokens as a text has at most: three bytes each."""
    return len(text.encode()) // 3 + 1


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
    """Read a JSON object, its texts made storable.

    None for anything else, and for one of so many values that reading it would take long.
    """
    if sum(content.count(mark) for mark in (b"{", b"[", b",")) > _MOST_VALUES:
        return None
    try:
        body = json.loads(content)
        return storable_fields(body) if isinstance(body, Mapping) else None
    except (ValueError, RecursionError):
        return None


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
