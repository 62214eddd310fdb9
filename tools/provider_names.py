"""Providers, their tools and models are named in the provider's folder: not by their host, nor in any rule."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_MANIFESTS = Path(__file__).resolve().parent.parent / "soma_providers"
_NAMED = re.compile(r"^(?:tool_id|provider|model): *\"?([^\"\s]+)", re.MULTILINE)
_NEUTRAL = re.compile(r"svc_executor/.*\.py$|svc_\w+/(?:domain|app|rpc|events|workflows)/.*\.py$")
_OF_THIS_MACHINE = "local"


def named_providers(name: str, text: str) -> list[str]:
    """Names of providers, tools and models in a module of the executor, or in another service outside of its adapters.

    `name` is the path of the module, relative to the repository.
    """
    return sorted(set(_names().findall(text))) if _NEUTRAL.match(name) else []


@cache
def _names() -> re.Pattern[str]:
    """What matches the names that the manifests of our providers give."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(_MANIFESTS.glob("*/*.yaml"))]
    found = {name for text in texts for name in _NAMED.findall(text)} - {_OF_THIS_MACHINE}
    words = "|".join(map(re.escape, sorted(found, key=len, reverse=True)))
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE)
