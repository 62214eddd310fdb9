"""Finds statements of a migration that hold a lock on a table for as long as the table is large.

Only tables that the same migration makes are free of rules: they are empty.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UP = re.compile(r"--\s*migrate:up\b([^\n]*)\n(.*?)(?=--\s*migrate:down\b|\Z)", re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*")
_BODY = re.compile(r"(\$\w*\$)(.*?)\1", re.DOTALL)
_MADE = re.compile(r"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?\"?(\w+)", re.IGNORECASE)
_INDEX = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?\w*\s*ON\s+(?:ONLY\s+)?(\w+)",
    re.IGNORECASE,
)
_ALTER = re.compile(r"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(\w+)\s+(.*)", re.IGNORECASE | re.DOTALL)
_COPY = re.compile(
    r"INSERT\s+INTO\s+(\S+).*?\bSELECT\b.*?\bFROM\s+\(?\s*(?:SELECT\b.*?\bFROM\s+)?(\w+)", re.IGNORECASE | re.DOTALL
)
_CHANGE = re.compile(r"^(?:UPDATE\s+(?:ONLY\s+)?|DELETE\s+FROM\s+(?:ONLY\s+)?)(\w+)", re.IGNORECASE)
_HEAVY = re.compile(
    r"\b(VACUUM\s+FULL|CLUSTER\b|REINDEX(?!.*CONCURRENTLY)|LOCK\s+TABLE|REFRESH\s+MATERIALIZED)", re.IGNORECASE
)
_VOLATILE = re.compile(r"\b(clock_timestamp|random|gen_random_uuid|uuidv7|nextval|timeofday)\s*\(", re.IGNORECASE)
_ROWS_OF_OURS = frozenset({"partitioned_tables", "retention_runs"})
"""Tables that hold a few rows about other tables."""


def problems(migration: Path) -> list[str]:
    """What is wrong with the way up of a migration, one line each; empty when it may run beside a busy service."""
    found = _UP.search(migration.read_text(encoding="utf-8"))
    return list(_problems(*found.groups())) if found else ["it has no way up"]


def _problems(options: str, text: str) -> Iterator[str]:
    text = _COMMENT.sub("", text)
    bodies = [body for _, body in _BODY.findall(text)]
    statements = [each.strip() for each in _BODY.sub("''", text).split(";") if each.strip()]
    made = {name.lower() for name in _MADE.findall(text)} | _ROWS_OF_OURS
    concurrent = any(re.search(r"\bCONCURRENTLY\b", each, re.IGNORECASE) for each in statements)
    if concurrent and ("transaction:false" not in options.replace(" ", "") or len(statements) > 1):
        yield "CONCURRENTLY needs a migration of its own with transaction:false"
    for statement in statements:
        yield from _of_statement(statement, made)
    for body in bodies:
        if (
            re.search(r"\bEXECUTE\b.*\b(INSERT|UPDATE|DELETE)\b", body, re.IGNORECASE | re.DOTALL)
            and "FUNCTION" not in text
        ):
            yield "a block builds a statement that changes rows; move rows in batches outside of migrations"


def _of_statement(statement: str, made: set[str]) -> Iterator[str]:
    if index := _INDEX.match(statement):
        if not index[1] and index[2].lower() not in made:
            yield f"CREATE INDEX on {index[2]} locks out writers; use CONCURRENTLY"
    elif alter := _ALTER.match(statement):
        if alter[1].lower() not in made:
            yield from (f"ALTER TABLE {alter[1]}: {problem}" for problem in _of_actions(alter[2]))
    elif change := _CHANGE.match(statement):
        if change[1].lower() not in made:
            yield f"{statement.split(maxsplit=1)[0].upper()} of all rows of {change[1]}; change rows in batches"
    elif (copy := _COPY.match(statement)) and copy[2].lower() not in made:
        yield f"INSERT copies rows of {copy[2]}; copy in batches"
    if re.match(r"CREATE\s+TABLE\s+\S+\s+AS\b", statement, re.IGNORECASE):
        yield "CREATE TABLE AS copies rows; copy in batches"
    if heavy := _HEAVY.search(statement):
        yield f"{heavy[1].upper()} locks a whole table"


def _of_actions(actions: str) -> Iterator[str]:
    """Problems of the actions of one ALTER TABLE on a table with rows."""
    flat = " ".join(actions.split())
    if re.search(r"\bTYPE\b", flat, re.IGNORECASE) and re.search(
        r"\bALTER (COLUMN )?\w+ (SET DATA )?TYPE\b", flat, re.IGNORECASE
    ):
        yield "a change of type rewrites it; add a column instead"
    if re.search(r"\bSET NOT NULL\b", flat, re.IGNORECASE):
        yield "SET NOT NULL reads it under lock; add a CHECK that is NOT VALID, validate it, then set it"
    for action in re.split(r",\s*(?=ADD\b|DROP\b|ALTER\b|RENAME\b|VALIDATE\b)", flat, flags=re.IGNORECASE):
        if re.match(r"ADD (CONSTRAINT \w+ )?(CHECK|FOREIGN KEY)\b", action, re.IGNORECASE):
            if not re.search(r"\bNOT VALID\b", action, re.IGNORECASE):
                yield "a constraint is validated under lock; add it NOT VALID and validate it in another migration"
        elif re.match(r"ADD (CONSTRAINT \w+ )?(PRIMARY KEY|UNIQUE|EXCLUDE)\b", action, re.IGNORECASE):
            if not re.search(r"\bUSING INDEX\b", action, re.IGNORECASE):
                yield "a key builds its index under lock; create the index CONCURRENTLY and add the key USING INDEX"
        elif re.match(r"ADD (COLUMN )?\w+", action, re.IGNORECASE):
            yield from _of_column(action)


def _of_column(action: str) -> Iterator[str]:
    if re.search(r"\b(GENERATED|SERIAL|BIGSERIAL)\b", action, re.IGNORECASE) or _VOLATILE.search(action):
        yield "a column whose value is made for each row rewrites it; add it empty and fill it in batches"
    elif re.search(r"\b(REFERENCES|CHECK|UNIQUE|PRIMARY KEY)\b", action, re.IGNORECASE):
        yield "a constraint on a new column is validated under lock; add it NOT VALID afterwards"
    elif re.search(r"\bNOT NULL\b", action, re.IGNORECASE) and not re.search(r"\bDEFAULT\b", action, re.IGNORECASE):
        yield "a NOT NULL column without a default cannot be added to rows"
