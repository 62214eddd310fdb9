"""The rule that keeps a context's ports in one place."""

from __future__ import annotations

import pytest

from tools.port_rules import misplaced_ports

PORT = """
class Store(Protocol[T]):
    async def read(self) -> bytes:
        ...
"""
VALUE = """
class Schema(Protocol):
    def first_error(self) -> str:
        ...
"""


@pytest.mark.parametrize("name", ["svc_x/domain/model.py", "svc_x/domain/ports.py", "svc_x/app/store.py"])
def test_a_port_elsewhere_is_named(name: str) -> None:
    assert misplaced_ports(name, PORT) == ["Store"]


@pytest.mark.parametrize(
    "name", ["svc_x/app/ports.py", "svc_x/app/ports/store.py", "svc_x/adapters/postgres.py", "mesh/events/bus.py"]
)
def test_a_port_in_its_place_is_not(name: str) -> None:
    assert misplaced_ports(name, PORT) == []


def test_a_protocol_of_a_value_may_stand_with_the_rules() -> None:
    assert misplaced_ports("svc_x/domain/model.py", VALUE) == []
