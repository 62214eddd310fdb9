"""The order of interceptors in a chain, outermost first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.rpc.interceptor import Interceptor


class OrderError(Exception):
    """Interceptors cannot stand in the order that they ask for; names them."""


def check_order(chain: Sequence[Interceptor]) -> None:
    """Raise OrderError when a name is there twice, or an interceptor is not where it must be."""
    places: dict[str, int] = {}
    for position, each in enumerate(chain):
        if each.name in places:
            raise OrderError(f"two interceptors of a chain are named {each.name}")
        places[each.name] = position
    for each in chain:
        early = [name for name in each.after if places.get(name, -1) > places[each.name]]
        late = [name for name in each.before if places.get(name, len(chain)) < places[each.name]]
        if early or late:
            raise OrderError(f"{each.name} must come {'after' if early else 'before'} {', '.join(early or late)}")


def insert_interceptors(chain: Sequence[Interceptor], own: Sequence[Interceptor]) -> list[Interceptor]:
    """The chain with a context's own interceptors, each as far in as it may be, in their order; OrderError."""
    placed = list(chain)
    for each in own:
        inner = [
            position for position, other in enumerate(placed) if other.name in each.before or each.name in other.after
        ]
        placed.insert(min(inner, default=len(placed)), each)
    check_order(placed)
    return placed
