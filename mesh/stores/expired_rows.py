"""Statements of retention: how the oldest rows of a table are deleted, or emptied, a chunk at a time.

Each is the `chunk` of a `mesh.stores.retention.RetentionRule`, whose docstring tells what the parameters mean. Names of
tables, columns and conditions are written by the context, never taken from input.
"""

from __future__ import annotations

TENANTS = "($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[]) AND NOT $5"
"""Condition for rows of the tenants of a chunk, in a table that is not partitioned."""
_BY_AGE = """
WITH old AS (
    SELECT ctid FROM {table}
    WHERE {tenants} AND {column} < $3::timestamptz{condition}
    ORDER BY {column} LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
    {change} WHERE ctid = ANY(ARRAY(SELECT ctid FROM old)) RETURNING 1
)
SELECT count(*) FROM gone
"""
_BY_ID = """
WITH old AS (
    SELECT {key} AS id FROM {table}
    WHERE {tenants} AND {condition}
        AND {key} < rpad(lpad(to_hex((extract(epoch FROM $3::timestamptz) * 1000)::bigint), 12, '0'), 32, '0')::uuid
    LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM {table} AS kept USING old WHERE kept.{key} = old.id RETURNING 1
)
SELECT count(*) FROM gone
"""


def delete_by_age(table: str, column: str, condition: str = "") -> str:
    """Deletes rows whose time in `column` is past; an index of `column` finds them.

    `condition` says which of them may go; empty: all.
    """
    return _by_age(table, column, condition, f"DELETE FROM {table}")  # noqa: S608 - names are the context's


def clear_by_age(table: str, column: str, cleared: str, condition: str = "") -> str:
    """Sets the column `cleared` to NULL in rows whose time in `column` is past; otherwise as `delete_by_age`."""
    return _by_age(table, column, condition, f"UPDATE {table} SET {cleared} = NULL")  # noqa: S608


def delete_by_id(table: str, key: str, condition: str) -> str:
    """Deletes rows whose `key`, a UUIDv7, was made long ago and finds them; `condition` says which of them may go."""
    return _BY_ID.format(table=table, key=key, condition=condition, tenants=TENANTS)


def _by_age(table: str, column: str, condition: str, change: str) -> str:
    """Rows are found again by their place: a join of the old ones with the table may be planned as a scan of it."""
    return _BY_AGE.format(
        table=table,
        tenants=TENANTS,
        column=column,
        condition=f" AND {condition}" if condition else "",
        change=change,
    )
