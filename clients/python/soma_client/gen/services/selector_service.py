"""Which capability to use now, and why."""

# Generated from protos/soma/selector/v1/selector_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from collections.abc import Sequence

from soma_client.calls import Caller
from soma_client.gen.soma.registry import v1 as registry_v1
from soma_client.gen.soma.selector import v1 as selector_v1
from soma_client.paging import Pages


class SelectorServiceMethods:
    """Which capability to use now, and why."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def select(
        self,
        requirements: registry_v1.Requirements,
        *,
        estimated_units: selector_v1.EstimatedUnits | None = None,
        subject_context: selector_v1.SubjectContext | None = None,
        preference: selector_v1.Preference | None = None,
        exclude: Sequence[str] = (),
        fallback_reason: str = "",
        force: str = "",
        max_cost_micro_usd: int = 0,
        dry_run: bool = False,
        request_id: str = "",
        max_cost_tier: registry_v1.CostTier = registry_v1.CostTier(0),
        timeout: float | None = None,
    ) -> selector_v1.Selection:
        """Judges, ranks, reserves budget and chooses. FAILED_PRECONDITION with NO_CAPABLE_CAPABILITY when
        nothing is left.

        Args:
            requirements: What is needed. Required.
            estimated_units: Units expected; absent: one call.
            subject_context: On whose behalf; absent: the caller alone.
            preference: What the user would like.
            exclude: Capabilities to leave out, at most 100: those that failed before.
            fallback_reason: Why the choice before failed; marks the decision a fallback.
            force: Capability to use against health and ladder; honoured only in development.
            max_cost_micro_usd: Greatest cost of this request in millionths of a US dollar, at most
                1,000,000,000,000,000; 0: only the tenant's caps hold.
            dry_run: Judge only: reserve and record nothing.
            request_id: Makes the call idempotent: the same id answers with the same selection; at most
                128 characters. Any other request with the same id is IDEMPOTENCY_MISMATCH.
            max_cost_tier: Highest price class that may be chosen; UNSPECIFIED: only the tenant's limit
                holds. A capability without a class counts as PREMIUM.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = selector_v1.SelectRequest(
            requirements=requirements,
            estimated_units=estimated_units,
            subject_context=subject_context,
            preference=preference,
            exclude=list(exclude),
            fallback_reason=fallback_reason,
            force=force,
            max_cost_micro_usd=max_cost_micro_usd,
            dry_run=dry_run,
            request_id=request_id or self._caller.new_id(),
            max_cost_tier=max_cost_tier,
        )
        return await self._caller.unary(
            "/soma.selector.v1.SelectorService/Select", request, selector_v1.Selection, timeout
        )

    async def find_candidates(
        self, requirements: registry_v1.Requirements, *, timeout: float | None = None
    ) -> registry_v1.FindCandidatesResponse:
        """Which capabilities could be chosen for a need, and why each other one of the modality could not: a
        dry run of Select that gives all candidates instead of the first. It reserves and records nothing,
        names no persona and no capsule, and judges internal data, or data of the tenant's floor where that
        is stricter. Of an allow-list it shows the caller's tenant alone.

        Args:
            requirements: The need. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = registry_v1.FindCandidatesRequest(requirements=requirements)
        return await self._caller.unary(
            "/soma.selector.v1.SelectorService/FindCandidates", request, registry_v1.FindCandidatesResponse, timeout
        )

    async def get_selection(self, selection_id: str, *, timeout: float | None = None) -> selector_v1.Selection:
        """Explains a past selection.

        Args:
            selection_id: Id of the selection. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = selector_v1.GetSelectionRequest(selection_id=selection_id)
        return await self._caller.unary(
            "/soma.selector.v1.SelectorService/GetSelection", request, selector_v1.Selection, timeout
        )

    def list_selections(
        self, *, job_id: str = "", page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> Pages[selector_v1.ListSelectionsResponse, selector_v1.Selection]:
        """Lists past selections, newest first.

        Args:
            job_id: Only those of this job.
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> selector_v1.ListSelectionsRequest:
            return selector_v1.ListSelectionsRequest(job_id=job_id, page_size=page_size, page_token=token)

        return Pages(
            self._caller,
            "/soma.selector.v1.SelectorService/ListSelections",
            request,
            selector_v1.ListSelectionsResponse,
            lambda page: page.selections,
            page_token=page_token,
            timeout=timeout,
        )
