"""The peers in memory: enough of selector, assets, critic and registry to run jobs within one process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from mesh.ids import derive
from soma_providers.port import InputArtefact
from svc_executor.domain.peers import AssetInfo, Evaluation, RegisteredCapability, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from soma_providers.port import CapabilityKey, Credential, Manifest, Usage
    from svc_executor.domain.job import CallerIdentity, Execution, SelectedCapability
    from svc_executor.domain.peers import EvaluationRequest, HealthReport, SelectionRequest, Upload
    from svc_executor.domain.provider_call import CallOutcome

_TIERS = ("free", "low", "medium", "high", "premium")


@dataclass(frozen=True)
class Candidate:
    """A capability on the ladder of one task type. `prices` are micro-USD for one call, image or output token."""

    task_type: str
    capability: SelectedCapability
    cost_tier: str = "free"
    prices: Mapping[str, int] = field(default_factory=dict)

    def cost(self, usage: Usage) -> int:
        """What these units cost."""
        units = {"calls": usage.calls, "images": usage.images, "output_tokens": usage.output_tokens}
        return sum(price * units[unit] for unit, price in self.prices.items())

    def greatest_cost(self, usage: Usage) -> int:
        """What a call that may consume these units is reserved at: 1 at least where anything has a price."""
        return self.cost(usage) or int(any(self.prices.values()))


class MemorySelector:
    """Chooses the preferred, else the first, healthy rung whose cost the caps bear. `cap_micro_usd` is the tenant's."""

    def __init__(self, candidates: Sequence[Candidate], *, cap_micro_usd: int | None = None) -> None:
        self.unhealthy: set[str] = set()
        self.reserved: dict[str, int] = {}
        self.settled: dict[str, int] = {}
        self.released: set[str] = set()
        self.renewed: list[str] = []
        self._candidates = tuple(candidates)
        self._cap = cap_micro_usd
        self._chosen: dict[str, tuple[Candidate, int]] = {}
        self._answers: dict[str, Selection] = {}

    async def select(self, request: SelectionRequest) -> Selection:
        if request.request_id not in self._answers:
            self._answers[request.request_id] = self._choose(request)
        return self._answers[request.request_id]

    async def renew(self, reservation_id: str) -> None:
        if reservation_id not in self.reserved:
            raise SomaError(Reason.BUDGET_EXCEEDED, "the reservation has lapsed and the budget has less left")
        self.renewed.append(reservation_id)

    async def settle(self, reservation_id: str, usage: Usage | None) -> int:
        candidate, reserved = self._chosen[reservation_id]
        self.reserved.pop(reservation_id, None)
        return self.settled.setdefault(reservation_id, reserved if usage is None else candidate.cost(usage))

    async def release(self, reservation_id: str) -> None:
        self.released.add(reservation_id)
        self.reserved.pop(reservation_id, None)

    def _choose(self, request: SelectionRequest) -> Selection:
        left_out = {*request.exclude, *self.unhealthy}
        fitting = [
            candidate
            for candidate in self._candidates
            if candidate.task_type == request.task_type and candidate.capability.capability_id not in left_out
            if not request.max_cost_tier or _TIERS.index(candidate.cost_tier) <= _TIERS.index(request.max_cost_tier)
        ]
        if not fitting:
            raise SomaError(Reason.NO_CAPABLE_CAPABILITY, f"no capability is left for {request.task_type}")
        affordable = [
            candidate for candidate in fitting if self._can_afford(request, candidate.greatest_cost(request.units))
        ]
        if not affordable:
            raise SomaError(Reason.BUDGET_EXCEEDED, f"the budget does not bear any capability for {request.task_type}")
        preference = (request.preferred_tool, request.preferred_provider)
        best = min(affordable, key=lambda candidate: not _matches(candidate.capability, preference))
        amount = best.greatest_cost(request.units)
        reservation = derive(request.request_id, "reservation") if amount else ""
        if amount:
            self.reserved[reservation] = amount
            self._chosen[reservation] = best, amount
        return Selection(
            selection_id=derive(request.request_id, "selection"),
            capability=best.capability,
            reason="it stands first" if not request.fallback_reason else "the rung before failed",
            reservation_id=reservation,
            reserved_micro_usd=amount,
        )

    def _can_afford(self, request: SelectionRequest, amount: int) -> bool:
        own = request.max_cost_micro_usd
        spent = sum(self.reserved.values()) + sum(self.settled.values())
        return (not own or amount <= own) and (self._cap is None or spent + amount <= self._cap)


def _matches(capability: SelectedCapability, preference: tuple[str, str]) -> bool:
    tool, provider = preference
    return (
        bool(tool or provider)
        and capability.tool_id == (tool or capability.tool_id)
        and (capability.provider == (provider or capability.provider))
    )


@dataclass(frozen=True)
class StoredAsset:
    """An asset in memory. `holders` are the jobs that stored its bytes."""

    asset_id: str
    checksum: str
    upload: Upload
    holders: frozenset[str]


