"""The output of the commands: tables for people, JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel, TypeAdapter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from soma_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

Json = Annotated[bool, typer.Option("--json", help="Answer with JSON instead of text.")]
console = Console(highlight=False)
_MICRO = 1_000_000
_MILLI = 1_000
_UNLIMITED_WIDTH = 100_000  # characters, more than any table has
_STATE_COLORS = {
    "COMPLETED": "green",
    "SUCCEEDED": "green",
    "READY": "green",
    "RUNNING": "cyan",
    "PARTIAL": "yellow",
    "SKIPPED": "yellow",
    "WAITING": "yellow",
    "STARTING": "cyan",
    "FAILED": "red",
    "REJECTED": "red",
    "CANCELLED": "red",
}


def print_json(value: BaseModel | Mapping[str, object], *, indent: int | None = 2) -> None:
    """Prints a value as JSON, on one line without `indent`."""
    if isinstance(value, BaseModel):
        typer.echo(value.model_dump_json(indent=indent, by_alias=True))
    else:
        typer.echo(TypeAdapter(object).dump_json(value, indent=indent).decode())


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    no_wrap: Collection[str] = (),
    detail_columns: Sequence[str] = (),
    label_columns: int = 1,
) -> None:
    """Prints a table; text is not read as markup.

    When the table is wider than the terminal, `detail_columns` are removed from it one by one until it fits. Their
    cells are printed after the table, on one line per row that begins with the row's first `label_columns` cells. A
    table that is still too wide wraps its cells, except for those of the `no_wrap` columns, which people copy.
    """
    cells = [dict(zip(columns, row, strict=True)) for row in rows]
    remaining = [*columns]
    table = _build_table(remaining, cells, no_wrap)
    for column in detail_columns:
        if _unwrapped_width(table) <= console.width:
            break
        remaining.remove(column)
        table = _build_table(remaining, cells, no_wrap)
    console.print(table)
    removed = [column for column in columns if column not in remaining]
    for row in cells:
        labels = [str(row[column]) for column in columns[:label_columns]]
        _print_details(labels, {column: row[column] for column in removed})


def _build_table(columns: Sequence[str], rows: Iterable[Mapping[str, str | Text]], no_wrap: Collection[str]) -> Table:
    table = Table(header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in no_wrap)
    for row in rows:
        cells = (row[column] for column in columns)
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
    return table


def _unwrapped_width(table: Table) -> int:
    """Returns the width of a table in which no cell is wrapped."""
    return console.measure(table, options=console.options.update_width(_UNLIMITED_WIDTH)).maximum


def _print_details(labels: Sequence[str], cells: Mapping[str, str | Text]) -> None:
    """Prints the cells of a row that are not in the table on one line; nothing when all are empty."""
    texts = {column: " ".join(str(cell).split()) for column, cell in cells.items()}
    details = "; ".join(f"{column} {text}" for column, text in texts.items() if text)
    if details:
        print_line((" ".join(labels), "bold"), f": {details}")


def print_line(*parts: str | tuple[str, str] | Text) -> None:
    """Prints parts on one line, each a text or a text with its style; nothing is read as markup or wrapped."""
    console.print(Text.assemble(*parts), soft_wrap=True)


def state_text(state: str) -> Text:
    """Returns a state as a coloured word: `running` for JOB_STATE_RUNNING."""
    word = state.rpartition("_STATE_")[2].rpartition("_STATUS_")[2] or state
    return Text(word.lower(), _STATE_COLORS.get(word.upper(), ""))


def level_text(level: str) -> str:
    """Returns a degradation level as a word: `none` for DEGRADATION_LEVEL_NONE."""
    return level.rpartition("_LEVEL_")[2].lower().replace("unspecified", "unknown")


def parse_enum_value(prefix: str, text: str, values: Sequence[str]) -> str:
    """Returns JOB_STATE_RUNNING for `running` and for itself, "" for ""; raises CommandError for an unknown value."""
    value = text.upper().removeprefix(prefix)
    if text and value not in values:
        raise CommandError(f"'{text}' is none of the states {', '.join(values).lower()}")
    return prefix + value if text else ""


def format_money(micro_usd: int) -> str:
    """Returns an amount in US dollars."""
    return f"${micro_usd / _MICRO:.4f}" if micro_usd else "free"


def format_duration(milliseconds: int) -> str:
    """Returns a time in seconds or milliseconds."""
    return f"{milliseconds / _MILLI:.1f} s" if milliseconds >= _MILLI else f"{milliseconds} ms"


def format_count(number: int, noun: str) -> str:
    """Returns a number with its noun: `1 rework`, `2 reworks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_score(value: float | None) -> str:
    """Returns a score in [0, 1] with two digits, a dash for None."""
    return f"{value:.2f}" if value is not None else "–"
