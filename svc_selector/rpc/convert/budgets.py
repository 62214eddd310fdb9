"""Budgets and reservations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import FieldViolation, Reason, SomaError
from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import timestamp
from soma.selector.v1 import budget_service_pb2 as pb
from svc_selector.domain.budget import CallCharge
from svc_selector.domain.model import Units
from svc_selector.rpc.convert.enums import modality_to_proto

if TYPE_CHECKING:
    from svc_selector.domain.budget import Budget, Reservation

_RESERVATION_STATES = EnumCodec(pb.ReservationState)


def call_charge_from_proto(request: pb.SettleReservationRequest) -> CallCharge:
    """Returns what a reservation is settled at. INVALID_ARGUMENT unless exactly one of the fields for it is set."""
    fields_set = (request.HasField("usage"), request.usage_unknown, bool(request.cost_micro_usd))
    if sum(fields_set) != 1:
        text = "exactly one of usage, usage_unknown and cost_micro_usd must be given"
        fields = [FieldViolation(name, text) for name in ("usage", "usage_unknown", "cost_micro_usd")]
        raise SomaError(Reason.INVALID_ARGUMENT, text, fields=fields)
    if request.usage_unknown:
        return CallCharge()
    if request.cost_micro_usd:
        return CallCharge(cost_micro_usd=request.cost_micro_usd)
    used = request.usage
    return CallCharge(Units(used.calls, used.images, used.seconds, used.input_tokens, used.output_tokens))


def budget_to_proto(budget: Budget) -> pb.Budget:
    """Returns the message of a budget."""
    return pb.Budget(
        modality=modality_to_proto(budget.scope),
        limit_micro_usd=budget.limit_micro_usd,
        reserved_micro_usd=budget.reserved_micro_usd,
        settled_micro_usd=budget.settled_micro_usd,
        period_start=timestamp(budget.period_start),
        updated_by=budget.updated_by,
    )


def reservation_to_proto(reservation: Reservation) -> pb.Reservation:
    """Returns the message of a reservation."""
    return pb.Reservation(
        reservation_id=reservation.reservation_id,
        state=_RESERVATION_STATES.number(reservation.state),
        reserved_micro_usd=reservation.reserved_micro_usd,
        settled_micro_usd=reservation.settled_micro_usd,
        expire_time=timestamp(reservation.expires_at),
        cost_micro_usd=reservation.cost_micro_usd,
    )
