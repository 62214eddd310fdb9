"""Mermaid, PlantUML and D2, each run for real: the same diagram from each, and every label as it was given."""

from __future__ import annotations

import base64
import re
from importlib import import_module
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from soma_providers.media.diagram.svg import inspect
from soma_providers.port import Failure, ProviderError
from tests.conformance import harness
from tests.conformance.diagrams import ALL, ARCHITECTURE, CLASSES, LABELS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from soma_providers.port import JsonValue, Provider

ENGINES = ("mermaid", "plantuml", "d2")
GOOD = {
    "mermaid": "flowchart LR; Browser --> Gateway",
    "plantuml": "@startuml\nBrowser -> Gateway : call\n@enduml",
    "d2": "Browser -> Gateway",
}
BAD = {
    "mermaid": "flowchart LR\n A -->",
    "plantuml": "@startuml\nclass A {\n+x\nfoo bar\n}\nA --> \n@enduml",
    "d2": "a -> -> {",
}


@pytest.fixture(scope="module", params=ENGINES)
async def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Provider]:
    name = str(request.param)
    async with harness.context(home=tmp_path_factory.mktemp(name)) as context:
        provider: Provider = import_module(f"soma_providers.{name}.adapter").create(context)
        yield provider
        await provider.aclose()


def name_of(engine: Provider) -> str:
    return type(engine).__module__.split(".")[1]


def text_of(svg: bytes) -> str:
    """All that a picture says, without blanks, since engines break lines where they like."""
    root = ET.fromstring(svg)
    said = [
        "".join(element.itertext()) for element in root.iter() if element.tag.endswith(("}text", "}title", "}tspan"))
    ]
    return re.sub(r"[\s\u200b]+", "", "".join(said))


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("kind", sorted(ALL))
async def test_each_kind_is_drawn_with_every_label(engine: Provider, kind: str) -> None:
    result = await engine.invoke(harness.invocation({"diagram": ALL[kind]}))
    png, svg, source = result.artefacts
    assert (png.media_type, svg.media_type, source.media_type) == ("image/png", "image/svg+xml", "text/plain")
    said = text_of(svg.content)
    visible = [label for label in LABELS[kind] if not (name_of(engine) == "d2" and label.startswith("verify"))]
    assert [label for label in visible if squeezed(label) not in said] == []


async def test_the_png_has_two_pixels_for_each_unit_unless_told_otherwise(engine: Provider) -> None:
    sharp = await engine.invoke(harness.invocation({"diagram": CLASSES}))
    small = await engine.invoke(harness.invocation({"diagram": CLASSES, "scale": 0.5}))
    natural = float(str(sharp.artefacts[1].metadata["width_px"]))
    assert harness.opened(sharp).width == pytest.approx(2 * natural, abs=4)
    assert harness.opened(small).width == pytest.approx(0.5 * natural, abs=4)
    assert sharp.artefacts[0].metadata["width_px"] == harness.opened(sharp).width


async def test_too_low_a_resolution_is_mended_on_rework(engine: Provider) -> None:
    remark = harness.feedback("RESOLUTION_TOO_LOW", min_width_px=1500)
    result = await engine.invoke(harness.invocation({"diagram": CLASSES, "scale": 0.3}, feedback=remark))
    assert harness.opened(result).width >= 1498


async def test_low_contrast_is_mended_by_black_on_white(engine: Provider) -> None:
    result = await engine.invoke(harness.invocation({"diagram": CLASSES}, feedback=harness.feedback("LOW_CONTRAST")))
    assert result.metadata["theme"] == "neutral"


async def test_a_step_bounds_the_size_by_its_constraints(engine: Provider) -> None:
    bounds = {"max_resolution": "400x400"}
    result = await engine.invoke(harness.invocation({"diagram": ARCHITECTURE}, constraints=bounds))
    assert max(harness.opened(result).size) <= 401


async def test_source_in_its_language_is_drawn(engine: Provider) -> None:
    name = name_of(engine)
    result = await engine.invoke(harness.invocation({"source": GOOD[name], "language": name}))
    assert "Gateway" in text_of(result.artefacts[1].content)


async def test_equal_input_gives_equal_bytes(engine: Provider) -> None:
    call = harness.invocation({"diagram": CLASSES})
    first, second = await engine.invoke(call), await engine.invoke(call)
    assert [one.content for one in first.artefacts] == [two.content for two in second.artefacts]


async def test_a_mistake_in_the_source_is_shown_to_its_writer(engine: Provider) -> None:
    name = name_of(engine)
    error = await harness.refusal(engine, harness.invocation({"source": BAD[name], "language": name}))
    assert (error.reason, error.pointer) == (Failure.INVALID_INPUT, "/source")
    assert "/" not in error.message.removeprefix("params/source")


async def test_another_language_is_refused(engine: Provider) -> None:
    assert await harness.pointer_of_refusal(engine, {"source": "digraph {}", "language": "dot"}) == "/language"


async def test_nothing_to_draw_is_refused(engine: Provider) -> None:
    assert await harness.pointer_of_refusal(engine, {}) == "/diagram"


async def test_it_is_healthy_where_it_is_installed(engine: Provider) -> None:
    assert (await engine.probe()).healthy


