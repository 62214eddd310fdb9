"""Builds the use cases of a run from their ports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from svc_executor.app.attempt import MakeAttempt
from svc_executor.app.close_run import CloseRun, EndStep
from svc_executor.app.compensate import Compensator
from svc_executor.app.evaluate import EvaluateAttempt
from svc_executor.app.open_run import OpenRun, RunLimits
from svc_executor.app.provider_calls import ProviderCalls
from svc_executor.app.provider_invoker import ProviderInvoker
from svc_executor.app.recorder import Recorder
from svc_executor.app.select import SelectCapability
from svc_executor.workflows.activities import UseCases

if TYPE_CHECKING:
    from mesh.clock import Clock
    from soma_providers.port import Catalogue, Estimates
    from svc_executor.app.ports import Assets, Credentials, Critic, InputSlots, JobStore, Meter, OutcomeStore, Selector
    from svc_executor.app.starting import StartJobs


@dataclass(frozen=True)
class Ports:
    """What runs need from outside."""

    store: JobStore
    selector: Selector
    assets: Assets
    critic: Critic
    catalogue: Catalogue
    credentials: Credentials
    meter: Meter
    clock: Clock
    outcomes: OutcomeStore
    large_inputs: InputSlots
    estimates: Estimates


@dataclass(frozen=True)
class SharedComponents:
    """Components that the use cases of runs share with sweeps."""

    recorder: Recorder
    calls: ProviderCalls
    compensator: Compensator


def shared_components(ports: Ports) -> SharedComponents:
    """Builds the shared components."""
    recorder = Recorder(ports.clock)
    return SharedComponents(
        recorder=recorder,
        calls=ProviderCalls(ports.store, ports.outcomes, ports.clock),
        compensator=Compensator(
            ports.store, ports.assets, ports.selector, recorder, meter=ports.meter, clock=ports.clock
        ),
    )


def use_cases(ports: Ports, limits: RunLimits, starting: StartJobs, *, provider_timeout_s: float) -> UseCases:
    """Builds the use cases that activities run."""
    shared = shared_components(ports)
    recorder, calls, meter, clock = shared.recorder, shared.calls, ports.meter, ports.clock
    invoker = ProviderInvoker(
        ports.assets, ports.catalogue, ports.credentials, calls, clock,
        large_inputs=ports.large_inputs, timeout_s=provider_timeout_s,
    )  # fmt: skip
    return UseCases(
        open_run=OpenRun(ports.store, recorder, clock, limits),
        select=SelectCapability(ports.store, ports.selector, recorder, meter, ports.estimates),
        attempt=MakeAttempt(ports.store, invoker, calls, ports.selector, recorder, meter=meter, clock=clock),
        evaluate=EvaluateAttempt(ports.store, ports.critic, recorder),
        end_step=EndStep(ports.store, recorder),
        close_run=CloseRun(
            ports.store, ports.assets, shared.compensator, recorder, calls, starting=starting, meter=meter, clock=clock
        ),
    )
