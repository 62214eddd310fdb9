"""The command line: its commands, and how errors become one line and an exit status."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version as installed_version

import typer

from mesh.contexts import InvalidContextError, UnknownContextError
from mesh.stores.migrations import MigrationError
from soma_cli.commands import audit, dead_letters, demo, doctor, jobs, logs, mesh, policy, receipts, trace
from soma_cli.errors import CommandError, EdgeError
from soma_cli.output import Json, print_json
from soma_local.locate import MissingError
from soma_local.program import ProgramFailedError
from soma_local.vault import VaultError

_EXPECTED_ERRORS = (
    CommandError, EdgeError, MissingError, ProgramFailedError, VaultError, MigrationError, UnknownContextError,
    InvalidContextError, OSError,
)  # fmt: skip


def version(*, as_json: Json = False) -> None:
    """Print the version."""
    installed = installed_version("somamesh")
    if as_json:
        print_json({"version": installed})
    else:
        typer.echo(installed)


def build() -> typer.Typer:
    """Builds the command line."""
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
    """Runs the command line."""
    try:
        build()()
    except _EXPECTED_ERRORS as failure:
        _fail(failure)
    except BaseExceptionGroup as group:
        expected = group.subgroup(_EXPECTED_ERRORS)
        if expected is None:
            raise
        _fail(_first_error(expected))


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first_error(error) if isinstance(error, BaseExceptionGroup) else error


def _fail(failure: BaseException) -> None:
    """Prints the error, as JSON with `--json`, and exits with 1."""
    message = _error_text(failure)
    if "--json" in sys.argv:
        details = {"reason": failure.reason, "trace_id": failure.trace_id} if isinstance(failure, EdgeError) else {}
        typer.echo(json.dumps({"error": {"message": message, **details}}))
    else:
        typer.secho(f"soma: {message}", fg=typer.colors.RED, err=True)
    sys.exit(1)


def _error_text(failure: BaseException) -> str:
    """Returns the text of an error; of an OSError of a file, its path and the reason."""
    if isinstance(failure, OSError) and failure.filename is not None:
        return f"{failure.filename}: {failure.strerror}"
    return str(failure)
