"""A server that answers as told, and a client of it whose time a test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.python.edge import Edge, Machine, client_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_client import SomaClient


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as running:
        yield running


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
async def client(edge: Edge, machine: Machine) -> AsyncIterator[SomaClient]:
    async with client_of(edge, machine) as opened:
        yield opened
