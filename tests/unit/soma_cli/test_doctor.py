"""The doctor accepts every Python that the package accepts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from soma_cli.doctor import check_machine

if TYPE_CHECKING:
    from soma_local.home import Home


@pytest.mark.parametrize(
    ("version", "good"), [((3, 10, 14), False), ((3, 11, 0), True), ((3, 12, 1), True), ((4, 0, 0), True)]
)
def test_python_3_11_or_later_is_wanted(
    home: Home, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], good: bool
) -> None:
    monkeypatch.setattr("soma_cli.doctor.sys", SimpleNamespace(version_info=version, executable="python"))
    [python] = [finding for finding in check_machine(home, 8010) if finding.part == "python"]
    assert python.found is good
    assert python.advice == ("" if good else "use Python 3.11 or later")
