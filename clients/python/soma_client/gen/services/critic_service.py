"""Judges assets."""

# Generated from protos/soma/critic/v1/critic_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
from soma_client.gen.soma.critic import v1 as critic_v1
from soma_client.paging import Pages


class CriticServiceMethods:
    """Judges assets."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def evaluate(
        self,
        asset_id: str,
        *,
        rubric_id: str = "",
        rubric: critic_v1.Rubric | None = None,
        context: critic_v1.EvaluationContext | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> critic_v1.Evaluation:
        """Judges an asset against a rubric and says what the producer should change. Idempotent on request_id.
        A tenant has few assets measured at once; 64 more of its calls wait, one more is OVERLOADED. Calls
        of services, for jobs, do not wait in line: few of a tenant wait, at most two seconds; others are
        OVERLOADED at once, with the time after which to call again.

        Args:
            asset_id: Asset to judge. Required.
            rubric_id: Rubric to use; empty: the tenant's default for the asset's type.
            rubric: A rubric written in the request; wins over rubric_id.
            context: What was asked for.
            request_id: Makes the call idempotent; at most 128 characters.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = critic_v1.EvaluateRequest(
            asset_id=asset_id,
            rubric_id=rubric_id,
            rubric=rubric,
            context=context,
            request_id=request_id or self._caller.new_id(),
        )
        return await self._caller.unary(
            "/soma.critic.v1.CriticService/Evaluate", request, critic_v1.Evaluation, timeout
        )

    async def get_evaluation(self, evaluation_id: str, *, timeout: float | None = None) -> critic_v1.Evaluation:
        """Reads a past evaluation.

        Args:
            evaluation_id: Id of the evaluation. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = critic_v1.GetEvaluationRequest(evaluation_id=evaluation_id)
        return await self._caller.unary(
            "/soma.critic.v1.CriticService/GetEvaluation", request, critic_v1.Evaluation, timeout
        )

    def list_evaluations(
        self,
        *,
        asset_id: str = "",
        job_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pages[critic_v1.ListEvaluationsResponse, critic_v1.Evaluation]:
        """Lists evaluations, newest first.

        Args:
            asset_id: Only of this asset.
            job_id: Only of this job.
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> critic_v1.ListEvaluationsRequest:
            return critic_v1.ListEvaluationsRequest(
                asset_id=asset_id, job_id=job_id, page_size=page_size, page_token=token
            )

        return Pages(
            self._caller,
            "/soma.critic.v1.CriticService/ListEvaluations",
            request,
            critic_v1.ListEvaluationsResponse,
            lambda page: page.evaluations,
            page_token=page_token,
            timeout=timeout,
        )
