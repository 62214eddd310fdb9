"""Workflows and activities of the test of durable work."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow

from mesh import context

QUEUE = "probe"


@activity.defn
async def who() -> list[str]:
    caller = context.caller()
    request = context.current()
    assert request is not None
    return [caller.tenant_id, caller.subject, ",".join(caller.roles), caller.token, request.traceparent]


@activity.defn
async def grow(size: int) -> str:
    return "x" * size


@activity.defn
async def measure(text: str) -> int:
    return len(text)


@workflow.defn
class Asking:
    """Asks in an activity, a local activity and a child who it works for."""

    @workflow.run
    async def run(self, depth: int) -> list[list[str]]:
        answers = [
            await workflow.execute_activity(who, start_to_close_timeout=timedelta(seconds=20)),
            await workflow.execute_local_activity(who, start_to_close_timeout=timedelta(seconds=20)),
        ]
        if depth:
            answers += await workflow.execute_child_workflow(Asking.run, depth - 1)
        return answers


@workflow.defn
class Carrying:
    """Carries a text of many bytes from one activity to the next."""

    @workflow.run
    async def run(self, text: str) -> int:
        grown = await workflow.execute_activity(grow, len(text) * 2, start_to_close_timeout=timedelta(seconds=20))
        return await workflow.execute_activity(measure, grown, start_to_close_timeout=timedelta(seconds=20))
