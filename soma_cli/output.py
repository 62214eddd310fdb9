"""How commands answer: tables for people, JSON for programs."""

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
_UNBOUNDED = 100_000  # columns, more than any table has
_COLOURS = {
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


def emit(value: BaseModel | Mapping[str, object], *, indent: int | None = 2) -> None:
    """Print a value as JSON, on one line without `indent`."""
    if isinstance(value, BaseModel):
        typer.echo(value.model_dump_json(indent=indent))
    else:
        typer.echo(TypeAdapter(object).dump_json(value, indent=indent).decode())


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    whole: Collection[str] = (),
    below: Sequence[str] = (),
    names: int = 1,
) -> None:
    """Print a table; plain text is shown as it is, never read as markup.

    Where a table is wider than the terminal, its `below` columns leave it, the first of them first, until it fits.
    Their cells follow below it, one line for each row, which begins with the row's first `names` cells. A table that is
    still too wide breaks long words, it cuts none off; those in the `whole` columns, which are copied into other
    commands, stay in one piece.
    """
    cells = [dict(zip(columns, row, strict=True)) for row in rows]
    shown = [*columns]
    made = _table(shown, cells, whole)
    for column in below:
        if _natural_width(made) <= console.width:
            break
        shown.remove(column)
        made = _table(shown, cells, whole)
    console.print(made)
    moved = [column for column in columns if column not in shown]
    for row in cells:
        _print_below([str(row[column]) for column in columns[:names]], {column: row[column] for column in moved})


def _table(columns: Sequence[str], rows: Iterable[Mapping[str, str | Text]], whole: Collection[str]) -> Table:
    made = Table(header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in rows:
        cells = (row[column] for column in columns)
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
    return made


def _natural_width(made: Table) -> int:
    """Width of a table in which nothing is broken."""
    return console.measure(made, options=console.options.update_width(_UNBOUNDED)).maximum


def _print_below(names: Sequence[str], cells: Mapping[str, str | Text]) -> None:
    """Print on one line what left the table of a row; nothing when all of it is empty."""
    texts = {column: " ".join(str(cell).split()) for column, cell in cells.items()}
    details = "; ".join(f"{column} {text}" for column, text in texts.items() if text)
    if details:
        line((" ".join(names), "bold"), f": {details}")


def line(*parts: str | tuple[str, str] | Text) -> None:
    """Print a line of parts: text, or text with its style; nothing is read as markup, and nothing is broken."""
    console.print(Text.assemble(*parts), soft_wrap=True)


def state_text(state: str) -> Text:
    """Give an enum value of the API for people, coloured: JOB_STATE_RUNNING is shown as running."""
    word = state.rpartition("_STATE_")[2].rpartition("_STATUS_")[2] or state
    return Text(word.lower(), _COLOURS.get(word.upper(), ""))


def level_text(level: str) -> str:
    """Give a level of degradation for people: DEGRADATION_LEVEL_NONE is shown as none."""
    return level.rpartition("_LEVEL_")[2].lower().replace("unspecified", "unknown")


def full_name(prefix: str, word: str, known: Sequence[str]) -> str:
    """Give the enum value of the API that a person means by a word, running or JOB_STATE_RUNNING; none for no word."""
    plain = word.upper().removeprefix(prefix)
    if word and plain not in known:
        raise CommandError(f"'{word}' is none of the states {', '.join(known).lower()}")
    return prefix + plain if word else ""


def money(micro_usd: int) -> str:
    """Give an amount in US dollars."""
    return f"${micro_usd / _MICRO:.4f}" if micro_usd else "free"


def duration(milliseconds: int) -> str:
    """Give a time in seconds or milliseconds."""
    return f"{milliseconds / _MILLI:.1f} s" if milliseconds >= _MILLI else f"{milliseconds} ms"


def counted(number: int, thing: str) -> str:
    """Give a number of things: 1 rework, 2 reworks."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def score(value: float | None) -> str:
    """Give a score in [0, 1] with two digits, a dash when there is none."""
    return f"{value:.2f}" if value is not None else "–"
