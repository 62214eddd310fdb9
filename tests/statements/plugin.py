"""Lets a run of the whole suite fail when a statement that it sent costs more as tables grow.

Each process of the run notes its statements; at the end the first one explains them all. A run of chosen tests is left
alone, unless it is asked for with `--explain`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.statements.explaining import findings
from tests.statements.recording import Recorder
from tests.statements.reviewed import is_reviewed

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.statements.explaining import Finding

_KEY = "soma_statements"


class Statements:
    """The plugin in each process of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._recorder = Recorder()
        self._found: list[Finding] = []

    def pytest_sessionstart(self) -> None:
        """Notes what is sent from now on."""
        self._recorder.attach()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Takes in what another process of the run noted."""
        told = getattr(node, "workeroutput", {}).get(_KEY, [])
        self._recorder.statements.update((schema, statement) for schema, statement in told)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Hands the notes to the first process, or explains them in it."""
        yield
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_KEY] = sorted(self._recorder.statements)
        elif self._recorder.statements:
            found = asyncio.run(findings(self._recorder.statements))
            self._found = [finding for finding in found if not is_reviewed(finding.statement)]
            if self._found and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says what grows."""
        if self._recorder.statements:
            terminalreporter.write_line(f"{len(self._recorder.statements)} statements explained")
        for finding in self._found:
            terminalreporter.write_line(f"GROWS {finding}", red=True)


def wanted(config: pytest.Config) -> bool:
    """Whether the run is one of the whole suite, or asked to explain."""
    return bool(config.getoption("--explain")) or config.args == config.getini("testpaths")
