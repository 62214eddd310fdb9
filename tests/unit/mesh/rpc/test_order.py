"""Interceptors have names and say where they must stand; a context may add its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.rpc.interceptor import Interceptor
from mesh.rpc.interceptor_chain import standard_chain
from mesh.rpc.interceptor_order import OrderError, check_order, insert_interceptors
from mesh.testing.server import AllowAll, Issuer

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
async def chain() -> list[Interceptor]:
    issuer = await Issuer.create(SystemClock())
    return standard_chain(verifier=issuer.verifier, authorizer=AllowAll(), clock=SystemClock())


def interceptor(own: str, after: Sequence[str] = (), before: Sequence[str] = ()) -> Interceptor:
    class Own(Interceptor):
        name = own

    Own.after, Own.before = tuple(after), tuple(before)
    return Own()


def names(chain: Sequence[Interceptor]) -> list[str]:
    return [each.name for each in chain]


def test_the_standard_chain_is_in_order(chain: list[Interceptor]) -> None:
    check_order(chain)
    assert len(chain) > 10


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("errors", "tracing"), ("tracing", "logging"), ("logging", "identity"), ("identity", "tenancy"),
        ("tenancy", "authorization"), ("authorization", "idempotency"), ("idempotency", "validation"),
    ],
)  # fmt: skip
def test_two_that_changed_places_are_found(chain: list[Interceptor], outer: str, inner: str) -> None:
    """The planted bug."""
    places = {each.name: place for place, each in enumerate(chain)}
    chain[places[outer]], chain[places[inner]] = chain[places[inner]], chain[places[outer]]
    with pytest.raises(OrderError, match="must come after"):
        check_order(chain)


def test_a_name_is_there_once() -> None:
    with pytest.raises(OrderError, match="two interceptors of a chain are named a"):
        check_order([interceptor("a"), interceptor("a")])


def test_what_is_not_in_a_chain_asks_for_no_place() -> None:
    check_order([interceptor("b", after=["absent"], before=["missing"])])


def test_a_contexts_own_stand_as_far_in_as_they_may_and_in_their_order(chain: list[Interceptor]) -> None:
    own = [interceptor("first"), interceptor("second", after=["first"]), interceptor("early", before=["idempotency"])]
    placed = names(insert_interceptors(chain, own))
    assert placed[-2:] == ["first", "second"]
    assert placed[placed.index("early") + 1] == "idempotency"
    assert [name for name in placed if name in names(chain)] == names(chain)


def test_what_cannot_stand_anywhere_is_refused(chain: list[Interceptor]) -> None:
    with pytest.raises(OrderError, match="own must come after validation"):
        insert_interceptors(chain, [interceptor("own", after=["validation"], before=["identity"])])


def test_every_interceptor_but_the_outermost_says_whom_it_relies_on(chain: list[Interceptor]) -> None:
    assert [each.name for each in chain if not each.after] == ["errors"]
