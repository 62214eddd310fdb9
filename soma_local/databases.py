"""Provisions one database with a schema and a login role for each context."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soma_local.engines import PostgresEngine
    from soma_local.home import Home

DATABASE = "soma"
MIGRATOR = "soma_migrator"


def role_password(home: Home, role: str) -> str:
    """Returns the generated password of a database role."""
    return home.secret(f"postgres-{role}")


def dsn_of(home: Home, engine: PostgresEngine, role: str) -> str:
    """Returns the connection string of a role for the database of the mesh."""
    return engine.dsn_of(DATABASE, role, role_password(home, role))


async def provision(home: Home, engine: PostgresEngine, contexts: Sequence[str]) -> None:
    """Creates the database, the schemas and the roles; idempotent.

    Migrations run as the owner of the schemas. They grant the role of a context to read and change rows of its schema,
    nothing else, so that row-level security applies to it.
    """
    connection = await asyncpg.connect(engine.dsn)
    try:
        for role in (MIGRATOR, *contexts):
            await _ensure_role(connection, role, role_password(home, role))
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}" OWNER "{MIGRATOR}"')
        await connection.execute(f'REVOKE ALL ON DATABASE "{DATABASE}" FROM PUBLIC')
        for context in contexts:
            await connection.execute(f'GRANT CONNECT ON DATABASE "{DATABASE}" TO "{context}"')
    finally:
        await connection.close()
    connection = await asyncpg.connect(engine.dsn_of(DATABASE))
    try:
        await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        for context in contexts:
            await _ensure_schema(connection, context)
    finally:
        await connection.close()


async def _ensure_role(connection: asyncpg.Connection, role: str, password: str) -> None:
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS')
    literal = await connection.fetchval("SELECT quote_literal($1::text)", password)
    await connection.execute(f'ALTER ROLE "{role}" PASSWORD {literal}')


async def _ensure_schema(connection: asyncpg.Connection, context: str) -> None:
    await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{context}" AUTHORIZATION "{MIGRATOR}"')
    await connection.execute(f'ALTER ROLE "{context}" SET search_path TO "{context}"')
