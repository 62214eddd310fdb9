"""BudgetService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.errors import FieldViolation, Reason, SomaError
from mesh.rpc.enums import EnumCodec
from mesh.rpc.request_keys import request_key
from mesh.rpc.wellknown import timestamp
from soma.selector.v1 import budget_service_pb2 as pb
from soma.selector.v1.budget_service_pb2_grpc import BudgetServiceServicer
from svc_selector.domain.budget import CallCharge
from svc_selector.domain.model import Units
from svc_selector.rpc.convert import modality_name, modality_number

if TYPE_CHECKING:
    from datetime import timedelta

    import grpc.aio

    from svc_selector.app.ports import Ledger
    from svc_selector.domain.budget import Budget, Reservation

RESERVATION_STATES = EnumCodec(pb.ReservationState)


class BudgetServicer(BudgetServiceServicer):
    """Serves budgets and reservations straight from the ledger: there is no rule between the two.

    `reservation_ttl` is how long a reservation that is renewed is held.
    """

    def __init__(self, ledger: Ledger, reservation_ttl: timedelta) -> None:
        self._ledger = ledger
        self._reservation_ttl = reservation_ttl

    async def ListBudgets(
        self, request: pb.ListBudgetsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListBudgetsResponse:
        """Reads caps and spending."""
        return pb.ListBudgetsResponse(budgets=map(_budget_to, await self._ledger.budgets(caller().tenant_id)))

    async def SetBudget(self, request: pb.SetBudgetRequest, context: grpc.aio.ServicerContext) -> pb.Budget:
        """Sets a cap."""
        who, budget = caller(), request.budget
        scope = modality_name(budget.modality) if budget.modality else ""
        key, limit = await request_key(request), budget.limit_micro_usd
        return _budget_to(await self._ledger.set_budget(who.tenant_id, scope, limit, who.subject, key))

    async def RenewReservation(
        self, request: pb.RenewReservationRequest, context: grpc.aio.ServicerContext
    ) -> pb.Reservation:
        """Holds a reservation for its full time again."""
        return _reservation_to(
            await self._ledger.renew(caller().tenant_id, request.reservation_id, self._reservation_ttl)
        )

    async def SettleReservation(
        self, request: pb.SettleReservationRequest, context: grpc.aio.ServicerContext
    ) -> pb.Reservation:
        """Books the true cost."""
        charge = charge_from(request)
        return _reservation_to(await self._ledger.settle(caller().tenant_id, request.reservation_id, charge))

    async def ReleaseReservation(
        self, request: pb.ReleaseReservationRequest, context: grpc.aio.ServicerContext
    ) -> pb.Reservation:
        """Gives a reservation back."""
        return _reservation_to(await self._ledger.release(caller().tenant_id, request.reservation_id))


def charge_from(request: pb.SettleReservationRequest) -> CallCharge:
    """What a reservation is settled at. INVALID_ARGUMENT unless that is said in exactly one way."""
    given = (request.HasField("usage"), request.usage_unknown, bool(request.cost_micro_usd))
    if sum(given) != 1:
        text = "exactly one of usage, usage_unknown and cost_micro_usd must be given"
        fields = [FieldViolation(name, text) for name in ("usage", "usage_unknown", "cost_micro_usd")]
        raise SomaError(Reason.INVALID_ARGUMENT, text, fields=fields)
    if request.usage_unknown:
        return CallCharge()
    if request.cost_micro_usd:
        return CallCharge(cost_micro_usd=request.cost_micro_usd)
    used = request.usage
    return CallCharge(Units(used.calls, used.images, used.seconds, used.input_tokens, used.output_tokens))


def _budget_to(item: Budget) -> pb.Budget:
    return pb.Budget(
        modality=modality_number(item.scope),
        limit_micro_usd=item.limit_micro_usd,
        reserved_micro_usd=item.reserved_micro_usd,
        settled_micro_usd=item.settled_micro_usd,
        period_start=timestamp(item.period_start),
        updated_by=item.updated_by,
    )


def _reservation_to(item: Reservation) -> pb.Reservation:
    return pb.Reservation(
        reservation_id=item.reservation_id,
        state=RESERVATION_STATES.number(item.state),
        reserved_micro_usd=item.reserved_micro_usd,
        settled_micro_usd=item.settled_micro_usd,
        expire_time=timestamp(item.expires_at),
        cost_micro_usd=item.cost_micro_usd,
    )
