"""Settings of the gateway: each level of degradation can be reached, and each upload that may be stored arrives."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from buf.validate import validate_pb2
from mesh.settings import Block, load
from soma.gateway.v1.permission_service_pb2 import AssetByteLimits
from svc_assets.settings import AssetSettings
from svc_gateway.domain.permissions import MAX_ASSET_MIB
from svc_gateway.settings import GatewaySettings

MIB = 1024 * 1024


class Edge(Block):
    """The gateway's own block alone."""

    gateway: GatewaySettings


FILES = {"edge_cert_file": Path("cert.pem"), "edge_key_file": Path("key.pem")}


def test_levels_are_reachable_by_default() -> None:
    own = GatewaySettings.model_validate(FILES)
    assert own.minor_response_s < own.moderate_response_s < own.severe_response_s < own.check_deadline_s


@pytest.mark.parametrize(
    "values",
    [
        {"check_deadline_s": 15.0},
        {"minor_response_s": 10.0},
        {"severe_response_s": 9.0},
        {"minor_error_rate": 0.2},
    ],
)
def test_unreachable_level_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate({**FILES, **values})


def test_the_edge_lets_in_what_any_type_or_tenant_may_be_allowed() -> None:
    own = GatewaySettings.model_validate(FILES)
    rules = [field.GetOptions().Extensions[validate_pb2.field] for field in AssetByteLimits.DESCRIPTOR.fields]  # type: ignore[index]
    assert {rule.int64.lte for rule in rules} == {MAX_ASSET_MIB * MIB}
    assert own.max_asset_size_mb == MAX_ASSET_MIB
    largest = {name: MAX_ASSET_MIB + 1 for name in AssetSettings.model_fields if name.endswith("_mb")}
    with pytest.raises(ValidationError) as refused:
        AssetSettings.model_validate(largest)
    assert {error["loc"][0] for error in refused.value.errors()} == set(largest)


def test_the_limit_of_types_without_their_own_does_not_bind_the_edge() -> None:
    environ = {
        "SA01_GATEWAY_EDGE_CERT_FILE": "cert.pem", "SA01_GATEWAY_EDGE_KEY_FILE": "key.pem",
        "SA01_MULTIMODAL_MAX_ASSET_SIZE_MB": "50", "SA01_ASSETS_MAX_VIDEO_MB": "500",
    }  # fmt: skip
    assert load(Edge, "gateway", environ).gateway.max_asset_size_mb == MAX_ASSET_MIB
