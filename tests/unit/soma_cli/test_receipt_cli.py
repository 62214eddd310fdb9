"""`soma receipt`."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest
from typer.testing import CliRunner

from soma_cli import output
from soma_cli.app import build
from soma_cli.client import EdgeClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_local.home import Home

RECEIPT = {
    "receipt_id": "8a000000-0000-8000-8000-000000000001",
    "job_id": "01890000-0000-7000-8000-000000000001",
    "form": "RECEIPT_FORM_FULL",
    "causes": ["RECEIPT_CAUSE_TOOL_FAILED"],
    "state": "completed",
    "observed_quality": 0.91,
    "attempts": 2,
    "cost_micro_usd": "1500",
    "latency_ms": "2100",
    "end_time": "2026-11-20T10:00:00Z",
    "attempt_details": [
        {"step_id": "diagram", "attempt": 1, "capability_id": "mermaid@local", "error_code": "TIMEOUT"}
    ],
}


class Edge:
    """Answers every path with receipts, and remembers it."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def get_json(self, path: str) -> str:
        self.paths.append(path)
        one = path.startswith("/v1/admin/receipts/")
        return json.dumps(RECEIPT if one else {"receipts": [{**RECEIPT, "attempt_details": []}]})


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Edge:
    made = Edge()

    @contextmanager
    def for_home(_: Home) -> Iterator[EdgeClient]:
        yield cast("EdgeClient", made)

    monkeypatch.setattr(EdgeClient, "for_home", for_home)
    monkeypatch.setattr(output.console, "width", 200)
    return made


def soma(*words: str) -> str:
    return CliRunner().invoke(build(), list(words), catch_exceptions=False).stdout


def test_a_line_tells_what_was_out_of_order(edge: Edge) -> None:
    listed = soma("receipt", "list")
    for word in (RECEIPT["job_id"], "completed", "full", "0.91", "$0.0015", "2.1 s", "tool failed"):
        assert str(word) in listed


def test_filters_are_asked_of_the_mesh(edge: Edge) -> None:
    soma("receipt", "list", "--form", "full", "--cause", "tool_failed", "--limit", "7")
    assert edge.paths == ["/v1/admin/receipts?page_size=7&form=RECEIPT_FORM_FULL&cause=RECEIPT_CAUSE_TOOL_FAILED"]


def test_a_full_receipt_shows_its_attempts(edge: Edge) -> None:
    shown = soma("receipt", "show", "any")
    assert "mermaid@local" in shown
    assert "TIMEOUT" in shown


@pytest.mark.parametrize("words", [("list",), ("show", "any")])
def test_programs_get_what_the_mesh_answered(edge: Edge, words: tuple[str, ...]) -> None:
    answer = json.loads(soma("receipt", *words, "--json"))
    assert answer.get("receipts", [answer])[0]["receipt_id"] == RECEIPT["receipt_id"]
