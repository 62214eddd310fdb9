"""Long forms on a whole mesh: 2,000 generated requests, and the tenant matrix with every id in every field.

In `make chaos` nothing else asks this mesh, so it is fresh when the generated requests come.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import hypothesis.core
import pytest
import requests
from google.protobuf import message_factory

from mesh.identity import Claims
from tests.e2e import test_tenant_matrix as matrix
from tests.e2e.test_edge_contract import ask_everything

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import grpc.aio
    from google.protobuf.descriptor import MethodDescriptor

    from tests.e2e.conftest import RunningMesh
    from tests.e2e.test_tenant_matrix import OwnedIds

SEED = int(os.environ.get("SOMA_SEED", "20261129"))
CASES = int(os.environ.get("SOMA_CASES", "2000"))
MORE = 1.15
"""Of the cases asked for some are not made: an operation may have fewer different requests than its share."""
TENANT_ROLES = ("viewer", "member", "admin")
LONG = 8

owned_ids = matrix.owned_ids
channel = matrix.channel


@dataclass(frozen=True)
class Caller:
    """Who asks. `name` is for reports; a `known` caller is somebody, though of another tenant."""

    name: str
    token: str
    known: bool


@dataclass(frozen=True)
class Question:
    """A method, the field that holds an id, and the id: one of the development tenant's."""

    method: MethodDescriptor
    path: tuple[str, ...]
    value: str

    def __str__(self) -> str:
        return f"{self.method.full_name} {'.'.join(self.path)}={self.value}"


def questions(owned_ids: OwnedIds) -> Iterator[Question]:
    """Every method, every id field, every id."""
    for method in matrix.methods():
        for path in matrix.id_fields(method.input_type):
            for value in sorted(set(owned_ids.ids.values())):
                yield Question(method, path, value)


def shown(owned_ids: OwnedIds, text: str, asked: str) -> list[str]:
    """Which other ids of the owner an answer shows; short ones count as whole words alone."""
    return [
        name
        for name, value in owned_ids.ids.items()
        if value != asked and (value if len(value) > LONG else f'"{value}"') in text
    ]


def fault(caller: Caller, owned_ids: OwnedIds, asked: str, code: str, text: str) -> str:
    """What is wrong with an answer, "" when nothing is."""
    if not caller.known:
        return "" if code == "UNAUTHENTICATED" else "not turned away"
    if code == "INTERNAL":
        return "failed"
    seen = shown(owned_ids, text, asked)
    return f"shows {seen}" if seen else ""


async def callers(mesh: RunningMesh) -> Sequence[Caller]:
    """Another tenant in each of its roles, nobody, and those whose time is over."""
    strangers = [
        Caller(f"stranger {role}", await mesh.token(Claims("stranger", "mallory", roles=(role,))), known=True)
        for role in TENANT_ROLES
    ]
    late = [
        Caller(f"expired {role}", await mesh.token(Claims("dev", "late", roles=(role,)), ttl_s=-60), known=False)
        for role in ("member", "admin")
    ]
    forged = strangers[0].token[:-8] + "AAAAAAAA"
    return [*strangers, *late, Caller("nobody", "", known=False), Caller("forged", forged, known=False)]


@pytest.fixture
def statuses(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Counts what generated requests are answered, and makes them the same for the same seed."""
    counted: Counter[int] = Counter()
    ask = requests.Session.request

    def counting(session: requests.Session, method: str, url: str, **rest: object) -> requests.Response:
        answer = ask(session, method, url, **rest)  # type: ignore[arg-type]
        counted[answer.status_code] += 1
        return answer

    monkeypatch.setattr(requests.Session, "request", counting)
    monkeypatch.setattr(hypothesis.core, "global_force_seed", SEED)
    return counted


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_openapi_document_is_true_in_the_long_run(mesh: RunningMesh, statuses: Counter[int]) -> None:
    found = ask_everything(mesh, round(CASES * MORE), operations=60)
    print(f"seed {SEED}: {statuses.total()} generated requests, {dict(statuses)}, {len(found)} wrong")  # noqa: T201 - to be repeated
    assert found == []
    assert statuses.total() >= CASES


@dataclass(frozen=True)
class UndocumentedServer:
    """What the generated requests want of a mesh, of a server whose document does not tell all its answers."""

    url: str
    authority: Path = Path("/nowhere")
    key: str = "key"


@pytest.fixture
def undocumented_server() -> Iterator[UndocumentedServer]:
    """Serves a document that knows of 200 alone, and answers everything with 503."""
    operation = {"operationId": "ask", "responses": {"200": {"description": "always"}}}
    document = {"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {"/ask": {"get": operation}}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(document).encode()
            self.send_response(200 if self.path == "/openapi.json" else 503)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield UndocumentedServer(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_generated_requests_catch_an_answer_that_is_not_documented(
    undocumented_server: UndocumentedServer, statuses: Counter[int]
) -> None:
    """A planted bug."""
    found = ask_everything(undocumented_server, 1, operations=1)  # type: ignore[arg-type]
    assert found == ["GET /ask: 503"]
    assert statuses[503] == 1


OWNED = matrix.OwnedIds(
    {"job_id": "01900000-aaaa-7000-8000-000000000000", "key_id": "k-0123456789", "tenant_id": "dev"}
)
STRANGER, NOBODY = Caller("stranger", "token", known=True), Caller("nobody", "", known=False)


@pytest.mark.parametrize(
    ("caller", "code", "text", "caught"),
    [
        (STRANGER, "OK", f'job {{ job_id: "{OWNED.ids["job_id"]}" key_id: "k-0123456789" }}', "shows ['key_id']"),
        (STRANGER, "NOT_FOUND", 'tenant "dev" has no such job', "shows ['tenant_id']"),
        (STRANGER, "INTERNAL", "", "failed"),
        (STRANGER, "NOT_FOUND", f"job {OWNED.ids['job_id']} does not exist, see the developers", ""),
        (NOBODY, "NOT_FOUND", "", "not turned away"),
        (NOBODY, "UNAUTHENTICATED", "", ""),
    ],
)
def test_the_matrix_catches_answers_that_show_too_much(caller: Caller, code: str, text: str, caught: str) -> None:
    """Planted bugs, and answers that are right."""
    assert fault(caller, OWNED, OWNED.ids["job_id"], code, text) == caught


@pytest.mark.slow
@pytest.mark.timeout(1_800)
async def test_no_id_in_any_field_shows_anything_to_anybody_else(
    mesh: RunningMesh, channel: grpc.aio.Channel, owned_ids: OwnedIds
) -> None:
    wrong: list[str] = []
    codes: Counter[tuple[str, str]] = Counter()
    everybody = await callers(mesh)
    for question in questions(owned_ids):
        request = message_factory.GetMessageClass(question.method.input_type)()
        matrix.put(request, question.path, question.value)
        for caller in everybody:
            code, text = await matrix.call(channel, question.method, request, caller.token)
            codes[caller.name, code] += 1
            problem = fault(caller, owned_ids, question.value, code, text)
            if problem:
                wrong.append(f"{question} as {caller.name}: {problem}: {code} {text[:200]}")
    print(f"{codes.total()} pairs: {dict(codes)}")  # noqa: T201 - to be read
    assert wrong == []
    assert codes.total() >= 2_000
    assert codes["stranger admin", "NOT_FOUND"] > 100
