"""What the contracts say of each method: its deadline, and when a failed call is sent again."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Retry:
    """When and how often a failed call is sent again."""

    max_attempts: int
    """All attempts together, the first included."""
    initial_backoff_s: float
    max_backoff_s: float
    multiplier: float
    codes: frozenset[str]
    """Names of the gRPC codes after which the call is sent again."""

    def ceiling_s(self, failures: int) -> float:
        """Longest pause after so many failures in a row, in seconds."""
        return min(self.initial_backoff_s * self.multiplier ** min(failures - 1, 32), self.max_backoff_s)


@dataclass(frozen=True)
class MethodRule:
    """Deadline and retries of a method."""

    timeout_s: float
    """Seconds for all attempts together; infinite for a response stream."""
    retry: Retry | None
    """None: the call is sent once."""


class Contract:
    """The gRPC service config that the contracts were generated with."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._rules = {
            f"/{name['service']}/{name['method']}": _rule(entry)
            for entry in config["methodConfig"]
            for name in entry["name"]
        }
        throttling = config["retryThrottling"]
        self.max_tokens = float(throttling["maxTokens"])
        """Retries stop while fewer than half of these are left; a failure takes one."""
        self.token_ratio = float(throttling["tokenRatio"])
        """What a call that succeeds gives back."""

    @classmethod
    def load(cls) -> Contract:
        """Reads the config that this package carries."""
        text = resources.files(__package__).joinpath("gen", "service_config.json").read_text(encoding="utf-8")
        return cls(json.loads(text))

    def rule(self, path: str) -> MethodRule:
        """The rule of `/package.Service/Method`; LookupError for a method that the contracts do not have."""
        found = self._rules.get(path)
        if found is None:
            raise LookupError(f"{path} is not in the contracts of this package")
        return found


def _rule(entry: Mapping[str, Any]) -> MethodRule:
    timeout_s = _seconds(entry["timeout"]) if "timeout" in entry else math.inf
    policy = entry.get("retryPolicy")
    if policy is None:
        return MethodRule(timeout_s, None)
    retry = Retry(
        int(policy["maxAttempts"]),
        _seconds(policy["initialBackoff"]),
        _seconds(policy["maxBackoff"]),
        float(policy["backoffMultiplier"]),
        frozenset(policy["retryableStatusCodes"]),
    )
    return MethodRule(timeout_s, retry)


def _seconds(text: str) -> float:
    """Reads a duration as JSON writes it, for example "0.1s"."""
    return float(text.removesuffix("s"))
