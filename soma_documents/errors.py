"""The errors of composing a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class Problem:
    """One problem; `pointer` is a JSON pointer into the parameters, empty for all of them."""

    pointer: str
    message: str


class ComposeError(Exception):
    """A document cannot be composed; the message has the first twenty problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)  # the argument with which it is unpickled

    def __str__(self) -> str:
        shown = [f"{problem.pointer or '/'}: {problem.message}" for problem in self.problems[:_MAX_SHOWN_PROBLEMS]]
        more = (
            [f"and {len(self.problems) - _MAX_SHOWN_PROBLEMS} more"] if len(self.problems) > _MAX_SHOWN_PROBLEMS else []
        )
        return "; ".join(shown + more)


class PdfError(Exception):
    """Typst could not compile the document, a defect of this library; the message is that of Typst."""
