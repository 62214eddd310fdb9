"""Budgets: reserve, then settle, never above the cap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum

from mesh.errors import Reason, SomaError
from svc_selector.domain.model import Prices, Units  # noqa: TC001 - as above
from svc_selector.domain.pricing import cost_micro_usd

OVERALL = ""
"""Scope of the cap on everything together; the other scopes are modalities."""


class ReservationState(StrEnum):
    """State of a reservation."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Budget:
    """A cap for one calendar month (UTC), amounts in millionths of a US dollar."""

    scope: str
    limit_micro_usd: int
    reserved_micro_usd: int
    settled_micro_usd: int
    period_start: datetime
    updated_by: str = ""


@dataclass(frozen=True)
class Reservation:
    """An amount held for one call, or what became of it.

    `cost_micro_usd` is the true cost once it is settled, of which the caps bore `settled_micro_usd`. `prices` are those
    of the chosen capability at the time of the choice; None where a version recorded none.
    """

    reservation_id: str
    state: ReservationState
    reserved_micro_usd: int
    settled_micro_usd: int
    expires_at: datetime
    cost_micro_usd: int = 0
    prices: Prices | None = None


@dataclass(frozen=True)
class CallCharge:
    """What a reservation is settled at: the units of the call, or a cost that its caller computed.

    With neither nobody knows what the call consumed, and it costs what was reserved.
    """

    units: Units | None = None
    cost_micro_usd: int | None = None

    def cost_of(self, reservation: Reservation) -> int:
        """The true cost in millionths of a US dollar."""
        if self.cost_micro_usd is not None:
            return self.cost_micro_usd
        if self.units is None or reservation.prices is None:
            return reservation.reserved_micro_usd
        return cost_micro_usd(reservation.prices, self.units)


def period_of(now: datetime) -> datetime:
    """First moment of the month (UTC)."""
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def amount_to_reserve(reservation: Reservation, headroom: int) -> int:
    """What is to be reserved anew so that a reservation is held: nothing, or its amount once it has lapsed.

    `headroom` is what the caps have left. BUDGET_EXCEEDED when that is too little, FAILED_PRECONDITION for one that was
    settled or released.
    """
    if reservation.state is ReservationState.HELD:
        return 0
    if reservation.state is not ReservationState.EXPIRED:
        raise SomaError(Reason.FAILED_PRECONDITION, f"the reservation is {reservation.state.value}")
    if headroom < reservation.reserved_micro_usd:
        text = f"the reservation of {reservation.reserved_micro_usd} micro-USD has lapsed and the budget has less left"
        raise SomaError(Reason.BUDGET_EXCEEDED, text)
    return reservation.reserved_micro_usd


def nothing_to_book(reservation: Reservation, cost_micro_usd: int) -> bool:
    """Whether there is nothing to book: it was settled, or was given back and cost nothing."""
    given_back = reservation.state is ReservationState.RELEASED
    return reservation.state is ReservationState.SETTLED or (given_back and not cost_micro_usd)


def bookable(cost: int, held: int, headroom: int) -> int:
    """What may be booked of a cost: all of it, unless the cap has less left than what was held and is free."""
    return min(cost, held + max(headroom, 0))
