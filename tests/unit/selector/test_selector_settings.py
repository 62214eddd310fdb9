"""What the selector refuses to start with."""

from __future__ import annotations

import pytest

from mesh.settings import SettingsError, load
from svc_selector.settings import Settings

REQUIRED = {
    "SA01_POSTGRES_DSN": "postgresql://u:p@localhost/db",
    "SA01_VALKEY_URL": "redis://localhost",
    "SA01_TEMPORAL_ADDRESS": "localhost:7233",
    "SA01_VAULT_ADDRESS": "http://localhost:8200",
    "SA01_VAULT_TOKEN_FILE": "/token",
}


def loaded(**environment: str) -> Settings:
    return load(Settings, "selector", {**REQUIRED, **environment})


@pytest.mark.parametrize("profile", [{}, {"SA01_PROFILE": "production"}], ids=["default", "named"])
def test_forcing_is_refused_in_production(profile: dict[str, str]) -> None:
    assert not loaded(**profile).selector.allow_force
    with pytest.raises(SettingsError, match=r"SA01_SELECTOR_ALLOW_FORCE is refused.*SA01_PROFILE=dev or test"):
        loaded(SA01_SELECTOR_ALLOW_FORCE="true", **profile)


@pytest.mark.parametrize("profile", ["dev", "test"])
def test_forcing_is_for_development(profile: str) -> None:
    assert loaded(SA01_SELECTOR_ALLOW_FORCE="true", SA01_PROFILE=profile).selector.allow_force
