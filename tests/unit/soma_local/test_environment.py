"""Whose settings a local mesh runs with: the operator's, but for what `soma up` must settle itself."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from mesh.settings import load
from mesh.testing import FakeClock
from soma_local import environment
from soma_local.engines import OpenBaoEngine, PostgresEngine, TemporalEngine, ValkeyEngine
from soma_local.environment import Engines, ServicePorts
from soma_local.pki import Pki
from svc_executor.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from soma_local.home import Home

    Given = Callable[[Mapping[str, str]], dict[str, str]]

CONTEXTS = ["executor", "provenance"]


@pytest.fixture
def given(home: Home) -> Given:
    """What the executor's process gets where an operator's environment says this."""
    pki = Pki(home.pki, FakeClock())
    pki.ensure(CONTEXTS)
    engines = Engines(PostgresEngine(home), ValkeyEngine(home), TemporalEngine(home), OpenBaoEngine(home))
    ports = ServicePorts.allocate(home, CONTEXTS, additional=[environment.XDS])

    def process(environ: Mapping[str, str]) -> dict[str, str]:
        values = environment.shared_variables(home, engines, pki, ports, 8010, environ=environ)
        environment.write_env_file(home, values)
        return environment.process_environ(values, ports, ["executor"], environ=environ)

    return process


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SA01_EXECUTOR_EGRESS_LOOPBACK", "127.0.0.1:11434"),
        ("SA01_BLOBS_URL", "s3://bucket/prefix"),
        ("SA01_PROVENANCE_BLOBS_URL", "s3://locked/prefix"),
        ("SA01_PROFILE", "test"),
        ("SA01_MULTIMODAL_QUALITY_GATES_ENABLED", "false"),
        ("SA01_TELEMETRY_LOG_LEVEL", "DEBUG"),
        ("SA01_EXECUTOR_POSTGRES_POOL_MAX", "3"),
    ],
)
def test_what_the_operator_set_holds(given: Given, name: str, value: str) -> None:
    assert given({name: value})[name] == value


def test_what_the_operator_set_to_nothing_is_chosen(given: Given) -> None:
    assert given({"SA01_EXECUTOR_EGRESS_LOOPBACK": "", "SA01_BLOBS_URL": ""}) == given({})


@pytest.mark.parametrize(
    "name",
    [
        "SA01_VALKEY_URL",
        "SA01_TEMPORAL_ADDRESS",
        "SA01_VAULT_ADDRESS",
        "SA01_EXECUTOR_POSTGRES_DSN",
        "SA01_PEERS_PROVENANCE",
        "SA01_BUS_KIND",
        "SA01_TELEMETRY_METRICS_BIND",
        "SA01_GATEWAY_EDGE_BIND",
    ],
)
def test_where_the_engines_and_ports_are_is_not_for_the_operator_to_say(given: Given, name: str) -> None:
    assert given({name: "elsewhere"})[name] == given({})[name]


@pytest.mark.parametrize(
    "name", ["SA01_EXECUTOR_VALKEY_URL", "SA01_EXECUTOR_TEMPORAL_ADDRESS", "SA01_EXECUTOR_PEERS_PROVENANCE"]
)
def test_neither_under_the_name_that_one_context_would_read_first(given: Given, name: str) -> None:
    assert name not in given({name: "elsewhere"})


def test_every_setting_that_is_given_is_chosen_or_owned(given: Given, home: Home) -> None:
    ports = ServicePorts.allocate(home, CONTEXTS, additional=[environment.XDS])
    names = set(given({})) - {"SA01_CHOSEN_BY_SOMA"}
    told = given(dict.fromkeys(names, "operator"))
    chosen = {name for name in names if told[name] == "operator"}
    assert {name for name in names if environment._is_reserved(name, ports)} == names - chosen


def test_choices_of_an_earlier_run_in_a_shell_that_sourced_them_are_not_the_operators(given: Given, home: Home) -> None:
    given({})
    lines = (home.run / "services.env").read_text().splitlines()
    sourced = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    elsewhere = sourced["SA01_BLOBS_URL"].replace("blobs", "other")
    earlier = {name: value.replace(sourced["SA01_BLOBS_URL"], elsewhere) for name, value in sourced.items()}
    assert earlier["SA01_BLOBS_URL"] == elsewhere
    assert given(earlier)["SA01_BLOBS_URL"] == sourced["SA01_BLOBS_URL"]
    assert given({**earlier, "SA01_BLOBS_URL": "s3://mine/x"})["SA01_BLOBS_URL"] == "s3://mine/x"


def test_what_holds_is_written_down_for_shells(given: Given, home: Home) -> None:
    given({"SA01_PROFILE": "test", "SA01_BLOBS_URL": "s3://mine/x"})
    written = (home.run / "services.env").read_text()
    assert "export SA01_PROFILE=test\n" in written
    assert "export SA01_BLOBS_URL=s3://mine/x\n" in written


def test_the_executor_reads_what_the_operator_allowed(given: Given) -> None:
    settings = load(Settings, "executor", given({"SA01_EXECUTOR_EGRESS_LOOPBACK": "127.0.0.1:11434"}))
    assert settings.executor.egress_loopback == ("127.0.0.1:11434",)


def test_replicas_share_everything_but_their_ports_and_the_revocations_that_they_heard(home: Home) -> None:
    pki = Pki(home.pki, FakeClock())
    pki.ensure(CONTEXTS)
    engines = Engines(PostgresEngine(home), ValkeyEngine(home), TemporalEngine(home), OpenBaoEngine(home))
    ports = ServicePorts.allocate(home, CONTEXTS, 3, [environment.XDS])
    values = environment.shared_variables(home, engines, pki, ports, 8010, environ={})
    first, _, third = (
        environment.process_environ(values, ports, ["executor"], replica=replica, environ={}) for replica in range(3)
    )
    assert {name for name in third if third[name] != first.get(name)} == {
        "SA01_EXECUTOR_SERVER_BIND",
        "SA01_GATEWAY_XDS_BIND",
        "SA01_TELEMETRY_METRICS_BIND",
        "SA01_IDENTITY_REVOCATIONS_DIR",
    }
    addresses = [f"127.0.0.1:{port}" for port in ports.grpc["executor"]]
    assert first["SA01_PEERS_EXECUTOR"] == third["SA01_PEERS_EXECUTOR"] == f"ipv4:{','.join(addresses)}"
    assert third["SA01_EXECUTOR_SERVER_BIND"] == addresses[2]
