"""Telling the registry what this process can do, and how it fares."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from svc_executor.domain.peers import HealthReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from svc_executor.domain.peers import Manifest, Registry
    from svc_executor.domain.ports import Catalogue

_log = logging.getLogger(__name__)


class RegisterManifests:
    """Registers the capabilities of this process."""

    def __init__(self, registry: Registry, manifests: Sequence[Manifest]) -> None:
        self._registry = registry
        self._waiting = list(manifests)

    async def __call__(self) -> int:
        """Register what is not registered yet, and tell how many are left to try again.

        One that the registry refuses for good is left out with a warning.
        """
        left: list[Manifest] = []
        for manifest in self._waiting:
            try:
                await self._registry.register(manifest)
            except SomaError as error:
                if error.rule.retryable:
                    left.append(manifest)
                else:
                    _log.warning("%s was not registered: %s", manifest.capability_id, error.message)
        self._waiting = left
        return len(left)


class ProbeProviders:
    """Asks every provider how it fares and reports it. `is_open` tells whether a capability's circuit is open.

    A probe speaks for each capability of its adapter: those of the manifests, and those that others registered.
    """

    def __init__(
        self,
        registry: Registry,
        catalogue: Catalogue,
        manifests: Sequence[Manifest],
        is_open: Callable[[str], bool],
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._manifests = tuple(manifests)
        self._is_open = is_open

    @property
    def adapters(self) -> Sequence[str]:
        """The adapters to probe."""
        return tuple(dict.fromkeys(manifest.adapter for manifest in self._manifests))

    async def __call__(self, adapter: str) -> None:
        """Probe one adapter and report for each of its capabilities."""
        provider = self._catalogue.provider(adapter)
        result = await provider.probe() if provider is not None else None
        for capability_id in await self._served_by(adapter):
            opened = self._is_open(capability_id)
            healthy = result is not None and result.healthy
            reason = "there is no adapter for it here" if result is None else result.detail
            await self._report(HealthReport(capability_id, healthy and not opened, reason, opened))

    async def _served_by(self, adapter: str) -> Sequence[str]:
        own = [manifest.capability_id for manifest in self._manifests if manifest.adapter == adapter]
        try:
            return tuple(dict.fromkeys([*own, *await self._registry.served_by(adapter)]))
        except SomaError as error:
            _log.warning("the registry did not say what %s serves: %s", adapter, error.message)
            return own

    async def _report(self, report: HealthReport) -> None:
        try:
            await self._registry.report_health(report)
        except SomaError as error:
            _log.warning("health of %s could not be reported: %s", report.capability_id, error.message)
