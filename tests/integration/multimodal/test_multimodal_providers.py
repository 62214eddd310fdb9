"""Every manifest against its adapter: the contract holds, and the local ladders can be walked with one request."""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import protovalidate
import pytest
import yaml
from google.protobuf.json_format import MessageToDict
from PIL import Image

import svc_registry
from soma_providers.port import InputArtefact
from soma_providers.runtime import discovery, manifests
from soma_providers.runtime.catalogue import ModuleCatalogue
from svc_executor.adapters.peers.registry import capability_of
from tests.conformance import harness
from tests.conformance.diagrams import ALL
from tests.conformance.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from soma_local.locate import Browser
    from soma_providers.port import JsonValue, Manifest, Provider

MANIFESTS = {f"{manifest.tool_id}@{manifest.provider}": manifest for manifest in manifests.installed()}  # fmt: skip
LADDERS = {
    row["task_type"]: row["capability_ids"]
    for row in yaml.safe_load((Path(next(iter(svc_registry.__path__))) / "seeds.yaml").read_text())
}
LOCAL = sorted(name for name in MANIFESTS if name.endswith("@local"))
MINE = [
    "mermaid@local", "plantuml@local", "d2@local", "matplotlib_chart@local", "playwright_screenshot@local",
    "pillow_transform@local", "smollm2@local", "espeak@local",
]  # fmt: skip


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as server:
        assert isinstance(server, Site)
        yield server


@pytest.fixture(scope="module")
async def catalogue(
    chromium: Browser, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ModuleCatalogue]:
    async with harness.context(site.authority, home=tmp_path_factory.mktemp("home")) as context:
        made = ModuleCatalogue(context, discovery.installed(), {manifest.adapter for manifest in MANIFESTS.values()})
        yield made
        await made.aclose()


def provider_of(catalogue: ModuleCatalogue, name: str) -> Provider:
    provider = catalogue.provider(MANIFESTS[name].adapter)
    assert provider is not None
    return provider


def fields_of(manifest: Manifest) -> dict[str, object]:
    """The manifest as the registry will give it back."""
    fields: dict[str, object] = MessageToDict(capability_of(manifest), preserving_proto_field_name=True)
    return fields


def picture() -> InputArtefact:
    out = io.BytesIO()
    Image.new("RGB", (400, 300), "#336699").save(out, "PNG")
    return InputArtefact("asset-1", "image/png", "drawing.png", out.getvalue())


def sample(name: str, site: Site) -> Mapping[str, JsonValue]:
    """Ordinary parameters for a capability."""
    chart: JsonValue = {"kind": "bar", "series": [{"name": "n", "x": ["a", "b"], "y": [1, 2]}]}
    samples: dict[str, Mapping[str, JsonValue]] = {
        "matplotlib_chart@local": {"chart": chart},
        "playwright_screenshot@local": {"url": site.url},
        "pillow_transform@local": {"source": "drawing", "operations": [{"op": "thumbnail", "max_px": 64}]},
        "smollm2@local": {"points": ["a session expires after 30 minutes"]},
        "espeak@local": {"text": "Sessions expire after thirty minutes."},
    }
    return samples.get(name, {"diagram": ALL["architecture"]})


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_a_manifest_keeps_the_contract(name: str) -> None:
    capability = capability_of(MANIFESTS[name])
    protovalidate.validate(capability)
    schema = fields_of(MANIFESTS[name]).get("input_schema", {})
    jsonschema.Draft202012Validator.check_schema(schema)  # type: ignore[arg-type]
    assert capability.description
    assert capability.license
    assert capability.constraints.formats


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_a_manifest_has_its_adapter(name: str) -> None:
    module = import_module(f"soma_providers.{MANIFESTS[name].adapter}.adapter")
    assert callable(module.create)


@pytest.mark.parametrize("name", sorted(set(MANIFESTS) - set(LOCAL)))
def test_a_remote_capability_says_where_it_is_what_it_costs_and_what_it_may_see(name: str) -> None:
    capability = capability_of(MANIFESTS[name])
    assert capability.endpoint.startswith("https://")
    assert capability.credential_path
    assert capability.constraints.needs_egress
    assert capability.price_list.prices
    assert set(capability.data_classifications) in ({"public"}, {"public", "internal"})


@pytest.mark.parametrize("task_type", sorted(LADDERS))
def test_every_rung_of_a_seeded_ladder_has_a_manifest_that_serves_it(task_type: str) -> None:
    assert LADDERS[task_type]
    for name in LADDERS[task_type]:
        assert task_type in capability_of(MANIFESTS[name]).task_types


@pytest.mark.parametrize("name", LOCAL)
async def test_a_local_capability_is_healthy(catalogue: ModuleCatalogue, name: str) -> None:
    assert (await provider_of(catalogue, name).probe()).healthy


@pytest.mark.parametrize("name", MINE)
async def test_a_local_capability_does_what_its_manifest_says(
    catalogue: ModuleCatalogue, site: Site, name: str
) -> None:
    fields = fields_of(MANIFESTS[name])
    params = sample(name, site)
    jsonschema.validate(params, fields["input_schema"])  # type: ignore[arg-type]
    defaults: Mapping[str, JsonValue] = fields.get("default_parameters", {})  # type: ignore[assignment]
    inputs = {"drawing": picture()} if "source" in params else {}
    call = harness.invocation({**defaults, **params}, inputs=inputs)
    result = await provider_of(catalogue, name).invoke(call)
    main = result.artefacts[0]
    capability = capability_of(MANIFESTS[name])
    assert main.filename.rsplit(".", 1)[1] in capability.constraints.formats
    assert main.asset_type == capability.asset_defaults.asset_type
    assert result.model


@pytest.mark.parametrize("kind", sorted(ALL))
async def test_each_local_rung_for_diagrams_draws_the_same_request(catalogue: ModuleCatalogue, kind: str) -> None:
    rungs = [rung for rung in LADDERS["image_diagram"] if rung.endswith("@local")]
    assert rungs
    for name in rungs:
        params: Mapping[str, JsonValue] = {"diagram": ALL[kind]}
        jsonschema.validate(params, fields_of(MANIFESTS[name])["input_schema"])  # type: ignore[arg-type]
        result = await provider_of(catalogue, name).invoke(harness.invocation(params))
        assert [artefact.asset_type for artefact in result.artefacts] == ["diagram", "diagram", "text"]


async def test_source_of_one_language_is_no_request_for_another_engine() -> None:
    params = {"source": "A -> B", "language": "plantuml"}
    fits = [
        name
        for name in LADDERS["image_diagram"]
        if jsonschema.Draft202012Validator(fields_of(MANIFESTS[name])["input_schema"]).is_valid(params)  # type: ignore[arg-type]
    ]
    assert fits == ["plantuml@local"]
