"""Tables at a terminal of 80 columns: each row is one line, and what has no room there is said below in one line."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest
from rich.text import Text
from typer.testing import CliRunner

from soma.provenance.v1.trace_service_pb2 import DecisionTrace
from soma_cli import output
from soma_cli.app import build
from soma_cli.client import EdgeClient
from soma_cli.commands.jobs import show_trace
from soma_cli.messages import parse
from tests.unit.soma_cli.answers import ID, TOO_SMALL, TRACES, Edge, body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_local.home import Home


@pytest.fixture(autouse=True)
def _edge(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def for_home(_: Home) -> Iterator[EdgeClient]:
        yield cast("EdgeClient", Edge())

    monkeypatch.setattr(EdgeClient, "for_home", for_home)
    monkeypatch.setattr(output.console, "width", 80)


@pytest.mark.parametrize("name", ["fallback", "rework", "partial", "no_candidate"])
def test_the_table_of_the_demonstration_has_a_line_for_each_attempt(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = parse(DecisionTrace, (TRACES / f"{name}.json").read_text(encoding="utf-8"))
    show_trace(trace)
    shown = capsys.readouterr().out
    rows = body(shown)
    assert len(rows) == sum(len(step.attempts) for step in trace.steps)
    assert max(map(len, rows)) <= 80


def test_the_reason_of_an_attempt_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_trace(parse(DecisionTrace, (TRACES / "rework.json").read_text(encoding="utf-8")))
    lines = capsys.readouterr().out.splitlines()
    assert "chart 1: why matplotlib_chart@local: rung 1 of the ladder" in lines
    assert f"chart 2: why rework: {TOO_SMALL}" in lines


@pytest.mark.parametrize(
    ("command", "below"),
    [
        ("job list", f"{ID}: title ISO 29148 SRS for a sign-in feature"),
        (
            "job describe x",
            f"architecture: type capture_screenshot; cost $0.0395; message {TOO_SMALL}",
        ),
        (
            "receipt list",
            f"{ID}: ended 2026-11-20 10:00; form compact; time 12.1 s; out of order tool failed, low quality",
        ),
        ("audit list", f"48211: who {ID}; to capability {ID}; why the tenant's own capability, of its own namespace"),
        ("dlq list", f"{ID}: since 2026-11-20 10:00:00; group provenance-facts; event AttemptFinished"),
    ],
)
def test_a_list_has_a_line_for_each_row_and_one_below_for_the_rest(command: str, below: str) -> None:
    shown = CliRunner().invoke(build(), command.split(), catch_exceptions=False).stdout
    assert [len(row) <= 80 for row in body(shown)] == [True]
    assert below in shown.splitlines()


def test_the_attempts_of_a_receipt_have_a_line_each() -> None:
    shown = CliRunner().invoke(build(), ["receipt", "show", ID], catch_exceptions=False).stdout
    assert [row for row in body(shown) if "playwright_screenshot@local" in row and "12.1 s" not in row]
    assert "architecture 1: error DEADLINE_EXCEEDED; cost $0.0395; time 12.1 s" in shown.splitlines()


def test_a_wide_terminal_keeps_all_in_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output.console, "width", 200)
    show_trace(parse(DecisionTrace, (TRACES / "rework.json").read_text(encoding="utf-8")))
    shown = capsys.readouterr().out
    assert "1200 are needed" in body(shown)[1]
    assert "chart 2:" not in shown


def test_columns_leave_in_their_order_and_no_more_than_must(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[tuple[str | Text, ...]] = [("a", "x" * 30, Text("y" * 30, "red"), "z" * 30), ("b", "", "", "")]
    output.print_table(("name", "first", "second", "third"), rows, detail_columns=("second", "first"))
    shown = capsys.readouterr().out
    assert [len(row) for row in body(shown)] == [74, 74]
    assert shown.splitlines()[-1] == f"a: second {'y' * 30}"
