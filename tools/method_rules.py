"""Rules of what a contract says of each method: its deadline, its idempotency level, and how these fit the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2

from tools.openapi_document.operations import forms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from tools.openapi_document.contracts import Contracts

DEADLINE = "soma.common.v1.deadline"
IDEMPOTENT = descriptor_pb2.MethodOptions.IDEMPOTENT
NO_SIDE_EFFECTS = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
_ACCESS, _HTTP = "soma.common.v1.access", "google.api.http"
_READING = frozenset({"read", "watch", "validate"})
"""Last words of the actions that let a caller only read."""


def problems(contracts: Contracts) -> list[str]:
    """What is wrong with the options of the methods, a line each."""
    return [
        f"{method.full_name} {problem}"
        for service in contracts.services()
        for method in service.methods
        for problem in (
            *_of_deadline(method, contracts.option(method, DEADLINE)),
            *_of_level(contracts, method),
        )
    ]


def _of_deadline(method: MethodDescriptor, deadline: Message | None) -> Iterator[str]:
    if deadline is None or deadline.HasField("timeout") == deadline.none:  # type: ignore[attr-defined]
        yield f"has no deadline, or two: set one field of the option {DEADLINE}"
    elif deadline.none != method.server_streaming:  # type: ignore[attr-defined]
        stream = method.server_streaming
        yield "answers with a stream and takes no timeout" if stream else "answers with one message and needs a timeout"
    elif not deadline.none and deadline.timeout.ToTimedelta().total_seconds() <= 0:  # type: ignore[attr-defined]
        yield "has a timeout that is not positive"


def _of_level(contracts: Contracts, method: MethodDescriptor) -> Iterator[str]:
    level = method.GetOptions().idempotency_level
    if level not in {IDEMPOTENT, NO_SIDE_EFFECTS}:
        yield "has no idempotency_level: NO_SIDE_EFFECTS when it only reads, else IDEMPOTENT"
        return
    reads = level == NO_SIDE_EFFECTS
    for what, only_reads in _told_elsewhere(contracts, method):
        if only_reads != reads:
            yield f"{'only reads' if reads else 'changes something'}, unlike {what}"
    if reads and "request_id" in method.input_type.fields_by_name:
        yield "only reads and needs no request_id"


def _told_elsewhere(contracts: Contracts, method: MethodDescriptor) -> Iterator[tuple[str, bool]]:
    """What else tells whether a method only reads, and what it tells. POST tells nothing."""
    access, http = contracts.option(method, _ACCESS), contracts.option(method, _HTTP)
    action: str = "" if access is None else access.action  # type: ignore[attr-defined]
    if action:
        yield f"its action {action}", action.rpartition(".")[2] in _READING
    verbs = set() if http is None else {form.verb for form in forms(http)}
    for verb in sorted(verbs - {"POST"}):
        yield f"HTTP {verb}", verb == "GET"
