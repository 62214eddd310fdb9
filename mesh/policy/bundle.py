"""The policy's text and its name."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mesh.policy.evaluator import PolicyUnavailable

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundle:
    """The text of all modules by file name, in the order of their names, and the digest of it all."""

    modules: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, folder: Traversable) -> Bundle:
        """Every `.rego` file of a folder but its tests (`*_test.rego`); PolicyUnavailable when there is none."""
        names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".rego"))
        modules = tuple(
            (name, (folder / name).read_text(encoding="utf-8")) for name in names if not name.endswith("_test.rego")
        )
        if not modules:
            _log.error("no policy found in %s", folder)
            raise PolicyUnavailable
        return cls(modules)

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over names and texts."""
        digest = hashlib.sha256()
        for part in (part.encode() for module in self.modules for part in module):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.hexdigest()
