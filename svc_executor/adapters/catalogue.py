"""The provider adapters of this process: one module each, made on first use."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from svc_executor.adapters import providers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from svc_executor.domain.provider import Provider, ProviderContext

_log = logging.getLogger(__name__)


class ModuleCatalogue:
    """A `Catalogue` of the modules in `adapters.providers`: the adapter's name is the module's.

    Only names that a manifest brought are looked up, so that a capability cannot make this process import anything.
    """

    def __init__(self, context: ProviderContext, adapters: Iterable[str]) -> None:
        self._context = context
        self._known = frozenset(adapters)
        self._made: dict[str, Provider | None] = {}

    def provider(self, adapter: str) -> Provider | None:
        """See the port."""
        if adapter not in self._known:
            return None
        if adapter not in self._made:
            self._made[adapter] = self._make(adapter)
        return self._made[adapter]

    async def aclose(self) -> None:
        """Let every adapter go of what it holds."""
        for adapter, provider in self._made.items():
            if provider is None:
                continue
            try:
                await provider.aclose()
            except Exception:  # noqa: BLE001 - one adapter must not keep the others from closing
                _log.exception("adapter %s did not close", adapter)
        self._made.clear()

    def _make(self, adapter: str) -> Provider | None:
        name = f"{providers.__name__}.{adapter}"
        if find_spec(name) is None:
            _log.warning("there is no adapter %s for its manifest", adapter)
            return None
        made: Provider = import_module(name).create(self._context)
        return made
