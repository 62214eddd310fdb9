"""Settings that would leave a level of degradation unreachable are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from svc_gateway.settings import GatewaySettings

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
