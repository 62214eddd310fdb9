"""The library of documents as a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

import soma_documents
from mesh.clock import SystemClock
from soma_documents import DocumentSpec, InputFile, PdfError, SvgInspection
from soma_providers.composer.adapter import compose, create
from soma_providers.media.documents import input_files
from soma_providers.port import Failure, FailureOrigin, Invocation, Provider, ProviderContext, ProviderError
from soma_providers.runtime import manifests
from tests.conformance import harness
from tests.unit.soma_documents.samples import PNG, SVG, input_file, inputs, simple, small

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from soma_documents import Inputs
    from soma_providers.port import EgressRequest, EgressResponse


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


def call(params: Mapping[str, object], given: Inputs, timeout_s: float = 30) -> Invocation:
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
        inputs=harness.artefacts(given),
    )


async def test_outputs_come_in_the_order_asked_for(composer: Provider) -> None:
    result = await composer.invoke(call(small() | {"outputs": ["bundle", "pdf", "html", "markdown"]}, inputs()))
    assert [(made.filename, made.media_type, made.asset_type) for made in result.artefacts] == [
        ("door-requirements.zip", "application/zip", "bundle"),
        ("door-requirements.pdf", "application/pdf", "document"),
        ("door-requirements.html", "text/html", "document"),
        ("door-requirements.md", "text/markdown", "document"),
    ]


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


async def test_an_svg_that_would_run_code_is_told_with_its_reason(composer: Provider) -> None:
    evil = SVG.replace(b"</svg>", b"<script>alert(1)</script></svg>")
    params = simple(figures=[{"id": "f", "asset": "x"}])
    with pytest.raises(ProviderError) as caught:
        await composer.invoke(call(params, {"x": input_file(evil, "image/svg+xml")}))
    assert caught.value.pointer == "/sections/0/figures/0/asset"
    assert "the source draws an element <script>" in caught.value.message


def test_each_svg_is_given_with_its_size_or_why_it_may_not_be_shown() -> None:
    bomb = b'<!DOCTYPE svg [<!ENTITY a "aa">]>' + SVG
    given = {"x": input_file(SVG, "image/svg+xml"), "y": input_file(bomb, "image/svg+xml")}
    files = input_files(harness.artefacts(given | {"z": input_file(PNG, "image/png"), "t": "A text."}))
    assert [getattr(file, "svg", None) for file in files.values()] == [
        SvgInspection(40, 20),
        SvgInspection(refusal="the source draws a document type, which is not allowed"),
        None,
        None,
    ]
    assert files["t"] == "A text."


def test_the_document_type_that_plotting_programs_write_is_no_obstacle() -> None:
    typed = b'<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://w3.org/svg11.dtd">' + SVG
    files = input_files(harness.artefacts({"x": input_file(typed, "image/svg+xml")}))
    assert files == {"x": InputFile(typed, "image/svg+xml", "a-1", svg=SvgInspection(40, 20))}


def test_a_pdf_that_typst_refuses_is_our_fault_and_its_words_are_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PdfError("unknown variable: x")

    monkeypatch.setattr(soma_documents, "write", refuse)
    with pytest.raises(ProviderError) as caught:
        compose({}, {})
    assert (caught.value.reason, caught.value.origin) == (Failure.UNAVAILABLE, FailureOrigin.PLATFORM)
    assert "unknown variable" not in caught.value.message
    assert caught.value.__notes__ == ["Typst refused it: unknown variable: x"]


async def test_numbers_may_come_as_doubles_as_protobuf_sends_them(composer: Provider) -> None:
    params = simple() | {"embed_limit_bytes": 1000.0, "outputs": ["markdown"]}
    assert (await composer.invoke(call(params, {}))).artefacts


async def test_a_deadline_is_kept(composer: Provider) -> None:
    with pytest.raises(ProviderError) as caught:
        await composer.invoke(call(small(), inputs(), timeout_s=0.0))
    assert caught.value.reason is Failure.TIMEOUT


async def test_it_is_healthy_and_may_be_closed_twice(composer: Provider) -> None:
    assert (await composer.probe()).healthy
    await composer.aclose()


def test_the_manifest_describes_exactly_the_parameters() -> None:
    (manifest,) = [each for each in manifests.installed() if each.tool_id == "document_composer"]
    assert (manifest.capability_id, manifest.adapter) == ("document_composer@local", "composer")
    schema = manifest.fields["input_schema"]
    assert isinstance(schema, dict)
    assert set(schema["properties"]) == set(DocumentSpec.model_fields)
