"""Budgets: reserve, then settle, never above a cap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum

from mesh.errors import Reason, SomaError
from svc_selector.domain.model import Prices, Units  # noqa: TC001 - as above
from svc_selector.domain.pricing import cost_micro_usd

OVERALL = ""
"""Scope of the cap on all modalities together; each other scope is one modality."""


def scopes_of(modality: str) -> tuple[str, ...]:
    """Scopes of the caps that a call of this modality counts against."""
    return (OVERALL, modality)


class ReservationState(StrEnum):
    """State of a reservation."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Budget:
    """A cap and the spending of one calendar month (UTC), amounts in millionths of a US dollar."""

    scope: str
    limit_micro_usd: int
    reserved_micro_usd: int
    settled_micro_usd: int
    period_start: datetime
    updated_by: str = ""


@dataclass(frozen=True)
class Reservation:
    """An amount reserved for one call.

    `cost_micro_usd` is the actual cost once it is settled, of which `settled_micro_usd` was booked against the caps.
    `prices` are those of the chosen capability at the time of the decision; None for rows of versions without prices.
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
    """What a reservation is settled at: the units that the call used, or a cost that the caller computed.

    With neither, the usage is unknown and the reserved amount is charged.
    """

    units: Units | None = None
    cost_micro_usd: int | None = None

    def cost_of(self, reservation: Reservation) -> int:
        """Returns the actual cost in millionths of a US dollar."""
        if self.cost_micro_usd is not None:
            return self.cost_micro_usd
        if self.units is None or reservation.prices is None:
            return reservation.reserved_micro_usd
        return cost_micro_usd(reservation.prices, self.units)


def month_start(now: datetime) -> datetime:
    """Returns the first moment of the month (UTC)."""
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def amount_to_reserve(reservation: Reservation, headroom: int) -> int:
    """Returns the amount to book when a reservation is renewed: 0 while it is active, its amount after it expired.

    `headroom` is what the caps have left. BUDGET_EXCEEDED when that is too little, FAILED_PRECONDITION for a
    reservation that was settled or released.
    """
    if reservation.state is ReservationState.HELD:
        return 0
    if reservation.state is not ReservationState.EXPIRED:
        raise SomaError(Reason.FAILED_PRECONDITION, f"the reservation is {reservation.state.value}")
    if headroom < reservation.reserved_micro_usd:
        text = f"the reservation of {reservation.reserved_micro_usd} micro-USD has expired and the budget has less left"
        raise SomaError(Reason.BUDGET_EXCEEDED, text)
    return reservation.reserved_micro_usd


def needs_no_booking(reservation: Reservation, cost_micro_usd: int) -> bool:
    """Returns whether a settlement changes nothing: it was settled before, or it was released and cost nothing."""
    released = reservation.state is ReservationState.RELEASED
    return reservation.state is ReservationState.SETTLED or (released and not cost_micro_usd)


def amount_to_book(cost: int, reserved: int, headroom: int) -> int:
    """Returns how much of a cost is booked: at most what was reserved and what the caps have left."""
    return min(cost, reserved + max(headroom, 0))
