"""`soma audit`."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest
from google.protobuf.json_format import ParseDict
from typer.testing import CliRunner

from soma_cli import output
from soma_cli.app import build
from soma_cli.client import EdgeClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from google.protobuf.message import Message
    from typer.testing import Result

    from soma_local.home import Home

EVENT = {
    "audit_id": "01890000-0000-7000-8000-000000000001",
    "sequence": "7",
    "occur_time": "2026-11-20T10:00:00Z",
    "record": {
        "action": "budget.write", "subject": "alice", "resource_type": "budget", "resource_id": "b-1",
        "decision": "AUDIT_DECISION_DENIED", "reason": "too much",
    },
}  # fmt: skip
FAULT = {"sequence": "3", "kind": "AUDIT_FAULT_KIND_BROKEN_LINK", "detail": "it does not follow the entry before"}


class Edge:
    """Answers as the edge does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.faults: list[dict[str, str]] = []
        self.parts: list[dict[str, object]] = []

    def get_json(self, path: str) -> str:
        self.paths.append(path)
        return json.dumps({"audit_events": [EVENT]})

    def post(self, message_type: type[Message], path: str, body: dict[str, object]) -> Message:
        self.paths.append(f"{path} {json.dumps(body)}")
        if self.parts:
            return ParseDict(self.parts.pop(0), message_type())
        return ParseDict(
            {"intact": not self.faults, "entries": "7", "first_sequence": "1", "last_sequence": "7",
             "faults": self.faults, "anchor": {"sequence": "5", "create_time": "2026-11-20T10:00:00Z"}}, message_type()
        )  # fmt: skip

    def download(self, path: str, target: Path) -> None:
        self.paths.append(path)
        target.write_text('{"entry":{}}\n{"anchor":null}\n')


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Edge:
    made = Edge()

    @contextmanager
    def for_home(_: Home) -> Iterator[EdgeClient]:
        yield cast("EdgeClient", made)

    monkeypatch.setattr(EdgeClient, "for_home", for_home)
    monkeypatch.setattr(output.console, "width", 200)
    return made


def soma(*words: str) -> Result:
    return CliRunner().invoke(build(), list(words))


def test_a_line_tells_who_did_what(edge: Edge) -> None:
    listed = soma("audit", "list", "--denied", "--resource", "budget").stdout
    for word in ("7", "2026-11-20 10:00:00", "alice", "budget.write", "budget b-1", "denied", "too much"):
        assert word in listed
    assert edge.paths == ["/v1/admin/audit?page_size=20&resource_type=budget&decision=AUDIT_DECISION_DENIED"]


def test_programs_get_the_list_as_it_was_answered(edge: Edge) -> None:
    assert json.loads(soma("audit", "list", "--json").stdout) == {"audit_events": [EVENT]}


def test_a_whole_chain_is_called_intact(edge: Edge) -> None:
    done = soma("audit", "verify", "--from", "3")
    assert (done.exit_code, "intact: 7 entries, 1 to 7" in done.stdout, "entry 5" in done.stdout) == (0, True, True)
    assert edge.paths == ['/v1/admin/audit:verify {"platform": false, "from_sequence": 3}']


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_chain_with_faults_fails_the_command(edge: Edge, form: list[str]) -> None:
    edge.faults = [FAULT]
    done = soma("audit", "verify", *form)
    assert done.exit_code == 1
    assert "it does not follow the entry before" in done.stdout


PARTS: list[dict[str, object]] = [
    {"intact": True, "entries": "5", "first_sequence": "1", "last_sequence": "5", "next_sequence": "6",
     "last_digest": "aa", "anchor": {"sequence": "4", "create_time": "2026-11-20T10:00:00Z"}},
    {"intact": False, "entries": "4", "first_sequence": "6", "last_sequence": "9", "next_sequence": "10",
     "last_digest": "", "faults": [FAULT]},
    {"intact": True, "entries": "2", "first_sequence": "10", "last_sequence": "11", "next_sequence": "0",
     "last_digest": "cc"},
]  # fmt: skip


def test_a_chain_is_verified_part_by_part_to_its_end(edge: Edge) -> None:
    edge.parts = list(PARTS)
    done = soma("audit", "verify", "--platform")
    assert done.exit_code == 1
    for said in ("checked up to entry 5\n", "checked up to entry 9\n", "1 faults: 11 entries, 1 to 11\n", "entry 4"):
        assert said in done.stdout
    assert [path.partition(" ")[2] for path in edge.paths] == [
        '{"platform": true, "from_sequence": 0}',
        '{"platform": true, "from_sequence": 6, "previous_digest": "aa"}',
        '{"platform": true, "from_sequence": 10}',
    ]


def test_programs_get_all_parts_as_one(edge: Edge) -> None:
    edge.parts = [PARTS[0], PARTS[2]]
    done = soma("audit", "verify", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["intact"], found["entries"]) == (0, True, 7)
    assert (found["first_sequence"], found["last_sequence"], found["next_sequence"]) == (1, 11, 0)
    assert (found["last_digest"], found["anchor"]["sequence"]) == ("cc", 4)


def test_a_pass_goes_on_from_the_digest_of_an_earlier_one(edge: Edge) -> None:
    soma("audit", "verify", "--from", "12", "--digest", "cc")
    assert edge.paths == ['/v1/admin/audit:verify {"platform": false, "from_sequence": 12, "previous_digest": "cc"}']


def test_an_export_is_written_to_a_file(edge: Edge, tmp_path: Path) -> None:
    file = tmp_path / "chain.ndjson"
    assert "1 entries" in soma("audit", "export", str(file), "--platform").stdout
    assert edge.paths == ["/v1/admin/audit:export?from_sequence=0&platform=true"]
    assert json.loads(soma("audit", "export", str(file), "--json").stdout)["entries"] == 1
