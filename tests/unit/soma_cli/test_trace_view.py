"""How a Decision Trace looks at a terminal, and without one: the files in golden/ are what people see."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from soma.provenance.v1.trace_service_pb2 import DecisionTrace
from soma_cli.messages import parse
from soma_cli.trace_view import build_tree

HERE = Path(__file__).parent
TRACES = HERE.parent / "provenance" / "golden"
NAMES = sorted(path.stem for path in TRACES.glob("*.json"))


def shown(name: str, width: int, *, terminal: bool = False) -> str:
    """A trace as it is printed."""
    text = io.StringIO()
    colours = "standard" if terminal else None
    console = Console(file=text, width=width, highlight=False, force_terminal=terminal, color_system=colours)
    console.print(build_tree(parse(DecisionTrace, (TRACES / f"{name}.json").read_text(encoding="utf-8"))))
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", NAMES)
def test_a_trace_looks_as_it_always_did(name: str, width: int) -> None:
    golden = HERE / "golden" / f"trace_{name}_{width}.txt"
    found = shown(name, width)
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")
    assert max(len(line) for line in found.splitlines()) <= width


@pytest.mark.parametrize("name", NAMES)
def test_without_a_terminal_there_are_no_colours(name: str) -> None:
    assert "\x1b" not in shown(name, 80)


def test_at_a_terminal_a_fallback_and_a_rework_stand_out() -> None:
    assert "\x1b[33m[fallback]" in shown("fallback", 120, terminal=True)
    assert "\x1b[35m[rework]" in shown("rework", 120, terminal=True)
