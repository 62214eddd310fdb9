"""Tables of `soma`: each column has its head over it, in one order at every width."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest
from typer.testing import CliRunner

from soma.provenance.v1.trace_service_pb2 import DecisionTrace
from soma_cli import output
from soma_cli.app import build
from soma_cli.client import EdgeClient
from soma_cli.commands import doctor
from soma_cli.commands.jobs import show_trace
from soma_cli.doctor import CheckResult
from soma_cli.messages import parse
from soma_local.supervisor import ProgramState, ProgramStatus, StateFile
from tests.unit.soma_cli.answers import ID, TOO_SMALL, TRACES, Edge, rows
from tests.unit.soma_cli.edge_server import state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_local.home import Home

WIDE, NARROW = 300, 80
TABLES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "job list": (
        {"job": ID, "state": "partial", "done": "100%", "cost": "$0.0395",
         "title": "ISO 29148 SRS for a sign-in feature"},
        ("title",),
    ),
    "job describe x": (
        {"step": "architecture", "type": "capture_screenshot", "state": "failed",
         "capability": "playwright_screenshot@local", "tries": "2", "quality": "0.40", "cost": "$0.0395",
         "message": TOO_SMALL},
        ("type", "cost", "message"),
    ),
    "receipt list": (
        {"job": ID, "ended": "2026-11-20 10:00", "state": "completed", "form": "compact", "quality": "0.91",
         "tries": "12", "cost": "$0.0395", "time": "12.1 s", "out of order": "tool failed, low quality"},
        ("ended", "form", "time", "out of order"),
    ),
    "audit list": (
        {"sequence": "48211", "when": "2026-11-20 10:00:00", "who": ID, "did": "capability.register",
         "to": f"capability {ID}", "decision": "allowed",
         "why": "the tenant's own capability, of its own namespace"},
        ("who", "to", "why"),
    ),
    "dlq list": (
        {"dead letter": ID, "state": "exhausted", "since": "2026-11-20 10:00:00", "group": "provenance-facts",
         "event": "AttemptFinished", "cause": "malformed", "sent again": "3"},
        ("since", "group", "event"),
    ),
}  # fmt: skip
"""Of each command: a row as a wide terminal has it, and what a narrow one has below, both in the table's order."""


@pytest.fixture(autouse=True)
def _edge(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def for_home(_: Home) -> Iterator[EdgeClient]:
        yield cast("EdgeClient", Edge())

    monkeypatch.setattr(EdgeClient, "for_home", for_home)
    monkeypatch.setenv("SA01_HOME", str(home.root))


def soma(monkeypatch: pytest.MonkeyPatch, command: str, width: int) -> str:
    monkeypatch.setattr(output.console, "width", width)
    return CliRunner().invoke(build(), command.split(), catch_exceptions=False).stdout


def pairs(row: dict[str, str]) -> list[tuple[str, str]]:
    """Columns with their cells; unlike dictionaries, equal only in the same order."""
    return list(row.items())


@pytest.mark.parametrize("command", TABLES)
def test_a_wide_terminal_has_every_cell_below_its_head(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    [row] = rows(soma(monkeypatch, command, WIDE))
    assert pairs(row) == pairs(TABLES[command][0])


@pytest.mark.parametrize("command", TABLES)
def test_a_narrow_one_has_the_rest_below_in_the_order_of_the_table(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    whole, moved = TABLES[command]
    shown = soma(monkeypatch, command, NARROW)
    [row] = rows(shown)
    assert pairs(row) == [(column, cell) for column, cell in whole.items() if column not in moved]
    name = next(iter(whole.values()))
    assert shown.splitlines()[-1] == f"{name}: " + "; ".join(f"{column} {whole[column]}" for column in moved)


def test_attempts_are_named_by_step_and_try_in_this_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output.console, "width", NARROW)
    show_trace(parse(DecisionTrace, (TRACES / "rework.json").read_text(encoding="utf-8")))
    shown = capsys.readouterr().out
    listed = rows(shown)
    assert [list(row)[:4] for row in listed] == [["step", "try", "capability", "state"]] * 2
    assert [(row["step"], row["try"]) for row in listed] == [("chart", "1"), ("chart", "2")]
    named = [line.partition(":")[0] for line in shown.splitlines() if ": why " in line]
    assert named == ["chart 1", "chart 2"]


def test_names_come_first_in_their_order_though_they_are_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output.console, "width", NARROW)
    output.print_table(
        ("second", "first", "third", "fourth"),
        [("s", "f", "x" * 90, "y" * 90), ("t", "g", "", "z")],
        detail_columns=("fourth", "third"),
        label_columns=2,
    )
    assert capsys.readouterr().out.splitlines()[-2:] == [f"s f: third {'x' * 90}; fourth {'y' * 90}", "t g: fourth z"]


def test_the_parts_of_a_machine_have_their_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "check_machine", lambda *_: [CheckResult(part="java", found=True, where="/opt/java")])
    shown = soma(monkeypatch, "doctor", WIDE) + capsys.readouterr().out
    assert [pairs(row) for row in rows(shown)] == [
        [("part", "java"), ("state", "found"), ("where, or how to get it", "/opt/java")]
    ]


def test_the_programs_of_a_mesh_have_their_columns(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    services = ProgramStatus(name="services", state=ProgramState.WAITING, address="127.0.0.1:9000", restarts=3)
    StateFile(home).write(state_of(8010).model_copy(update={"programs": (services,)}))
    [row] = rows(soma(monkeypatch, "status", WIDE))
    assert pairs(row) == [
        ("program", "services"), ("state", "waiting"), ("pid", ""), ("address", "127.0.0.1:9000"), ("restarts", "3"),
    ]  # fmt: skip
