"""What is wrong with a document that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """One fault; `pointer` is a JSON pointer into the parameters, empty for the whole."""

    pointer: str
    message: str


class ComposeError(Exception):
    """A document that cannot be composed, with every reason; the text names the first twenty."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)  # what it is made of again when it is unpickled

    def __str__(self) -> str:
        shown = [f"{problem.pointer or '/'}: {problem.message}" for problem in self.problems[:_SHOWN]]
        more = [f"and {len(self.problems) - _SHOWN} more"] if len(self.problems) > _SHOWN else []
        return "; ".join(shown + more)


class PdfError(Exception):
    """Typst could not set the document; a fault of this library, the words are Typst's."""
