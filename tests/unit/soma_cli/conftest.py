from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from soma_local.home import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made