class MemoryAssets:
    """Stores bytes once per checksum."""

    def __init__(self) -> None:
        self.stored: dict[str, StoredAsset] = {}
        self.released: list[str] = []
        self._requests: dict[str, str] = {}
        self._live: dict[str, str] = {}

    async def store(self, upload: Upload) -> str:
        checksum = hashlib.sha256(upload.artefact.content).hexdigest()
        if self._requests.setdefault(upload.request_id, checksum) != checksum:
            raise SomaError(Reason.IDEMPOTENCY_MISMATCH, "this request_id was used with another body; take a new one")
        asset_id = self._live.get(checksum) or derive(checksum, upload.request_id)
        known = self.stored.get(asset_id) or StoredAsset(asset_id, checksum, upload, frozenset())
        self.stored[asset_id] = replace(known, holders=known.holders | {upload.job_id})
        self._live[checksum] = asset_id
        return asset_id

    async def describe(self, asset_id: str) -> AssetInfo:
        if asset_id not in self.stored:
            raise not_found("asset", asset_id)
        artefact = self.stored[asset_id].upload.artefact
        return AssetInfo(asset_id, artefact.media_type, artefact.filename, len(artefact.content))

    async def load(self, asset: AssetInfo) -> InputArtefact:
        content = self.stored[asset.asset_id].upload.artefact.content
        return InputArtefact(asset.asset_id, asset.media_type, asset.filename, content)

    async def release(self, asset_id: str, job_id: str, reason: str) -> None:
        asset = self.stored.get(asset_id)
        if asset is None or job_id not in asset.holders:
            return
        self.released.append(asset_id)
        left = asset.holders - {job_id}
        if left:
            self.stored[asset_id] = replace(asset, holders=left)
        else:
            del self.stored[asset_id], self._live[asset.checksum]

    async def list_held(self, job_id: str) -> list[str]:
        return [asset_id for asset_id, asset in self.stored.items() if job_id in asset.holders]


class MemoryCritic:
    """Judges by a rule; without one, everything is good enough."""

    def __init__(self, rule: Callable[[EvaluationRequest], Evaluation] | None = None) -> None:
        self.evaluation_requests: list[EvaluationRequest] = []
        self._rule = rule or _good
        self._verdicts: dict[str, Evaluation] = {}

    async def evaluate(self, evaluation_request: EvaluationRequest) -> Evaluation:
        if evaluation_request.request_id not in self._verdicts:
            self.evaluation_requests.append(evaluation_request)
            self._verdicts[evaluation_request.request_id] = self._rule(evaluation_request)
        return self._verdicts[evaluation_request.request_id]


def _good(evaluation_request: EvaluationRequest) -> Evaluation:
    return Evaluation(derive(evaluation_request.request_id, "evaluation"), passes=True, score=1.0)


class MemoryRegistry:
    """Remembers what it was told. `opened` holds when circuits were reported open by other processes."""

    def __init__(self) -> None:
        self.manifests: dict[str, Manifest] = {}
        self.opened: dict[str, datetime] = {}
        self.reports: list[HealthReport] = []

    async def register(self, manifest: Manifest) -> None:
        self.manifests[manifest.capability_id] = manifest

    async def list_by_adapter(self, adapter: str) -> Sequence[RegisteredCapability]:
        return [
            RegisteredCapability(
                id_, str(manifest.fields.get("endpoint", "")), id_ in self.opened, self.opened.get(id_)
            )
            for id_, manifest in self.manifests.items()
            if manifest.adapter == adapter
        ]

    async def report_health(self, report: HealthReport) -> None:
        self.reports.append(report)


class NoCredentials:
    """No tenant has any secret."""

    async def read(self, tenant_id: str, path: str) -> Mapping[str, Credential]:
        return {}


class LocalTokens:
    """Names the owner instead of proving it: for peers within the process."""

    async def token_for(self, owner: CallerIdentity) -> str:
        return f"{owner.tenant_id}/{owner.subject}"


class MemoryOutcomes:
    """`OutcomeStore` in memory."""

    def __init__(self) -> None:
        self.stored_outcomes: dict[tuple[str, str], CallOutcome] = {}

    async def save(self, tenant_id: str, key: str, outcome: CallOutcome) -> None:
        self.stored_outcomes[tenant_id, key] = replace(outcome, stored=True, called=False)

    async def find(self, tenant_id: str, key: str) -> CallOutcome | None:
        return self.stored_outcomes.get((tenant_id, key))

    async def delete(self, tenant_id: str, key: str) -> None:
        self.stored_outcomes.pop((tenant_id, key), None)


class MemoryMeter:
    """Keeps what it was told, in words."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.open_circuits: Callable[[], Mapping[CapabilityKey, int]] = dict

    def execution(self, execution: Execution) -> None:
        self.entries.append(f"execution {execution.capability.capability_id} {execution.status}")

    def cost(self, execution: Execution) -> None:
        self.entries.append(f"cost {execution.capability.capability_id} {execution.cost_micro_usd}")

    def rework(self, modality: str, reason: str) -> None:
        self.entries.append(f"rework {modality} {reason}")

    def fallback(self, modality: str, reason: str) -> None:
        self.entries.append(f"fallback {modality} {reason}")

    def compensation(self, kind: str, *, done: bool) -> None:
        self.entries.append(f"compensation {kind} {'done' if done else 'failed'}")

    def rollback(self, seconds: float) -> None:
        self.entries.append(f"rollback {seconds >= 0}")

    def open_compensations(self, number: int) -> None:
        self.entries.append(f"open compensations {number}")

    def unfinished_erasures(self, number: int) -> None:
        self.entries.append(f"unfinished erasures {number}")

    def lost_run(self) -> None:
        self.entries.append("lost run")

    def breaker(self, capability: CapabilityKey, state: str) -> None:
        self.entries.append(f"breaker {capability.capability_id} {state}")

    def tenant_circuits(self, open_now: Callable[[], Mapping[CapabilityKey, int]]) -> None:
        self.open_circuits = open_now
