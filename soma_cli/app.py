"""Puts the commands together and turns failures into one clear line and an exit status."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version as installed_version

import typer

from mesh.contexts import InvalidContextError, UnknownContextError
from mesh.stores.migrations import MigrationError
from soma_cli.commands import audit, dead_letters, demo, doctor, jobs, logs, mesh, policy, receipts, trace
from soma_cli.errors import CommandError, EdgeError
from soma_cli.output import Json, emit
from soma_local.locate import MissingError
from soma_local.program import ProgramFailedError
from soma_local.vault import VaultError

_EXPECTED = (
    CommandError, EdgeError, MissingError, ProgramFailedError, VaultError, MigrationError, UnknownContextError,
    InvalidContextError, OSError,
)  # fmt: skip


def version(*, as_json: Json = False) -> None:
    """Print the version."""
    found = installed_version("somamesh")
    if as_json:
        emit({"version": found})
    else:
        typer.echo(found)


def build() -> typer.Typer:
    """Give the command line."""
    app = typer.Typer(
        name="soma", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
        help="SomaMesh on one machine: run it, give it jobs, see why it did what it did.",
    )  # fmt: skip
    for command in (
        mesh.up, mesh.down, mesh.status, logs.logs, doctor.doctor, mesh.serve, demo.demo, trace.trace, jobs.token,
        version,
    ):  # fmt: skip
        app.command()(command)
    app.add_typer(jobs.job_app, name="job")
    app.add_typer(receipts.receipt_app, name="receipt")
    app.add_typer(audit.audit_app, name="audit")
    app.add_typer(dead_letters.dlq_app, name="dlq")
    app.add_typer(policy.policy_app, name="policy")
    return app


def main() -> None:
    """Run the command line."""
    try:
        build()()
    except _EXPECTED as failure:
        _fail(failure)
    except BaseExceptionGroup as group:
        expected = group.subgroup(_EXPECTED)
        if expected is None:
            raise
        _fail(_first(expected))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _fail(failure: BaseException) -> None:
    """Say what went wrong, as JSON where the answer would have been JSON, and exit with 1."""
    message = _text(failure)
    if "--json" in sys.argv:
        extra = {"reason": failure.reason, "trace_id": failure.trace_id} if isinstance(failure, EdgeError) else {}
        typer.echo(json.dumps({"error": {"message": message, **extra}}))
    else:
        typer.secho(f"soma: {message}", fg=typer.colors.RED, err=True)
    sys.exit(1)


def _text(failure: BaseException) -> str:
    """Give the failure for people; of a file that the system refused, its path and why."""
    if isinstance(failure, OSError) and failure.filename is not None:
        return f"{failure.filename}: {failure.strerror}"
    return str(failure)
