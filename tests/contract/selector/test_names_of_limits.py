"""The gateway names limits as the selector, the registry and policy do."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

from buf.validate import validate_pb2
from soma.gateway.v1.permission_service_pb2 import TenantPermissions
from soma.registry.v1 import capability_pb2
from soma.selector.v1.selection_pb2 import SubjectContext
from svc_selector.domain.model import CostTier
from svc_selector.domain.permissions import CLASSIFICATIONS

POLICY = (Path(__file__).parents[3] / "policy" / "multimodal.rego").read_text(encoding="utf-8")


SCHEMA = json.loads(files("svc_executor.schemas").joinpath("task_dsl_v1.json").read_text(encoding="utf-8"))
PLANS = SCHEMA["properties"]["policy_overrides"]["properties"]


def names(message: type[TenantPermissions | SubjectContext], field: str) -> list[str]:
    """The values that a field may have."""
    rules = message.DESCRIPTOR.fields_by_name[field].GetOptions().Extensions[validate_pb2.field]  # type: ignore[index]
    return list(getattr(rules.string, "in"))


def test_cost_tiers_have_the_same_names_and_order() -> None:
    listed = [CostTier(name) for name in names(TenantPermissions, "max_cost_tier")]
    assert listed == list(CostTier)
    assert [f"COST_TIER_{tier.name}" for tier in listed] == capability_pb2.CostTier.keys()
    assert ["", *PLANS["max_cost_tier"]["enum"]] == listed
    [order] = re.findall(r"^cost_tiers := \{(.*)\}$", POLICY, re.MULTILINE)
    assert order == ", ".join(f'"{tier.value}": {place}' for place, tier in enumerate(listed) if tier)


def test_classifications_have_the_same_names_and_order() -> None:
    assert names(TenantPermissions, "data_classification_floor") == ["", *CLASSIFICATIONS]
    assert names(SubjectContext, "data_classification") == ["", *CLASSIFICATIONS]
    assert PLANS["data_classification"]["enum"] == list(CLASSIFICATIONS)
