"""Settings come from the environment, the context's own name first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr, ValidationError

from mesh import settings
from mesh.settings import (
    Block,
    Env,
    PeerAddresses,
    PolicySettings,
    PostgresSettings,
    ServerSettings,
    SettingsError,
    TlsSettings,
    load,
    variables,
)


class Limits(Block):
    depth: int = Field(3, description="levels")


class RegistrySettings(Block):
    refresh_s: float = Field(5.0, gt=0, description="seconds between refreshes")
    seeds: tuple[str, ...] = Field((), description="files to seed from")
    weights: dict[str, float] = Field(default_factory=dict, description="weights by name")
    limits: Limits = Limits()


class Settings(Block):
    server: ServerSettings = ServerSettings()
    tls: TlsSettings = TlsSettings()
    postgres: PostgresSettings
    policy: PolicySettings = PolicySettings()
    peers: PeerAddresses = Field(default_factory=dict)
    registry: RegistrySettings = RegistrySettings()
    mirror: PostgresSettings | None = None
    enabled: Annotated[bool, Env("SA01_ENABLE_probe")] = Field(False, description="whether it is on")


DSN = {"SA01_POSTGRES_DSN": "postgresql://shared"}


def read(**environ: str) -> Settings:
    return load(Settings, "registry", DSN | environ)


def test_a_contexts_own_variable_wins_over_the_shared_one() -> None:
    assert read().postgres.dsn.get_secret_value() == "postgresql://shared"
    own = read(SA01_REGISTRY_POSTGRES_DSN="postgresql://own")
    assert own.postgres.dsn.get_secret_value() == "postgresql://own"


def test_another_contexts_variable_is_not_read() -> None:
    assert read(SA01_SELECTOR_SERVER_BIND="0.0.0.0:1").server.bind == "127.0.0.1:0"


def test_the_contexts_own_block_needs_its_name_once() -> None:
    assert read(SA01_REGISTRY_REFRESH_S="7.5").registry.refresh_s == 7.5


def test_blocks_within_blocks_are_read() -> None:
    assert read(SA01_REGISTRY_LIMITS_DEPTH="9").registry.limits.depth == 9


def test_peers_are_addresses_by_context() -> None:
    peers = read(SA01_PEERS_SELECTOR="127.0.0.1:7001", SA01_PEERS_NEWEST="newest:7001", SA01_PEERS_CRITIC="").peers
    assert peers == {"selector": "127.0.0.1:7001", "newest": "newest:7001"}


def test_a_contexts_own_address_of_a_peer_wins() -> None:
    own = read(SA01_PEERS_SELECTOR="shared:1", SA01_REGISTRY_PEERS_SELECTOR="own:1", SA01_CRITIC_PEERS_CRITIC="its:1")
    assert own.peers == {"selector": "own:1"}


def test_a_wrong_address_of_a_peer_is_named_by_its_variable() -> None:
    with pytest.raises(SettingsError, match=r"SA01_REGISTRY_PEERS_SELECTOR or SA01_PEERS_SELECTOR: "):
        read(SA01_PEERS_SELECTOR="http://selector")


@pytest.mark.parametrize("raw", ["a.yaml, b.yaml", '["a.yaml", "b.yaml"]'])
def test_sequences_are_json_or_separated_by_commas(raw: str) -> None:
    assert read(SA01_REGISTRY_SEEDS=raw).registry.seeds == ("a.yaml", "b.yaml")


def test_mappings_are_json() -> None:
    assert read(SA01_REGISTRY_WEIGHTS='{"cost": 0.5}').registry.weights == {"cost": 0.5}


def test_a_field_may_have_a_name_that_users_know() -> None:
    assert read(SA01_OPA_URL="http://opa").policy.opa_url == "http://opa"
    assert read(SA01_ENABLE_probe="true").enabled
    assert read(SA01_OPA_URL="http://opa", SA01_POLICY_OPA_URL="http://own").policy.opa_url == "http://own"


def test_a_variable_set_to_nothing_is_not_set() -> None:
    assert read(SA01_SERVER_BIND="").server.bind == "127.0.0.1:0"


def test_an_optional_block_is_there_when_a_variable_of_it_is() -> None:
    assert read().mirror is None
    mirror = read(SA01_MIRROR_DSN="postgresql://mirror").mirror
    assert mirror is not None


def test_every_problem_is_told_at_once_by_variable_and_without_values() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Settings, "registry", {"SA01_SERVER_BIND": "hunter2", "SA01_TLS_CA_FILE": "/ca.pem"})
    text = str(caught.value)
    assert "SA01_REGISTRY_POSTGRES_DSN or SA01_POSTGRES_DSN" in text
    assert "SA01_SERVER_BIND" in text
    assert "SA01_TLS_*" in text
    assert "hunter2" not in text


def test_a_mapping_that_is_no_json_is_told_like_any_other_problem() -> None:
    with pytest.raises(SettingsError, match="SA01_REGISTRY_WEIGHTS"):
        read(SA01_REGISTRY_WEIGHTS="{broken")


def test_settings_are_frozen_and_accept_nothing_unknown() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read().server.bind = "a:1"
    with pytest.raises(ValidationError, match="not permitted"):
        ServerSettings(unknown=1)  # type: ignore[call-arg]


def test_secrets_are_not_printed() -> None:
    assert "postgresql://shared" not in repr(read())


def test_the_variables_of_a_context_can_be_listed() -> None:
    listed = {variable.names[1]: variable for variable in variables(Settings, "registry")}
    assert listed["SA01_POSTGRES_DSN"].secret
    assert listed["SA01_POSTGRES_DSN"].required
    assert listed["SA01_REGISTRY_REFRESH_S"].default == "5.0"
    assert listed["SA01_POLICY_OPA_URL"].names[2] == "SA01_OPA_URL"


BLOCKS = [
    kind for kind in vars(settings).values() if isinstance(kind, type) and issubclass(kind, Block) and kind is not Block
]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_setting_is_described(block: type[Block]) -> None:
    assert block.model_fields
    assert all(info.description for info in block.model_fields.values())


def test_what_may_hold_a_password_is_a_secret_and_nothing_else_is() -> None:
    secrets = {
        f"{block.__name__}.{name}"
        for block in BLOCKS
        for name, info in block.model_fields.items()
        if info.annotation in {SecretStr, SecretStr | None}
    }
    assert secrets == {"PostgresSettings.dsn", "ValkeySettings.url", "BusSettings.sasl_password"}


def test_tls_files_are_given_together() -> None:
    with pytest.raises(ValidationError, match="together"):
        TlsSettings(ca_file=Path("ca.pem"))
    assert TlsSettings(ca_file=Path("a"), cert_file=Path("b"), key_file=Path("c")).enabled


def test_a_pool_is_not_larger_at_least_than_at_most() -> None:
    with pytest.raises(ValidationError, match="pool_min"):
        PostgresSettings(dsn=SecretStr("x"), pool_min=9, pool_max=8)


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("SA01_BUS_LATE_S", "SA01_BUS_MAX_LAG_S"),
        ("SA01_PROBE_BUS_LATE_S", "SA01_PROBE_BUS_MAX_LAG_S"),
        ("SA01_EXECUTOR_SWEEP_S", "SA01_EXECUTOR_SWEEP_INTERVAL_S"),
    ],
)
def test_a_variable_that_has_another_name_now_is_refused_with_that_name(name: str, new: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is called {new} now$"):
        load(ServerSettings, "probe", {name: "3"})


def test_a_renamed_variable_that_is_set_to_nothing_is_no_problem() -> None:
    assert load(ServerSettings, "probe", {"SA01_BUS_LATE_S": ""}) == ServerSettings()
