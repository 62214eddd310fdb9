"""How tests are spread over processes: by file, but those that share a costly fixture stay together."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/e2e/", "tests/integration/mesh/events/kafka/")
"""Folders whose tests share a whole mesh, or a broker."""


class ByFixture(LoadScopeScheduling):
    """Hands out files in their order, and folders of `TOGETHER` as one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)
