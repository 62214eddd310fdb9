"""Checks every request message against the rules written in its contract."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from google.protobuf.message import Message

from mesh import context
from mesh.errors import FieldViolation, Reason, SomaError, invalid_all
from mesh.rpc.interceptor import Call, Interceptor
from mesh.rpc.masks import UpdateMask
from mesh.rpc.values import FEW_VALUES, MAX_VALUES, count_values, without_json
from mesh.rpc.wrapped_handlers import Undecodable
from mesh.thread_slots import ThreadSlots

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    import protovalidate

    from mesh.rpc.interceptor import Continuation


_AT_ONCE = 2
"""Messages of many values that are checked at the same time."""
_WAITING = 64
"""Most calls of one tenant that wait for such a check."""


class Validator(Protocol):
    """Finds the rules that a message breaks."""

    def collect_violations(self, message: Message, /, *, fail_fast: bool) -> Sequence[protovalidate.Violation]:
        """Every broken rule, none for a valid message; with `fail_fast` the first one found."""


class Validation(Interceptor):
    """Rejects messages that break their contract's rules with INVALID_ARGUMENT, also in the middle of a request stream.

    The error names every wrong field; in a message of more than `FEW_VALUES` values only the first one. In an update,
    only the fields of the resource that its `update_mask` names are checked. A message that cannot be parsed, or that
    holds more than `MAX_VALUES` values, is rejected before its rules are checked. Values inside JSON objects have no
    rules and are not checked.
    """

    name = "validation"
    # A request id from the header has the bounds of the field.
    after = ("authorization", "idempotency")

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self._threads = ThreadSlots("checking requests", _AT_ONCE, waiting_per_tenant=_WAITING)

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call with valid messages only."""
        if not call.method.request_streaming:
            await self._check_fairly(call.request)
            return await continuation(call)
        messages = self._checked(cast("AsyncIterator[object]", call.request))
        call.request = messages
        async with aclosing(messages):
            return await continuation(call)

    async def _checked(self, messages: AsyncIterator[object]) -> AsyncGenerator[object, None]:
        async for message in messages:
            await self._check_fairly(message)
            yield message

    async def _check_fairly(self, message: object) -> None:
        """Check a message; one of many values off the event loop, one of a tenant at a time."""
        if isinstance(message, Undecodable):
            raise SomaError(Reason.INVALID_ARGUMENT, "the request is no message of its type, or is nested too deeply")
        if not isinstance(message, Message):
            return
        if count_values(message, FEW_VALUES) <= FEW_VALUES:
            self._check(message)
            return
        now = context.current()
        tenant_id = now.caller.tenant_id if now and now.caller else ""
        await self._threads.run(tenant_id, partial(self._check_many, message))

    def _check_many(self, message: Message) -> None:
        if count_values(message) > MAX_VALUES:
            raise SomaError(Reason.INVALID_ARGUMENT, f"the request holds more than {MAX_VALUES:,} values")
        self._check(without_json(message), fail_fast=True)

    def _check(self, message: Message, *, fail_fast: bool = False) -> None:
        mask = UpdateMask.from_request(message)
        # With a mask, the first broken rule may be one that does not hold.
        violations = self._validator.collect_violations(message, fail_fast=fail_fast and mask is None)
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
