"""Of which refusals the record is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from mesh.context import Caller
from mesh.errors import Reason, SomaError
from mesh.rpc.access import declared_access, has_side_effects
from mesh.rpc.interceptor import Call, MethodInfo
from mesh.rpc.interceptors.authorization import Authorization
from soma.selector.v1 import budget_service_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = budget_service_pb2.DESCRIPTOR.services_by_name["BudgetService"].full_name
ALICE = Caller("acme", "alice", ("viewer",), (), "key", "token")


def refusal(reason: Reason = Reason.PERMISSION_DENIED) -> SomaError:
    return SomaError(reason, "no")


@dataclass
class Door:
    """An authorizer that refuses what it is told to, and a handler that may refuse too."""

    refuses: bool = False
    failure: SomaError | None = None
    told: list[tuple[str, str, str, str]] = field(default_factory=list)

    def authorize(self, action: str, caller: Caller) -> None:
        if self.refuses:
            raise refusal()

    def note(self, action: str, method: str, caller: Caller, why: str) -> None:
        self.told.append((action, method, caller.subject, why))

    async def handle(self, call: Call) -> object:
        if self.failure is not None:
            raise self.failure
        return None

    async def knock(self, name: str, caller: Caller | None = ALICE) -> None:
        access = declared_access(SERVICE, name)
        method = MethodInfo(SERVICE, name, request_streaming=False, response_streaming=False, access=access)
        call = Call(method, None, None, {}, caller=caller)  # type: ignore[arg-type]
        await Authorization(self, self.note).intercept(call, self.handle)


WRITE, READ, UNKNOWN = "SetBudget", "ListBudgets", "Planted"


async def test_a_refusal_of_what_changes_something_is_told() -> None:
    door = Door(refuses=True)
    with pytest.raises(SomaError):
        await door.knock(WRITE)
    assert door.told == [("budget.write", f"{SERVICE}/SetBudget", "alice", "no")]


async def test_a_refusal_by_the_handler_is_told() -> None:
    door = Door(failure=refusal())
    with pytest.raises(SomaError):
        await door.knock(WRITE)
    assert len(door.told) == 1


@pytest.mark.parametrize(
    ("door", "knock", "reason"),
    [
        (Door(refuses=True), lambda door: door.knock(READ), Reason.PERMISSION_DENIED),
        (Door(refuses=True), lambda door: door.knock(WRITE, None), Reason.UNAUTHENTICATED),
        (Door(), lambda door: door.knock(UNKNOWN), Reason.PERMISSION_DENIED),
        (Door(failure=refusal(Reason.NOT_FOUND)), lambda door: door.knock(WRITE), Reason.NOT_FOUND),
    ],
    ids=["reading", "nobody", "open to nobody", "another failure"],
)
async def test_other_failures_are_not(door: Door, knock: Callable[[Door], object], reason: Reason) -> None:
    with pytest.raises(SomaError) as refused:
        await knock(door)  # type: ignore[misc]
    assert refused.value.reason is reason
    assert door.told == []


async def test_what_is_allowed_is_not() -> None:
    door = Door()
    await door.knock(WRITE)
    assert door.told == []


@pytest.mark.parametrize(("name", "may_change"), [(READ, False), (WRITE, True), (UNKNOWN, True)])
def test_every_method_changes_something_that_is_not_of_the_level_no_side_effects(name: str, may_change: bool) -> None:
    assert has_side_effects(SERVICE, name) is may_change
