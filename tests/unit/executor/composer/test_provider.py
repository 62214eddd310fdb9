"""The composer as a provider."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from svc_executor.adapters import manifests
from svc_executor.adapters.providers.composer import bundle, create
from svc_executor.adapters.providers.composer.model import DocumentSpec
from svc_executor.domain.provider import Failure, Invocation, Provider, ProviderContext, ProviderError
from tests.conformance import harness
from tests.unit.executor.composer.samples import inputs, simple, small

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from svc_executor.domain.egress import EgressRequest, EgressResponse
    from svc_executor.domain.provider import InputArtefact

MANIFESTS = Path(manifests.__file__).parents[1] / "manifests"


class NoEgress:
    """Refuses to be used: composing needs no network."""

    async def admit(self, url: str) -> None:
        raise AssertionError(url)

    def is_listed(self, host: str) -> bool:
        raise AssertionError(host)

    async def fetch(self, request: EgressRequest) -> EgressResponse:
        raise AssertionError(request.url)


@pytest.fixture
async def composer(tmp_path: Path) -> AsyncIterator[Provider]:
    async with harness.processes() as processes:
        provider = create(ProviderContext(SystemClock(), NoEgress(), tmp_path, processes))
        yield provider
        await provider.aclose()


def call(params: Mapping[str, object], given: Mapping[str, InputArtefact | str], timeout_s: float = 30) -> Invocation:
    return Invocation(
        tool_id="document_composer",
        provider="local",
        model="",
        step_type="compose_document",
        task_type="document",
        params=params,  # type: ignore[arg-type]
        idempotency_key="k",
        timeout_s=timeout_s,
        tenant_id="t",
        inputs=given,
    )


async def test_outputs_come_in_the_order_asked_for(composer: Provider) -> None:
    result = await composer.invoke(call(small() | {"outputs": ["bundle", "pdf", "html", "markdown"]}, inputs()))
    assert [(made.filename, made.media_type, made.asset_type) for made in result.artefacts] == [
        ("door-requirements.zip", "application/zip", "bundle"),
        ("door-requirements.pdf", "application/pdf", "document"),
        ("door-requirements.html", "text/html", "document"),
        ("door-requirements.md", "text/markdown", "document"),
    ]


async def test_the_bundle_holds_the_same_documents_and_verifies(composer: Provider) -> None:
    result = await composer.invoke(call(small(), inputs()))
    made = {artefact.filename.rpartition(".")[2]: artefact.content for artefact in result.artefacts}
    assert bundle.verify_bundle(made["zip"]) == []


async def test_equal_input_gives_equal_bytes(composer: Provider) -> None:
    first, second = [await composer.invoke(call(small(), inputs())) for _ in range(2)]
    assert [made.content for made in first.artefacts] == [made.content for made in second.artefacts]


async def test_the_result_says_what_is_in_the_document(composer: Provider) -> None:
    result = await composer.invoke(call(small() | {"outputs": ["markdown"]}, inputs()))
    assert (result.metadata["sections"], result.metadata["figures"]) == (14, 2)
    assert "REQ-2 has no test" in result.metadata["gaps"]  # type: ignore[operator]
    assert result.model.startswith("typst ")


async def test_faults_are_told_together_and_the_first_is_pointed_at(composer: Provider) -> None:
    with pytest.raises(ProviderError) as caught:
        await composer.invoke(call(small(), {}))
    assert caught.value.reason is Failure.INVALID_INPUT
    assert caught.value.pointer == "/sections/1/figures/0/asset"
    assert "'plan' is missing" in caught.value.message
    assert "'sound' is missing" in caught.value.message


async def test_numbers_may_come_as_doubles_as_protobuf_sends_them(composer: Provider) -> None:
    params = simple() | {"embed_limit_bytes": 1000.0, "outputs": ["markdown"]}
    assert (await composer.invoke(call(params, {}))).artefacts


async def test_markdown_holds_its_pictures_where_asked_and_never_in_the_bundle(composer: Provider) -> None:
    params = small() | {"outputs": ["markdown", "bundle"], "markdown_figures": "embedded"}
    document, packed = (await composer.invoke(call(params, inputs()))).artefacts
    assert b"](data:image/png;base64," in document.content
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert b"](data:" not in archive.read("document.md")
    assert bundle.verify_bundle(packed.content) == []


async def test_a_deadline_is_kept(composer: Provider) -> None:
    with pytest.raises(ProviderError) as caught:
        await composer.invoke(call(small(), inputs(), timeout_s=0.0))
    assert caught.value.reason is Failure.TIMEOUT


async def test_it_is_healthy_and_may_be_closed_twice(composer: Provider) -> None:
    assert (await composer.probe()).healthy
    await composer.aclose()


def test_the_manifest_describes_exactly_the_parameters() -> None:
    (manifest,) = [each for each in manifests.load(MANIFESTS) if each.tool_id == "document_composer"]
    assert (manifest.capability_id, manifest.adapter) == ("document_composer@local", "composer")
    schema = manifest.fields["input_schema"]
    assert isinstance(schema, dict)
    assert set(schema["properties"]) == set(DocumentSpec.model_fields)
