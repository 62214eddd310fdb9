"""Rubrics of the caller's tenant, and the platform's defaults."""

# Generated from protos/soma/critic/v1/rubric.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
from soma_client.gen.soma.critic import v1 as critic_v1
from soma_client.paging import Pages


class RubricServiceMethods:
    """Rubrics of the caller's tenant, and the platform's defaults."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self, rubric: critic_v1.Rubric, *, request_id: str = "", timeout: float | None = None
    ) -> critic_v1.Rubric:
        """Makes a rubric. Idempotent on request_id.

        Args:
            rubric: The rubric. Required.
            request_id: Makes the call idempotent; at most 128 characters.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = critic_v1.CreateRubricRequest(rubric=rubric, request_id=request_id or self._caller.new_id())
        return await self._caller.unary(
            "/soma.critic.v1.RubricService/CreateRubric", request, critic_v1.Rubric, timeout
        )

    async def get(self, rubric_id: str, *, timeout: float | None = None) -> critic_v1.Rubric:
        """Reads a rubric.

        Args:
            rubric_id: Id of the rubric. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = critic_v1.GetRubricRequest(rubric_id=rubric_id)
        return await self._caller.unary("/soma.critic.v1.RubricService/GetRubric", request, critic_v1.Rubric, timeout)

    def list(
        self, *, asset_type: str = "", page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> Pages[critic_v1.ListRubricsResponse, critic_v1.Rubric]:
        """Lists rubrics, ordered by id.

        Args:
            asset_type: Only for this asset type.
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> critic_v1.ListRubricsRequest:
            return critic_v1.ListRubricsRequest(asset_type=asset_type, page_size=page_size, page_token=token)

        return Pages(
            self._caller,
            "/soma.critic.v1.RubricService/ListRubrics",
            request,
            critic_v1.ListRubricsResponse,
            lambda page: page.rubrics,
            page_token=page_token,
            timeout=timeout,
        )

    async def update(
        self, rubric_id: str, rubric: critic_v1.Rubric, *, request_id: str = "", timeout: float | None = None
    ) -> critic_v1.Rubric:
        """Replaces a rubric; evaluations made before keep their figures.

        Args:
            rubric_id: Which one. Required.
            rubric: The new rubric. Required.
            request_id: Makes the call idempotent; at most 128 characters.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = critic_v1.UpdateRubricRequest(
            rubric_id=rubric_id, rubric=rubric, request_id=request_id or self._caller.new_id()
        )
        return await self._caller.unary(
            "/soma.critic.v1.RubricService/UpdateRubric", request, critic_v1.Rubric, timeout
        )

    async def delete(self, rubric_id: str, *, timeout: float | None = None) -> critic_v1.Rubric:
        """Deletes a rubric. Platform defaults cannot be deleted.

        Args:
            rubric_id: Which one. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = critic_v1.DeleteRubricRequest(rubric_id=rubric_id)
        return await self._caller.unary(
            "/soma.critic.v1.RubricService/DeleteRubric", request, critic_v1.Rubric, timeout
        )
