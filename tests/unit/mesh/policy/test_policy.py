"""Policy: answers, identity, and what happens without one."""

from __future__ import annotations

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from mesh.context import Caller
from mesh.errors import Reason, SomaError
from mesh.policy import Bundle, EmbeddedRego, Policy, PolicyUnavailable, RegoAuthorizer
from mesh.policy.grants import installed_grants
from mesh.settings import PolicySettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

_AUTHZ = """
package soma.authz

default allow := false

allow if {
    input.action in data.soma.roles.actions[input.roles[_]]
    input.tenant != ""
}
"""
_ROLES = """
package soma.roles

actions := {"author": {"job.create", "job.read"}}

only_with_limit := x if x := input.limit

broken := 1 / input.divisor

names contains name if some name in input.names
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "authz.rego").write_text(_AUTHZ)
    (tmp_path / "roles.rego").write_text(_ROLES)
    (tmp_path / "roles_test.rego").write_text("package soma.roles_test\n\ntest_nothing if true\n")
    return tmp_path


@pytest.fixture
def opa(bundle: Path) -> Iterator[str]:
    """OPA's Data API over the same bundle."""
    rego = Bundle.read(bundle, installed_grants())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path, _, query = self.path.partition("?")
            answer: dict[str, object] = {}
            with contextlib.suppress(PolicyUnavailable):
                rule = path.removeprefix("/v1/").replace("/", ".")
                answer["result"] = EmbeddedRego(rego).evaluate_sync(rule, body["input"])
            if "provenance=true" in query:
                answer["provenance"] = {"bundles": {"soma": {"revision": rego.digest}}}
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["embedded", "central"])
async def policy(request: pytest.FixtureRequest, bundle: Path) -> AsyncIterator[Policy]:
    url = request.getfixturevalue("opa") if request.param == "central" else None
    async with Policy.load(PolicySettings(bundle_dir=bundle, opa_url=url)) as loaded:
        yield loaded


def asking(action: str, *roles: str, tenant: str = "a") -> dict[str, object]:
    return {"action": action, "roles": list(roles), "tenant": tenant}


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        (asking("job.create", "author"), True),
        (asking("job.create", "reader"), False),
        (asking("job.delete", "author"), False),
        (asking("job.create", "author", tenant=""), False),
        ({}, False),
    ],
)
async def test_rules_answer(policy: Policy, request_: dict[str, object], verdict: bool) -> None:
    assert await policy.evaluate("data.soma.authz.allow", request_) is verdict


async def test_sets_come_as_lists(policy: Policy) -> None:
    assert await policy.evaluate("data.soma.roles.names", {"names": ["b", "a"]}) == ["a", "b"]


@pytest.mark.parametrize(
    ("rule", "input_"),
    [
        ("data.soma.roles.only_with_limit", {}),
        ("data.soma.authz.no_such_rule", {}),
        ("data.nowhere.allow", {}),
        ("data.soma.roles.broken", {"divisor": 0}),
    ],
)
async def test_a_rule_without_an_answer_is_unavailable(policy: Policy, rule: str, input_: dict[str, object]) -> None:
    with pytest.raises(PolicyUnavailable):
        await policy.evaluate(rule, input_)


async def test_the_policy_id_is_the_digest_of_the_bundle_wherever_it_is_evaluated(policy: Policy, bundle: Path) -> None:
    assert policy.policy_id == Bundle.read(bundle, installed_grants()).digest


def test_every_change_of_the_bundle_changes_its_id(bundle: Path) -> None:
    before = Bundle.read(bundle).digest
    (bundle / "roles.rego").write_text(_ROLES + "\n# changed\n")
    assert Bundle.read(bundle).digest != before


def test_tests_of_the_policy_are_not_part_of_it(bundle: Path) -> None:
    before = Bundle.read(bundle).digest
    (bundle / "roles_test.rego").unlink()
    assert Bundle.read(bundle).digest == before


def test_threads_evaluate_side_by_side(bundle: Path) -> None:
    policy = Policy.load(PolicySettings(bundle_dir=bundle))
    with ThreadPoolExecutor(4) as threads:
        requests = [asking("job.create", "author" if number % 2 else "reader") for number in range(200)]
        verdicts = list(threads.map(lambda request: policy.evaluate_sync("data.soma.authz.allow", request), requests))
    assert verdicts == [bool(number % 2) for number in range(200)]


def test_an_input_that_is_not_json_is_unavailable(bundle: Path) -> None:
    policy = Policy.load(PolicySettings(bundle_dir=bundle))
    with pytest.raises(PolicyUnavailable):
        policy.evaluate_sync("data.soma.authz.allow", {"when": object()})


def test_a_folder_without_policy_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(PolicyUnavailable):
        Policy.load(PolicySettings(bundle_dir=tmp_path))


def test_a_policy_that_does_not_parse_is_refused_at_start(bundle: Path) -> None:
    (bundle / "bad.rego").write_text("package bad\n\nallow if {")
    with pytest.raises(PolicyUnavailable):
        Policy.load(PolicySettings(bundle_dir=bundle))


def test_the_packaged_policy_loads() -> None:
    assert Policy.load(PolicySettings()).evaluate_sync("data.soma.authz.allow", {}) is False


def caller(*roles: str) -> Caller:
    return Caller("a", "ann", roles, (), "k1", "token")


async def test_an_allowed_action_passes(policy: Policy) -> None:
    await RegoAuthorizer(policy).authorize("job.create", caller("author"))


async def test_a_denied_action_names_itself(policy: Policy) -> None:
    with pytest.raises(SomaError, match=r"job\.delete") as caught:
        await RegoAuthorizer(policy).authorize("job.delete", caller("author"))
    assert caught.value.reason is Reason.PERMISSION_DENIED


async def test_nobody_passes_when_opa_is_away() -> None:
    async with Policy.load(PolicySettings(opa_url="http://127.0.0.1:9")) as policy:
        with pytest.raises(PolicyUnavailable):
            await RegoAuthorizer(policy).authorize("job.create", caller("author"))
        with pytest.raises(PolicyUnavailable):
            _ = policy.policy_id


async def test_nobody_passes_without_the_rule(tmp_path: Path) -> None:
    (tmp_path / "other.rego").write_text("package other\n\nx := 1\n")
    policy = Policy.load(PolicySettings(bundle_dir=tmp_path))
    with pytest.raises(PolicyUnavailable):
        await RegoAuthorizer(policy).authorize("job.create", caller("author"))
