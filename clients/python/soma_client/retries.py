"""Sends failed calls again, where and as often as the contracts allow it."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, TypeVar

from soma_client.errors import CallError, CertificateError, DeadlineExceededError, Details

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from soma_client.contract import Contract, MethodRule, Retry
    from soma_client.system import System

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class Throttle:
    """Stops retries while most calls fail (gRFC A6): a failure takes a token, a success gives a part of one back."""

    def __init__(self, max_tokens: float, token_ratio: float) -> None:
        self._max = self._tokens = max_tokens
        self._ratio = token_ratio

    def succeeded(self) -> None:
        """Counts a call that was answered."""
        self._tokens = min(self._max, self._tokens + self._ratio)

    def failed(self) -> bool:
        """Counts a call that may be sent again; whether it should be."""
        self._tokens = max(0.0, self._tokens - 1)
        return self._tokens > self._max / 2


class Retries:
    """Runs the attempts of calls; one for a whole client, since the throttle counts all of its calls."""

    def __init__(self, contract: Contract, system: System) -> None:
        self._contract = contract
        self._system = system
        self._throttle = Throttle(contract.max_tokens, contract.token_ratio)

    async def run(
        self, path: str, timeout: float | None, attempt: Callable[[float], Awaitable[T]], *, repeatable: bool = True
    ) -> T:
        """Awaits `attempt`, again after failures that allow it, within `timeout` seconds or the contract's deadline.

        `attempt` is given the seconds that are left. Raises the CallError of the last attempt.
        """
        rule = self._contract.rule(path)
        limit_s = rule.timeout_s if timeout is None else timeout
        end = self._system.monotonic() + limit_s
        for failures in itertools.count(1):
            left_s = end - self._system.monotonic()
            if left_s <= 0:
                raise DeadlineExceededError(path, Details(f"No answer within {limit_s:g} s"))
            try:
                answer = await attempt(left_s)
            except CallError as error:
                pause_s = self._pause_s(rule if repeatable else None, error, failures)
                if pause_s is None or pause_s >= end - self._system.monotonic():
                    raise
                _LOG.debug("%s failed with %s, sent again in %.2f s", path, error.code, pause_s)
                await self._system.sleep(pause_s)
            else:
                self._throttle.succeeded()
                return answer
        raise AssertionError("unreachable")

    def _pause_s(self, rule: MethodRule | None, error: CallError, failures: int) -> float | None:
        """Seconds until the next attempt; None: there is none."""
        retry = rule.retry if rule is not None else None
        if retry is None or error.code not in retry.codes or isinstance(error, CertificateError):
            return None
        if not self._throttle.failed() or failures >= retry.max_attempts:
            return None
        return pause_s(retry, error, failures, self._system)


def pause_s(retry: Retry, error: CallError | None, failures: int, system: System) -> float:
    """Seconds to wait after so many failures in a row: what the mesh asked for, and a random part of the back-off."""
    asked_s = error.retry_after_s if error is not None else None
    return (asked_s or 0.0) + system.uniform(0.0, retry.ceiling_s(failures))
