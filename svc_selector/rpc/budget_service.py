"""BudgetService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.enums import EnumCodec
from mesh.rpc.request_keys import request_key
from mesh.rpc.wellknown import timestamp
from soma.selector.v1 import budget_service_pb2 as pb
from soma.selector.v1.budget_service_pb2_grpc import BudgetServiceServicer
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
        done = await self._ledger.settle(caller().tenant_id, request.reservation_id, request.cost_micro_usd)
        return _reservation_to(done)

    async def ReleaseReservation(
        self, request: pb.ReleaseReservationRequest, context: grpc.aio.ServicerContext
    ) -> pb.Reservation:
        """Gives a reservation back."""
        return _reservation_to(await self._ledger.release(caller().tenant_id, request.reservation_id))


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
    )
