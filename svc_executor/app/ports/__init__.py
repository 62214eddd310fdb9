"""What the executor needs from outside."""

from svc_executor.app.ports.assets import AssetTexts, Differ, Erasures
from svc_executor.app.ports.jobs import (
    CallerTokens,
    Credentials,
    InputSlots,
    JobStore,
    JobTransaction,
    Meter,
    OutcomeStore,
    Runner,
    Submission,
    Wakeup,
)
from svc_executor.app.ports.peers import Assets, Critic, Registry, Selector

__all__ = [
    "AssetTexts",
    "Assets",
    "CallerTokens",
    "Credentials",
    "Critic",
    "Differ",
    "Erasures",
    "InputSlots",
    "JobStore",
    "JobTransaction",
    "Meter",
    "OutcomeStore",
    "Registry",
    "Runner",
    "Selector",
    "Submission",
    "Wakeup",
]
