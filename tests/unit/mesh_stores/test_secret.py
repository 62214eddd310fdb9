"""A secret stays in."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING

import pytest

from mesh.secrets import Secret

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
