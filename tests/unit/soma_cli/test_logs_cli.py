"""`soma logs` by program and by context, also of programs that start later."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from mesh.testing.contract import eventually
from soma_cli.app import build
from soma_cli.commands import logs
from soma_cli.errors import CommandError
from soma_local.supervisor import StateFile
from tests.unit.soma_cli.edge_server import state_of

if TYPE_CHECKING:
    from soma_local.home import Home


@pytest.fixture(autouse=True)
def _at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA01_HOME", str(home.root))


@pytest.mark.parametrize(("process_per_service", "program"), [(False, "services"), (True, "svc-provenance")])
def test_a_contexts_log_is_that_of_the_program_that_serves_it(
    home: Home, process_per_service: bool, program: str
) -> None:
    for name in ("services", "svc-provenance", "postgres"):
        (home.logs / f"{name}.log").write_text(f"of {name}\n")
    StateFile(home).write(state_of(8010).model_copy(update={"process_per_service": process_per_service}))
    result = CliRunner().invoke(build(), ["logs", "provenance", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout) == {"program": program, "line": f"of {program}"}


def test_a_name_without_a_log_is_refused_with_those_that_have_one(home: Home) -> None:
    (home.logs / "postgres.log").touch()
    with pytest.raises(CommandError, match=r"no log of postgrse in .*; there are: postgres"):
        CliRunner().invoke(build(), ["logs", "postgrse", "--follow"], catch_exceptions=False)


async def test_the_log_of_a_program_that_starts_later_is_followed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, str]] = []
    monkeypatch.setattr(logs, "_show_line", lambda name, text, as_json: shown.append((name, text)))
    (home.logs / "postgres.log").write_text("one\n")
    following = asyncio.create_task(logs._follow(home, "*", {}, as_json=False))
    await eventually(lambda: shown == [("postgres", "one")])
    (home.logs / "kafka.log").write_text("two\n")
    await eventually(lambda: shown[1:] == [("kafka", "two")])
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
