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
    """Answers rules. Nothing here holds up an event loop."""

    is_immutable: bool
    """Whether equal input gets equal answers for as long as the evaluator lives."""

    @property
    def policy_id(self) -> str:
        """Digest of the policy that answers, as it is known: never a call over the network."""

    async def evaluate(self, rule: str, input_: Mapping[str, object]) -> object:
        """The value of a rule; PolicyUnavailable when it has none."""

    async def close(self) -> None:
        """Give back what it holds."""


def first_line(error: Exception) -> str:
    """The first line of an error's text, for the log."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
