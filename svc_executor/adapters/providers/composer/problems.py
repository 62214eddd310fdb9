"""What is wrong with a document that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOLD = 20


@dataclass(frozen=True)
class Problem:
    """One fault; `pointer` is a JSON pointer below `params`."""

    pointer: str
    message: str


class ComposeError(Exception):
    """A document that cannot be composed, with every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        shown = [f"{problem.pointer or '/'}: {problem.message}" for problem in problems[:_TOLD]]
        more = [f"and {len(problems) - _TOLD} more"] if len(problems) > _TOLD else []
        super().__init__("; ".join(shown + more))
        self.problems = tuple(problems)


class PdfError(Exception):
    """Typst could not set the document; a fault of ours, the words are its own."""
