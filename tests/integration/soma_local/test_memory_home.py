"""Where throw-away engines keep their data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma_local.testing import engines

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(engines, "_MIN_FREE_BYTES", 0)
    (tmp_path / "soma-test-left" / "data").mkdir(parents=True)
    (tmp_path / "soma-other").mkdir()
    async with engines._temporary_home(tmp_path) as used:
        assert engines._memory_folder() == tmp_path
        assert names(tmp_path) == {used.name, "soma-other"}
    assert names(tmp_path) == {"soma-other"}


def test_a_machine_with_little_memory_uses_its_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(engines, "_MIN_FREE_BYTES", 1 << 60)
    assert engines._memory_folder() is None
    monkeypatch.setattr(engines, "_SHARED_MEMORY", tmp_path / "absent")
    assert engines._memory_folder() is None
