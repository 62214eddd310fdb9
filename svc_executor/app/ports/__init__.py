"""What the executor needs from outside."""

from svc_executor.app.ports.assets import Differ, Erasures, Texts
from svc_executor.app.ports.jobs import (
    Credentials,
    Identity,
    InputSlots,
    JobStore,
    Meter,
    Results,
    Runner,
    Submission,
    Wakeup,
    Work,
)
from svc_executor.app.ports.peers import Assets, Critic, Registry, Selector

__all__ = [
    "Assets",
    "Credentials",
    "Critic",
    "Differ",
    "Erasures",
    "Identity",
    "InputSlots",
    "JobStore",
    "Meter",
    "Registry",
    "Results",
    "Runner",
    "Selector",
    "Submission",
    "Texts",
    "Wakeup",
    "Work",
]
