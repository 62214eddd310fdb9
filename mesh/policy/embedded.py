"""Evaluates policy in this process."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING

import regorus

from mesh.policy.evaluator import PolicyUnavailable, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.policy.bundle import Bundle

_UNDEFINED = "<undefined>"
_BUNDLES_PER_THREAD = 4
_log = logging.getLogger(__name__)


class _Engines(threading.local):
    """The parsed bundles of one thread, by digest.

    An engine may only be used, and only be dropped, by the thread that made it: so it belongs to the thread, not to
    whoever asks, and no variable that a traceback could keep alive names it.
    """

    def __init__(self) -> None:
        self._parsed: dict[str, regorus.Engine] = {}

    def answer(self, bundle: Bundle, rule: str, input_json: str) -> str:
        """The value of the rule as JSON; RuntimeError when it has none."""
        self.parse(bundle)
        self._parsed[bundle.digest].set_input_json(input_json)
        return str(self._parsed[bundle.digest].eval_rule_as_json(rule))

    def parse(self, bundle: Bundle) -> None:
        """Make the engine unless it is there; RuntimeError when the policy does not parse."""
        if bundle.digest in self._parsed:
            return
        while len(self._parsed) >= _BUNDLES_PER_THREAD:
            del self._parsed[next(iter(self._parsed))]
        self._parsed[bundle.digest] = regorus.Engine()
        try:
            for name, text in bundle.modules:
                self._parsed[bundle.digest].add_policy(name, text)
            self._parsed[bundle.digest].add_data_json(bundle.data)
        except BaseException:
            del self._parsed[bundle.digest]
            raise


_ENGINES = _Engines()


class EmbeddedRego:
    """Regorus, in this process."""

    is_immutable = True

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        try:
            _ENGINES.parse(bundle)  # a policy that does not parse is found at start
        except RuntimeError as error:
            _log.error("policy does not parse: %s", error)
            raise PolicyUnavailable from error

    @property
    def policy_id(self) -> str:
        """Digest of the bundle."""
        return self._bundle.digest

    def evaluate_sync(self, rule: str, input_: Mapping[str, object]) -> object:
        """Like `evaluate`, which takes well under a millisecond here."""
        try:
            value: object = json.loads(_ENGINES.answer(self._bundle, rule, json.dumps(input_)))
        except (RuntimeError, TypeError, ValueError) as error:
            _log.error("policy rule %s failed: %s", rule, first_line(error))
            raise PolicyUnavailable from error
        if value == _UNDEFINED:
            _log.error("policy rule %s is undefined for its input", rule)
            raise PolicyUnavailable
        return value

    async def evaluate(self, rule: str, input_: Mapping[str, object]) -> object:
        """The value of a rule; PolicyUnavailable when it is undefined or fails."""
        return self.evaluate_sync(rule, input_)

    async def close(self) -> None:
        """Nothing is held but memory."""
