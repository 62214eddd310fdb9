"""Checks every request message against the rules written in its contract."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol, cast

from google.protobuf.message import Message

from mesh.errors import FieldViolation, invalid_all
from mesh.rpc.call import Call, Interceptor
from mesh.rpc.masks import UpdateMask

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    import protovalidate

    from mesh.rpc.call import Proceed


class Validator(Protocol):
    """Finds the rules that a message breaks."""

    def collect_violations(self, message: Message, /) -> Sequence[protovalidate.Violation]:
        """Every broken rule, none for a valid message."""


class Validation(Interceptor):
    """A broken rule is INVALID_ARGUMENT naming every wrong field, also in the middle of a request stream.

    Of the resource of an update the rules of those fields hold that its `update_mask` names.
    """

    def __init__(self, validator: Validator) -> None:
        self._validator = validator

    async def around(self, call: Call, proceed: Proceed) -> object:
        """Serve the call with valid messages only."""
        if not call.route.request_streaming:
            self._check(call.request)
            return await proceed(call)
        messages = self._checked(cast("AsyncIterator[object]", call.request))
        call.request = messages
        async with aclosing(messages):
            return await proceed(call)

    async def _checked(self, messages: AsyncIterator[object]) -> AsyncGenerator[object, None]:
        async for message in messages:
            self._check(message)
            yield message

    def _check(self, message: object) -> None:
        if not isinstance(message, Message):
            return
        mask = UpdateMask.of(message)
        violations = self._validator.collect_violations(message)
        if mask is not None:
            violations = [violation for violation in violations if mask.covers(_names(violation))]
        if violations:
            raise invalid_all([_field_violation(violation) for violation in violations])


def _names(violation: protovalidate.Violation) -> list[str]:
    field = violation.proto.field
    return [element.field_name for element in field.elements] if field else []


def _field_violation(violation: protovalidate.Violation) -> FieldViolation:
    proto = violation.proto
    path = "".join(_step(element) for element in proto.field.elements) if proto.field else ""
    return FieldViolation(path.lstrip("."), proto.message or f"breaks the rule {proto.rule_id}")


def _step(element: protovalidate.FieldPathElementPb) -> str:
    subscript = element.subscript
    if subscript is None:
        return f".{element.field_name}"
    return f".{element.field_name}[{subscript.value!r}]"
