"""Which settings of the bus go together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mesh.settings import Block, BusSettings, load
from mesh.settings.bus import LARGEST_RECORD

GOOD = {
    "SA01_BUS_KIND": "kafka",
    "SA01_BUS_BOOTSTRAP_SERVERS": "a:9092,b:9092",
    "SA01_BUS_SASL_USERNAME": "mesh",
    "SA01_BUS_SASL_PASSWORD": "secret",
}


class Settings(Block):
    bus: BusSettings = BusSettings()


def bus(**changes: str) -> BusSettings:
    environ = {**GOOD, **{f"SA01_BUS_{name.upper()}": value for name, value in changes.items()}}
    return load(Settings, "probe", environ).bus


def test_valkey_is_the_default() -> None:
    assert BusSettings().kind == "valkey"


def test_a_cluster_is_named_by_some_of_its_brokers() -> None:
    assert bus().bootstrap_servers == ("a:9092", "b:9092")


def test_production_keeps_three_copies_and_waits_for_two() -> None:
    assert (bus().replication_factor, bus().min_insync_replicas) == (3, 2)


def test_retention_may_differ_by_topic() -> None:
    assert bus(topic_retention_hours='{"audit.events": 144}').topic_retention_hours == {"audit.events": 144}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bootstrap_servers": ()}, "bootstrap_servers"),
        ({"sasl_username": ""}, "sasl_username"),
        ({"sasl_password": None}, "sasl_password"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "production"),
        ({"security_protocol": "PLAINTEXT"}, "production"),
        ({"cert_file": "/c.pem"}, "key_file"),
        ({"min_insync_replicas": 4}, "min_insync_replicas"),
        ({"max_message_bytes": LARGEST_RECORD - 1}, f"max_message_bytes must be at least {LARGEST_RECORD}"),
    ],
)
def test_what_does_not_go_together_is_told(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        BusSettings.model_validate({**bus().model_dump(), **changes})


def test_batches_may_be_as_small_as_the_largest_record() -> None:
    assert bus(max_message_bytes=str(LARGEST_RECORD)).max_message_bytes == LARGEST_RECORD


def test_plaintext_is_for_development() -> None:
    assert bus(security_protocol="PLAINTEXT", profile="dev").security_protocol == "PLAINTEXT"
