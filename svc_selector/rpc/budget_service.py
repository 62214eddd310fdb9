"""BudgetService of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.request_keys import request_key
from soma.selector.v1 import budget_service_pb2 as pb
from soma.selector.v1.budget_service_pb2_grpc import BudgetServiceServicer
from svc_selector.domain.budget import OVERALL
from svc_selector.rpc.convert.budgets import budget_to_proto, call_charge_from_proto, reservation_to_proto
from svc_selector.rpc.convert.enums import modality_from_proto

if TYPE_CHECKING:
    from datetime import timedelta

    import grpc.aio

    from svc_selector.app.ports import Ledger


class BudgetServicer(BudgetServiceServicer):
    """Serves budgets and reservations straight from the ledger: there is no use case between the two.

    `reservation_ttl` is the time until a renewed reservation expires.
    """

    def __init__(self, ledger: Ledger, reservation_ttl: timedelta) -> None:
        self._ledger = ledger
        self._reservation_ttl = reservation_ttl

    async def ListBudgets(
        self, request: pb.ListBudgetsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListBudgetsResponse:
        """Lists caps and spending."""
        return pb.ListBudgetsResponse(budgets=map(budget_to_proto, await self._ledger.list_budgets(caller().tenant_id)))

    async def SetBudget(self, request: pb.SetBudgetRequest, context: grpc.aio.ServicerContext) -> pb.Budget:
        """Sets a cap."""
        current_caller, budget = caller(), request.budget
        scope = modality_from_proto(budget.modality) if budget.modality else OVERALL
        key, limit = await request_key(request), budget.limit_micro_usd
        return budget_to_proto(
            await self._ledger.set_budget(current_caller.tenant_id, scope, limit, current_caller.subject, key)
        )

    async def RenewReservation(
        self, request: pb.RenewReservationRequest, context: grpc.aio.ServicerContext
    ) -> pb.Reservation:
        """Extends a reservation to its full time from now on."""
        return reservation_to_proto(
            await self._ledger.renew(caller().tenant_id, request.reservation_id, self._reservation_ttl)
        )

    async def SettleReservation(
        self, request: pb.SettleReservationRequest, context: grpc.aio.ServicerContext
    ) -> pb.Reservation:
        """Books the actual cost."""
        charge = call_charge_from_proto(request)
        return reservation_to_proto(await self._ledger.settle(caller().tenant_id, request.reservation_id, charge))

    async def ReleaseReservation(
        self, request: pb.ReleaseReservationRequest, context: grpc.aio.ServicerContext
    ) -> pb.Reservation:
        """Releases a reservation."""
        return reservation_to_proto(await self._ledger.release(caller().tenant_id, request.reservation_id))
