"""docs/errors.md says what mesh/errors.py does."""

from __future__ import annotations

import re
from pathlib import Path

from mesh.errors import STATUS_MAPPINGS

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "errors.md"
_ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (\d+) \| (yes|no) \|$", re.MULTILINE)


def test_table_is_the_table_of_the_code() -> None:
    told = {
        reason: (code, int(status), retry == "yes") for reason, code, status, retry in _ROW.findall(PAGE.read_text())
    }
    assert told == {
        reason.value: (rule.grpc_code, rule.http_status, rule.retryable) for reason, rule in STATUS_MAPPINGS.items()
    }