async def test_an_engine_that_takes_too_long_is_reported_and_works_again(engine: Provider) -> None:
    error = await harness.refusal(engine, harness.invocation({"diagram": ARCHITECTURE}, timeout_s=0.0001))
    assert error.reason is Failure.TIMEOUT
    assert (await engine.invoke(harness.invocation({"diagram": CLASSES}))).artefacts


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    label=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=14),
    message=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=14),
)
async def test_any_ascii_label_comes_out_as_it_went_in(engine: Provider, label: str, message: str) -> None:
    diagram: JsonValue = {
        "kind": "flow",
        "nodes": [{"id": "a", "label": label}, {"id": "b", "label": "B"}],
        "edges": [{"from": "a", "to": "b", "label": message}],
    }
    result = await engine.invoke(harness.invocation({"diagram": diagram}))
    said = text_of(result.artefacts[1].content)
    assert label in said
    assert message in said


@pytest.mark.parametrize(
    "source",
    [
        "@startuml\nA -> B\n@enduml\n@startuml\nC -> D\n@enduml",
        "@startuml\nA -> B\n@endmindmap",
        "@startuml\n!include /etc/passwd\nA -> B\n@enduml",
        "@startuml\n!while 1==1\n!endwhile\nA -> B\n@enduml",
        "@startuml\nA -> B : [[javascript:alert(1) x]]\n@enduml",
    ],
)
async def test_plantuml_draws_one_harmless_diagram_or_none(
    source: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with harness.context(home=tmp_path_factory.mktemp("plantuml")) as context:
        provider: Provider = import_module("soma_providers.plantuml.adapter").create(context)
        assert await harness.pointer_of_refusal(provider, {"source": source, "language": "plantuml"}) == "/source"
        drawn = await provider.invoke(harness.invocation({"diagram": CLASSES}))
        assert "Admin" in text_of(drawn.artefacts[1].content)
        await provider.aclose()


@pytest.mark.parametrize(
    "source",
    [
        "x: @secrets", "...@/etc/hosts", "x: [@../../f]", "a: {icon: FILE}", "x.icon: FILE", "x.icon \t: FILE",
        "x.ICON: FILE", "x.ic\\on: FILE", "x.ic\\\non: FILE", "x: {\n# y\\\nicon: FILE\n}", "x\n*.icon: FILE",
        "x: {\n# y\\\nic\\\non: FILE\n}", "classes: {c: {icon: FILE}}\nx.class: c", "a -> b\n(a -> b)[0].icon: FILE",
        "vars: {p: FILE}\nx: {shape: image; icon: ${p}}", "vars: {p: {icon: FILE}}\nx: {...${p}}",
    ],
)  # fmt: skip
async def test_d2_reads_no_files(source: str, tmp_path: Path) -> None:
    file = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "#123456").save(file)
    async with harness.context() as context:
        provider: Provider = import_module("soma_providers.d2.adapter").create(context)
        params: dict[str, JsonValue] = {"source": source.replace("FILE", str(file)), "language": "d2"}
        assert await harness.pointer_of_refusal(provider, params) == "/source"


@pytest.mark.parametrize(
    "source",
    ['x."icon": FILE', "x.ic*: FILE", "x: |md\n ![a](FILE)\n|", 'x: |md\n <img src="FILE"/>\n|', "x.tooltip: FILE",
     "silicon: Chips by mail of a@b.example", 'x: "<image href=FILE />"'],
)  # fmt: skip
async def test_what_d2_draws_holds_no_file(source: str, tmp_path: Path) -> None:
    file = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "#123456").save(file)
    secret = base64.b64encode(file.read_bytes())[:60]
    async with harness.context() as context:
        provider: Provider = import_module("soma_providers.d2.adapter").create(context)
        given: dict[str, JsonValue] = {"source": source.replace("FILE", str(file)), "language": "d2"}
        try:
            drawn = await provider.invoke(harness.invocation(given))
        except ProviderError as error:
            assert error.reason is Failure.INVALID_INPUT  # noqa: PT017 - either is right
            return
        assert len(drawn.artefacts) > 1
        assert all(secret not in artefact.content for artefact in drawn.artefacts)


SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 10 10">{}</svg>'


@pytest.mark.parametrize(
    "content",
    [
        "<script>alert(1)</script>",
        '<g onload="alert(1)"/>',
        '<a href="javascript:alert(1)"/>',
        '<image xlink:href="https://example.com/x.png"/>',
        '<image href="file:///etc/passwd"/>',
        "<style>@import url(https://example.com/x.css)</style>",
        '<rect style="fill:url(https://example.com/x)"/>',
        "<foreignObject><iframe xmlns='http://www.w3.org/1999/xhtml' src='#'/></foreignObject>",
    ],
)
def test_a_picture_that_runs_code_or_loads_files_is_refused(content: str) -> None:
    with pytest.raises(ProviderError) as caught:
        inspect(SVG.format(content))
    assert caught.value.reason is Failure.INVALID_INPUT


def test_a_picture_is_named_and_widened() -> None:
    svg = inspect(SVG.format("<title>old</title><rect/>"), 'A & "B"', margin=5)
    assert (svg.width, svg.height) == (20, 20)
    root = ET.fromstring(svg.text)
    assert [element.text for element in root.iter() if element.tag.endswith("title")] == ['A & "B"']
    assert root.get("viewBox") == "-5.00 -5.00 20.00 20.00"
