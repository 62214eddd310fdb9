"""What answers rules, and what it says when it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Mapping


class PolicyUnavailable(SomaError):  # noqa: N818 - the name that callers know
    """Policy could not be asked, or has no answer: callers deny."""

    def __init__(self) -> None:
        super().__init__(
            Reason.DEPENDENCY_UNAVAILABLE,
            "The policy that decides about this is not available; try again shortly",
            metadata={"component": "policy"},
            retry_after_s=1.0,
        )


class Evaluator(Protocol):
    """Answers rules. `blocking` says whether an answer may take a network round trip."""

    blocking: bool

    def policy_id(self) -> str:
        """Digest of the policy that answers."""

    def evaluate(self, rule: str, input_: Mapping[str, object]) -> object:
        """The value of a rule; PolicyUnavailable when it has none."""

    def close(self) -> None:
        """Give back what it holds."""


def first_line(error: Exception) -> str:
    """The first line of an error's text, for the log."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
