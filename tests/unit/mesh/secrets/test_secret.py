"""A secret stays in."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING

import httpx
import pytest

from mesh.errors import SomaError
from mesh.secrets import Secret
from mesh.secrets.vault import _require_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("text", [str, repr, "{}".format, "{:>20}".format, "%s".__mod__, ascii])
def test_no_text_of_a_secret_shows_it(text: Callable[[object], str]) -> None:
    assert text(Secret("hunter2")) == "Secret(***)"


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, bytes, list, vars])
def test_a_secret_cannot_leave_the_process(leak: Callable[[object], object]) -> None:
    with pytest.raises(TypeError):
        leak(Secret("hunter2"))


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_a_secret_reveals_itself_when_asked() -> None:
    assert Secret(b"key").reveal() == b"key"


def test_a_path_that_the_client_rewrites_is_not_sent() -> None:
    client = httpx.AsyncClient(base_url="https://vault.test/v1/")
    _require_unchanged(client.build_request("GET", "secret/data/tenants/mine"), "secret/data/tenants/mine")
    rewritten = "secret/data/tenants/mine/../victim"
    with pytest.raises(SomaError, match="not a valid path"):
        _require_unchanged(client.build_request("GET", rewritten), rewritten)
