"""Rego policy: evaluated in this process, or by a central OPA, with the same answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Protocol, Self

import httpx
import regorus

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

    from mesh.context import Caller
    from mesh.settings import PolicySettings

ALLOW = "data.soma.authz.allow"
_PACKAGED = "policy"
_UNDEFINED = "<undefined>"
_BUNDLES_PER_THREAD = 4
_OPA_TIMEOUT_S = 2.0
_log = logging.getLogger(__name__)


class PolicyUnavailable(SomaError):  # noqa: N818 - the name that callers know
    """Policy could not be asked, or has no answer: callers deny."""

    def __init__(self) -> None:
        super().__init__(
            Reason.DEPENDENCY_UNAVAILABLE,
            "The policy that decides about this is not available; try again shortly",
            metadata={"component": "policy"},
            retry_after_s=1.0,
        )


@dataclass(frozen=True)
class Bundle:
    """The text of all modules by file name, in the order of their names, and the digest of it all."""

    modules: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, folder: Traversable) -> Bundle:
        """Every `.rego` file of a folder but its tests (`*_test.rego`); PolicyUnavailable when there is none."""
        names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".rego"))
        modules = tuple(
            (name, (folder / name).read_text(encoding="utf-8")) for name in names if not name.endswith("_test.rego")
        )
        if not modules:
            _log.error("no policy found in %s", folder)
            raise PolicyUnavailable
        return cls(modules)

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over names and texts."""
        digest = hashlib.sha256()
        for part in (part.encode() for module in self.modules for part in module):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.hexdigest()


class Evaluator(Protocol):
    """Answers rules. `blocking` says whether an answer may take a network round trip."""

    blocking: bool

    def policy_id(self) -> str:
        """Digest of the policy that answers."""

    def evaluate(self, rule: str, input_: Mapping[str, object]) -> object:
        """The value of a rule; PolicyUnavailable when it has none."""

    def close(self) -> None:
        """Give back what it holds."""


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
        except BaseException:
            del self._parsed[bundle.digest]
            raise


_ENGINES = _Engines()


class EmbeddedRego:
    """Regorus, in this process."""

    blocking = False

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        try:
            _ENGINES.parse(bundle)  # a policy that does not parse is found at start
        except RuntimeError as error:
            _log.error("policy does not parse: %s", error)
            raise PolicyUnavailable from error

    def policy_id(self) -> str:
        """Digest of the bundle."""
        return self._bundle.digest

    def evaluate(self, rule: str, input_: Mapping[str, object]) -> object:
        """The value of a rule; PolicyUnavailable when it is undefined or fails."""
        try:
            value: object = json.loads(_ENGINES.answer(self._bundle, rule, json.dumps(input_)))
        except (RuntimeError, TypeError, ValueError) as error:
            _log.error("policy rule %s failed: %s", rule, _first_line(error))
            raise PolicyUnavailable from error
        if value == _UNDEFINED:
            _log.error("policy rule %s is undefined for its input", rule)
            raise PolicyUnavailable
        return value

    def close(self) -> None:
        """Nothing is held but memory."""


class CentralOpa:
    """An OPA server, asked through its Data API; the revision of its bundle is the policy's id."""

    blocking = True

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=_OPA_TIMEOUT_S, trust_env=False)

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
            _log.error("OPA cannot answer %s: %s", path, _first_line(error))
            raise PolicyUnavailable from error
        if not isinstance(answer, dict):
            raise PolicyUnavailable
        return answer


class Policy:
    """The policy of the mesh. Whoever asks denies when it raises PolicyUnavailable."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    @classmethod
    def load(cls, settings: PolicySettings) -> Policy:
        """The central OPA when one is set, else the bundle of `bundle_dir` or the packaged one."""
        if settings.opa_url is not None:
            return cls(CentralOpa(settings.opa_url))
        return cls(EmbeddedRego(Bundle.read(settings.bundle_dir or resources.files(_PACKAGED))))

    def __enter__(self) -> Self:
        """Use until the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what the evaluator holds."""
        self.close()

    def close(self) -> None:
        """Close what the evaluator holds."""
        self._evaluator.close()

    @property
    def policy_id(self) -> str:
        """Digest of the policy that answers now."""
        return self._evaluator.policy_id()

    def evaluate(self, rule: str, input_: Mapping[str, object], /) -> object:
        """The value of a rule such as `data.soma.authz.allow`, as plain data; PolicyUnavailable without one.

        Takes well under a millisecond in-process. With a central OPA it waits for the network: use `ask` in coroutines.
        """
        return self._evaluator.evaluate(rule, input_)

    async def ask(self, rule: str, input_: Mapping[str, object]) -> object:
        """Like `evaluate`, without holding up the event loop."""
        if self._evaluator.blocking:
            return await asyncio.to_thread(self._evaluator.evaluate, rule, input_)
        return self._evaluator.evaluate(rule, input_)


class RegoAuthorizer:
    """Lets a caller perform an action when `data.soma.authz.allow` is true, and in no other case."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def authorize(self, action: str, caller: Caller) -> None:
        """Return when allowed; PERMISSION_DENIED otherwise, PolicyUnavailable when nobody can tell."""
        verdict = await self._policy.ask(
            ALLOW,
            {
                "action": action,
                "subject": caller.subject,
                "roles": list(caller.roles),
                "scopes": list(caller.scopes),
                "tenant": caller.tenant_id,
                "actor": caller.actor,
            },
        )
        if verdict is not True:
            raise SomaError(
                Reason.PERMISSION_DENIED,
                f"The caller may not perform {action}",
                metadata={"action": action},
            )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
