"""Clients of jobs: they submit with an id of their own, follow the timeline, and try again whatever gets lost."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from tests.chaos.contexts.messages.ledger import Kind, Sent

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from mesh.clock import Clock

JOBS = "/v1/multimodal/jobs"
_TOO_MANY, _SERVER_ERROR, _GONE = 429, 500, 404
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


class RefusedError(Exception):
    """A good request was refused for good."""


@dataclass
class Tally:
    """What clients met: `tries` requests in all, `retries` among them, answers that were lost or put off, by kind.

    `done` counts messages.
    """

    tries: int = 0
    retries: int = 0
    done: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    put_off: Counter[str] = field(default_factory=Counter)


class RequestIds(Protocol):
    """Gives the request id of each try of a message."""

    def __call__(self, message_id: str) -> str:
        """The id to submit it under."""


def stable_request_id(message_id: str) -> str:
    """As clients should: every try of a message has the message's own id."""
    return message_id


class ResponseLoss:
    """Loses a share of the good answers on their way, so that many a retry meets what was accepted already."""

    def __init__(self, loss: float, random_source: random.Random, tally: Tally) -> None:
        self._loss = loss
        self._random_source = random_source
        self._tally = tally

    def loses(self, what: str) -> bool:
        """Whether this answer is lost."""
        lost = self._random_source.random() < self._loss
        if lost:
            self._tally.lost[f"{what}: on its way"] += 1
        return lost


class Backoff:
    """Pauses between tries, which grow."""

    def __init__(self, tally: Tally, clock: Clock) -> None:
        self._tally = tally
        self._clock = clock
        self._tries = 0

    async def next(self) -> None:
        """Wait before each try but the first, and count."""
        if self._tries:
            self._tally.retries += 1
            await self._clock.sleep(min(_FIRST_PAUSE_S * 2.0 ** min(self._tries, 10), _LONGEST_PAUSE_S))
        self._tries += 1
        self._tally.tries += 1

    def progress(self) -> None:
        """The next pause is short again."""
        self._tries = 1


def job_plan(message_id: str) -> dict[str, object]:
    """One tiny chart; the title tells the message, whatever request id it came under."""
    chart = {"kind": "line", "title": message_id, "series": [{"name": "s", "x": [1, 2], "y": [1, 2]}]}
    task = {
        "task_id": "c0",
        "step_type": "generate_diagram",
        "task_type": "chart",
        "params": {"scale": 0.3, "chart": chart},
    }
    overrides = {"quality_gates_enabled": False}
    return {"version": "1.0", "tasks": [task], "policy_overrides": overrides, "metadata": {"title": message_id}}


class JobClient:
    """Brings one job after the other to its end."""

    def __init__(
        self,
        api: httpx.AsyncClient,
        tally: Tally,
        response_loss: ResponseLoss,
        clock: Clock,
        names: RequestIds = stable_request_id,
    ) -> None:
        self._api = api
        self._tally = tally
        self._response_loss = response_loss
        self._clock = clock
        self._names = names

    async def run(self, message_id: str) -> Sent:
        """Submit until an answer arrives, then follow the job to its last event; what the client knows then."""
        job_id = await self._submit(message_id)
        return Sent(message_id, Kind.JOB, (job_id,), await self._follow(job_id))

    async def _submit(self, message_id: str) -> str:
        backoff = Backoff(self._tally, self._clock)
        while True:
            await backoff.next()
            body = {"plan": job_plan(message_id), "request_id": self._names(message_id)}
            try:
                answer = await self._api.post(JOBS, json=body)
            except httpx.TransportError as failure:
                self._tally.lost[f"submit: {type(failure).__name__}"] += 1
                continue
            if self._put_off(answer):
                continue
            if answer.is_error:
                raise RefusedError(f"{answer.status_code} {answer.text}")
            if not self._response_loss.loses("submit"):
                return str(answer.json()["job_id"])

    async def _follow(self, job_id: str) -> tuple[int, ...]:
        """The sequences of the timeline as they came, resumed after each cut; ends where the job is not known."""
        seen: list[int] = []
        backoff = Backoff(self._tally, self._clock)
        while True:
            await backoff.next()
            try:
                async for event in self._events(job_id, seen[-1] if seen else 0):
                    backoff.progress()
                    seen.append(int(event["sequence"]))
                    if event["terminal"]:
                        return tuple(seen)
            except httpx.TransportError as failure:
                self._tally.lost[f"timeline: {type(failure).__name__}"] += 1
            except _UnknownError:
                return tuple(seen)

    async def _events(self, job_id: str, after: int) -> AsyncIterator[dict[str, Any]]:
        async with self._api.stream("GET", f"{JOBS}/{job_id}/events", params={"after": after}) as answer:
            if answer.is_error:
                await answer.aread()
                if answer.status_code == _GONE:
                    raise _UnknownError
                if not self._put_off(answer):
                    raise RefusedError(f"{answer.status_code} {answer.text}")
                return
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    event = json.loads(line.removeprefix("data:"))
                    if event["type"] != "JOB_EVENT_TYPE_HEARTBEAT":
                        yield event

    def _put_off(self, answer: httpx.Response) -> bool:
        """Whether the answer says to come again."""
        if answer.status_code != _TOO_MANY and answer.status_code < _SERVER_ERROR:
            return False
        self._tally.put_off[f"{answer.status_code} {_reason(answer)}"] += 1
        return True


class _UnknownError(Exception):
    """The mesh does not know the job."""


def _reason(answer: httpx.Response) -> str:
    """The reason in the documented body of an error."""
    try:
        details = answer.json()["details"]
    except (ValueError, KeyError, TypeError):
        return "without a reason"
    return next((str(item["reason"]) for item in details if "reason" in item), "without a reason")
