"""What planned calls consume at most, by the providers of this process."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from soma_providers.port import EstimatingProvider, default_estimate, larger_usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from soma_providers.port import Catalogue, EstimateRequest, Manifest, Provider, Usage

_MODALITY = "MODALITY_"
_log = logging.getLogger(__name__)


class CatalogueEstimates:
    """`Estimates` of a catalogue's providers, which serve the modalities that their manifests name.

    A tenant's own capability may use a provider for another modality: its estimate is asked for once it is chosen.
    """

    def __init__(self, catalogue: Catalogue, manifests: Iterable[Manifest]) -> None:
        self._catalogue = catalogue
        self._manifests: dict[str, list[Manifest]] = {}
        for manifest in manifests:
            for modality in _modalities(manifest):
                self._manifests.setdefault(modality, []).append(manifest)

    def for_modality(self, modality: str, request: EstimateRequest) -> Usage:
        """See the port; the default parameters of each manifest count."""
        found = [
            self.for_adapter(manifest.adapter, _call_of(manifest, request))
            for manifest in self._manifests.get(modality, ())
        ]
        return reduce(larger_usage, found) if found else default_estimate(request)

    def for_adapter(self, adapter: str, request: EstimateRequest) -> Usage:
        """See the port."""
        provider = self._catalogue.provider(adapter)
        return default_estimate(request) if provider is None else estimate_of(provider, adapter, request)


def estimate_of(provider: Provider, adapter: str, request: EstimateRequest) -> Usage:
    """What a call of a provider consumes at most, whether or not it can say."""
    if not isinstance(provider, EstimatingProvider):
        return default_estimate(request)
    try:
        return provider.estimate(request)
    except Exception:  # noqa: BLE001 - an adapter may raise anything; a step must not fail of it
        _log.exception("adapter %s gave no estimate", adapter)
        return default_estimate(request)


def _call_of(manifest: Manifest, request: EstimateRequest) -> EstimateRequest:
    """The call of a manifest's capability: its defaults, and over them what is asked for."""
    defaults = manifest.fields.get("default_parameters")
    params = {**(defaults if isinstance(defaults, Mapping) else {}), **request.params}
    return replace(request, model=str(manifest.fields.get("model") or ""), params=params)


def _modalities(manifest: Manifest) -> list[str]:
    """The modalities of a manifest by the names that steps have."""
    named = manifest.fields.get("modalities")
    return [str(each).removeprefix(_MODALITY).lower() for each in named] if isinstance(named, list) else []
