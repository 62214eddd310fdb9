"""A chart as data, read from `params.chart`."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soma_providers.media.params import Params, as_object

if TYPE_CHECKING:
    from soma_providers.port import JsonValue

KINDS = ("bar", "barh", "line", "scatter", "pie")
MAX_SERIES = 12
MAX_POINTS = 2000
MAX_CATEGORIES = 60


@dataclass(frozen=True)
class Series:
    """Points under one name; `x` are numbers, or categories as texts."""

    name: str
    x: tuple[float, ...] | tuple[str, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """What to show; in charts of categories all series have the same ones in the same order."""

    kind: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]

    @property
    def categorical(self) -> bool:
        """Whether x counts categories and not numbers."""
        return any(isinstance(value, str) for value in self.series[0].x)

    @property
    def categories(self) -> tuple[str, ...]:
        """Give the categories as texts."""
        return tuple(value if isinstance(value, str) else f"{value:g}" for value in self.series[0].x)


def parse_chart(value: JsonValue) -> Chart:
    """Read a chart; raise ProviderError(INVALID_INPUT) that points at the field at fault."""
    params = as_object(value, "/chart")
    params.reject_unknown("kind", "title", "x_label", "y_label", "series")
    kind = params.choice("kind", KINDS)
    rows = params.objects("series", limit=MAX_SERIES)
    if not rows:
        raise params.error("series", "must hold at least one series")
    chart = Chart(
        kind=kind,
        title=params.label("title", "", max_chars=160),
        x_label=params.label("x_label", "", max_chars=80),
        y_label=params.label("y_label", "", max_chars=80),
        series=tuple(_series(row, index) for index, row in enumerate(rows)),
    )
    _check(params, chart)
    return chart


def as_csv(chart: Chart) -> str:
    """Give the data as a table: series, x, y."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["series", chart.x_label or "x", chart.y_label or "y"])
    for series in chart.series:
        writer.writerows([series.name, x, y] for x, y in zip(series.x, series.y, strict=True))
    return out.getvalue()


def _series(row: Params, index: int) -> Series:
    row.reject_unknown("name", "x", "y")
    y = [_number(row, "y", place, value) for place, value in enumerate(row.items("y", limit=MAX_POINTS))]
    if not y:
        raise row.error("y", "must hold at least one number")
    given = row.items("x", limit=MAX_POINTS) or tuple(range(1, len(y) + 1))
    if len(given) != len(y):
        raise row.error("x", f"has {len(given)} entries, but y has {len(y)}")
    x: tuple[float, ...] | tuple[str, ...]
    if any(isinstance(value, str) for value in given):
        texts = [value if isinstance(value, str) else f"{value}" for value in given]
        x = tuple(Params({"x": text}, f"{row.pointer}/x/{place}").label("x") for place, text in enumerate(texts))
    else:
        x = tuple(_number(row, "x", place, value) for place, value in enumerate(given))
    return Series(row.label("name", "", max_chars=60) or f"Series {index + 1}", x, tuple(y))


def _number(row: Params, name: str, place: int, value: JsonValue) -> float:
    return Params({str(place): value}, f"{row.pointer}/{name}").number(str(place), low=-1e15, high=1e15)


def _check(params: Params, chart: Chart) -> None:
    first = chart.series[0]
    if chart.kind == "pie":
        if len(chart.series) > 1:
            raise params.error("series", "must hold one series for a pie")
        if min(first.y) < 0 or sum(first.y) <= 0:
            raise params.error("series/0/y", "must not be negative, and not all zero, for a pie")
    if any(series.x and isinstance(series.x[0], str) != chart.categorical for series in chart.series):
        raise params.error("series", "must give x as numbers in all series, or as texts in all")
    if chart.kind in {"bar", "barh", "pie"} or chart.categorical:
        if len(first.x) > MAX_CATEGORIES:
            raise params.error("series/0/x", f"has {len(first.x)} categories, at most {MAX_CATEGORIES} can be shown")
        if any(series.x != first.x for series in chart.series):
            raise params.error("series", "must have the same categories in the same order")
