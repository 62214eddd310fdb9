"""Every method with a `request_id`, called again under the same id through the edge.

One suite for all contexts: the methods are read from the contracts, and one without a case fails.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.e2e.contexts.request_ids.api import Api, Case, Json, unused
from tests.e2e.contexts.request_ids.cases import CASES, WITHOUT
from tests.request_ids import methods_with_request_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import RunningMesh


@pytest.fixture(scope="module")
def api(mesh: RunningMesh) -> Iterator[Api]:
    credentials = grpc.ssl_channel_credentials(mesh.authority.read_bytes())
    with grpc.secure_channel(f"localhost:{mesh.port}", credentials) as channel:
        yield Api(channel, mesh.key)


def state(api: Api, case: Case) -> str:
    return json.dumps(api(*case.read), sort_keys=True)


def test_every_method_with_a_request_id_has_a_case() -> None:
    names = {method.full_name for method in methods_with_request_id()}
    assert names == {f"soma.{name}" for name in (*CASES, *WITHOUT)}


@pytest.mark.parametrize("name", CASES)
def test_a_repeat_is_answered_and_changes_nothing(api: Api, name: str) -> None:
    check_repeat(api, name, CASES[name](api))


def check_repeat(api: Api, name: str, case: Case) -> None:
    id_ = unused("request")
    first = api(name, {**case.body, "request_id": id_})
    case.meanwhile(first)
    before = state(api, case)
    again = api(name, {**case.body, "request_id": id_})
    assert again[case.name] == first[case.name]
    assert state(api, case) == before


@pytest.mark.parametrize("name", CASES)
def test_another_request_under_the_same_id_is_refused_and_changes_nothing(api: Api, name: str) -> None:
    case, id_ = CASES[name](api), unused("request")
    case.meanwhile(api(name, {**case.body, "request_id": id_}))
    before = state(api, case)
    assert api.reason(name, {**case.other, "request_id": id_}) == "IDEMPOTENCY_MISMATCH"
    assert state(api, case) == before


@pytest.mark.parametrize("name", CASES)
def test_of_many_at_once_one_writes(api: Api, name: str) -> None:
    case, id_ = CASES[name](api), unused("request")
    body = {**case.body, "request_id": id_}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: api(name, body), range(6)))
    assert len({str(answer[case.name]) for answer in answers}) == 1
    case.meanwhile(answers[0])
    before = state(api, case)
    api(name, body)
    assert state(api, case) == before


class Forgetful(Api):
    """A planted bug: a method that does not read its request id, as SetLadder was."""

    def __init__(self) -> None:
        self.ladder: Json = {}

    def __call__(self, name: str, body: Json) -> Json:
        if name == "set":
            self.ladder = {"task_type": "once", "rungs": body["rungs"]}
        return self.ladder


def test_the_suite_catches_a_method_that_does_not_read_its_request_id() -> None:
    api = Forgetful()
    later: Json = {"rungs": "later"}
    case = Case({"rungs": "one"}, {"rungs": "other"}, "task_type", ("get", {}), lambda _: api("set", later))
    with pytest.raises(AssertionError):
        check_repeat(api, "set", case)
