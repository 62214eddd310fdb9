"""The policy's text, the data that its rules read, and the name of both."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mesh.policy.evaluator import PolicyUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

DATA = "data.json"
"""Name of the data beside the modules, as OPA's bundles have it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundle:
    """The text of all modules by file name, in the order of their names, the grants, and the digest of it all."""

    modules: tuple[tuple[str, str], ...]
    data: str = "{}"
    """JSON that rules read below `data`: `soma.grants` has the granted roles by action."""

    @classmethod
    def read(cls, folder: Traversable, grants: Mapping[str, Sequence[str]] | None = None) -> Bundle:
        """Every `.rego` file of a folder but its tests (`*_test.rego`); PolicyUnavailable when there is none."""
        names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".rego"))
        modules = tuple(
            (name, (folder / name).read_text(encoding="utf-8")) for name in names if not name.endswith("_test.rego")
        )
        if not modules:
            _log.error("no policy found in %s", folder)
            raise PolicyUnavailable
        ordered = {action: sorted(roles) for action, roles in sorted((grants or {}).items())}
        return cls(modules, json.dumps({"soma": {"grants": ordered}}, indent=2))

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over names and texts, those of the data included."""
        digest = hashlib.sha256()
        for part in (part.encode() for module in (*self.modules, (DATA, self.data)) for part in module):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.hexdigest()
