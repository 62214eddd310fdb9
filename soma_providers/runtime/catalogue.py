"""The provider adapters of this process: one module each, made on first use."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from soma_providers.port import Provider, ProviderContext
    from soma_providers.runtime.discovery import ProviderPackage

_log = logging.getLogger(__name__)


class ModuleCatalogue:
    """A `Catalogue` of `packages`, by the names of their adapters.

    Only names that a manifest brought are looked up, so that a capability cannot make this process import anything.
    """

    def __init__(
        self, context: ProviderContext, packages: Mapping[str, ProviderPackage], adapters: Iterable[str]
    ) -> None:
        self._context = context
        self._packages = packages
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
        package = self._packages.get(adapter)
        if package is None:
            _log.warning("there is no adapter %s for its manifest", adapter)
            return None
        try:
            made: Provider = import_module(package.module).create(self._context)
        except Exception:  # noqa: BLE001 - one adapter must not keep the others from working
            _log.exception("adapter %s cannot be made", adapter)
            return None
        return made
