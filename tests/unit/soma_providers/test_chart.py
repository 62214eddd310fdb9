"""Charts: real ones, the same bytes for the same data."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from soma_providers.matplotlib_chart import adapter as matplotlib_chart
from tests.conformance import harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_providers.port import JsonValue, Provider

BARS: dict[str, JsonValue] = {
    "kind": "bar",
    "title": "Latency ($ and _x_)",
    "x_label": "Percentile",
    "y_label": "ms",
    "series": [
        {"name": "password", "x": ["p50", "p95"], "y": [80, 220]},
        {"name": "passkey", "x": ["p50", "p95"], "y": [40, 120]},
    ],
}


@pytest.fixture
async def charts() -> AsyncIterator[Provider]:
    async with harness.context() as context:
        provider = matplotlib_chart.create(context)
        yield provider
        await provider.aclose()


@pytest.mark.parametrize("kind", ["bar", "barh", "line", "scatter", "pie"])
async def test_each_kind_is_painted(charts: Provider, kind: str) -> None:
    series = BARS["series"][:1] if kind == "pie" else BARS["series"]  # type: ignore[index]
    result = await charts.invoke(harness.invocation({"chart": {**BARS, "kind": kind, "series": series}}))
    assert [artefact.media_type for artefact in result.artefacts] == ["image/png", "image/svg+xml", "text/csv"]
    image = harness.opened(result).convert("RGB")
    assert image.width == 1440
    assert len(image.getcolors(maxcolors=1 << 24) or ()) > 20


async def test_equal_data_gives_equal_bytes(charts: Provider) -> None:
    call = harness.invocation({"chart": BARS})
    first, second = await charts.invoke(call), await charts.invoke(call)
    assert [one.content for one in first.artefacts] == [two.content for two in second.artefacts]


async def test_the_data_come_along_as_a_table(charts: Provider) -> None:
    result = await charts.invoke(harness.invocation({"chart": BARS}))
    rows = list(csv.reader(io.StringIO(result.artefacts[2].content.decode())))
    assert rows[:2] == [["series", "Percentile", "ms"], ["password", "p50", "80.0"]]
    assert len(rows) == 5


async def test_dpi_sets_the_size_and_rework_raises_it(charts: Provider) -> None:
    low = harness.invocation({"chart": BARS, "dpi": 40})
    remark = harness.feedback("RESOLUTION_TOO_LOW", min_width_px=1600)
    again = harness.invocation({"chart": BARS, "dpi": 40}, feedback=remark)
    assert harness.opened(await charts.invoke(low)).width == 288
    assert harness.opened(await charts.invoke(again)).width >= 1600


async def test_texts_are_taken_as_they_are(charts: Provider) -> None:
    wild: JsonValue = {**BARS, "title": "$\\frac{1}{", "series": [{"name": "_hidden", "x": ["$a", "^b"], "y": [1, 2]}]}
    assert (await charts.invoke(harness.invocation({"chart": wild}))).artefacts


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"kind": "radar"}, "/chart/kind"),
        ({"series": []}, "/chart/series"),
        ({"series": [{"y": []}]}, "/chart/series/0/y"),
        ({"series": [{"x": [1], "y": [1, 2]}]}, "/chart/series/0/x"),
        ({"series": [{"y": [1, "2"]}]}, "/chart/series/0/y/1"),
        ({"series": [{"y": [1, True]}]}, "/chart/series/0/y/1"),
        ({"series": [{"x": ["a"], "y": [1]}, {"x": ["b"], "y": [1]}]}, "/chart/series"),
        ({"kind": "pie", "series": [{"y": [1, -1]}]}, "/chart/series/0/y"),
        ({"colour": "red"}, "/chart/colour"),
    ],
)
async def test_a_fault_is_named_by_its_pointer(charts: Provider, change: dict[str, JsonValue], pointer: str) -> None:
    assert await harness.pointer_of_refusal(charts, {"chart": {**BARS, **change}}) == pointer
