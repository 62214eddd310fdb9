"""Paints a chart with Matplotlib's figure objects; nothing of its global drawing state is used."""

from __future__ import annotations

import io
import textwrap
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from soma_providers.matplotlib_chart.model import Chart

WIDTH_IN = 7.2
HEIGHT_IN = 4.2
_CROWDED = 8
_LEGEND_SLICES = 8

_PALETTES = {
    "default": ("#2f6fb7", "#e07b39", "#3f9b6c", "#b5485d", "#7a5fb0", "#c9a227", "#3aa0b0", "#8a6d52", "#5c6b7a",
                "#d16ba5", "#7f9f3f", "#444f8f"),
    "neutral": ("#08306b", "#7f2704", "#00441b", "#67000d", "#3f007d", "#4d4d00", "#003c44", "#3d2b1f", "#252525",
                "#7a0177", "#33470e", "#1a1a5e"),
}  # fmt: skip
_INK = {"default": "#1f2937", "neutral": "#000000"}
# Equal input must give equal bytes: a fixed salt for ids, no date, and texts taken as they are.
_RULES = {"svg.hashsalt": "soma", "svg.fonttype": "path", "text.parse_math": False, "font.family": "DejaVu Sans"}


@dataclass(frozen=True)
class RenderedChart:
    """The same chart in pixels and as vectors."""

    png: bytes
    svg: bytes


def render(chart: Chart, theme: str, dpi: float) -> RenderedChart:
    """Paint a chart of 7.2 by 4.2 inches, taller with many horizontal bars."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(cast("dict[Any, Any]", _RULES)), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a glyph that the font lacks is drawn as a box
        figure = Figure(figsize=(WIDTH_IN, _height(chart)))
        FigureCanvasAgg(figure)
        figure.set_layout_engine("constrained", w_pad=0.14, h_pad=0.12)
        _compose(figure, chart, theme)
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
        figure.savefig(svg, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return RenderedChart(png.getvalue(), svg.getvalue())


def _height(chart: Chart) -> float:
    if chart.kind != "barh":
        return HEIGHT_IN
    bars = len(chart.categories) * max(1.0, 0.6 * len(chart.series))
    return max(HEIGHT_IN, min(14.0, 0.9 + 0.34 * bars))


def _compose(figure: Figure, chart: Chart, theme: str) -> None:
    axes: Axes = figure.add_subplot()
    ink, colours = _INK[theme], _PALETTES[theme]
    if chart.title:
        axes.set_title("\n".join(textwrap.wrap(chart.title, 60)), fontsize=14, fontweight="bold", color=ink, pad=12)
    if chart.kind == "pie":
        _pie(axes, chart, colours, ink)
        return
    _DRAWERS[chart.kind](axes, chart, colours)
    _style_axes(axes, chart, ink)


def _bars(axes: Axes, chart: Chart, colours: tuple[str, ...]) -> None:
    width = 0.8 / len(chart.series)
    for index, series in enumerate(chart.series):
        places = [place - 0.4 + width * (index + 0.5) for place in range(len(series.y))]
        axes.bar(places, series.y, width * 0.94, label=series.name, color=colours[index], zorder=3)
    longest = max(len(category) for category in chart.categories)
    crowded = len(chart.categories) * min(longest, 14) > 7 * _CROWDED + 20
    texts = [textwrap.fill(category, 24 if crowded else 14) for category in chart.categories]
    axes.set_xticks(range(len(texts)), texts, rotation=35 if crowded else 0, ha="right" if crowded else "center")


def _horizontal_bars(axes: Axes, chart: Chart, colours: tuple[str, ...]) -> None:
    width = 0.8 / len(chart.series)
    for index, series in enumerate(chart.series):
        places = [place - 0.4 + width * (index + 0.5) for place in range(len(series.y))]
        axes.barh(places, series.y, width * 0.94, label=series.name, color=colours[index], zorder=3)
    axes.set_yticks(range(len(chart.categories)), [textwrap.fill(category, 26) for category in chart.categories])
    axes.invert_yaxis()


def _lines(axes: Axes, chart: Chart, colours: tuple[str, ...]) -> None:
    for index, series in enumerate(chart.series):
        marker = "o" if len(series.y) <= _CROWDED * 5 else ""
        places = range(len(series.y)) if chart.categorical else series.x
        axes.plot(places, series.y, marker=marker, markersize=5, linewidth=2.2, label=series.name, color=colours[index])
    _category_ticks(axes, chart)


def _points(axes: Axes, chart: Chart, colours: tuple[str, ...]) -> None:
    for index, series in enumerate(chart.series):
        places = range(len(series.y)) if chart.categorical else series.x
        axes.scatter(places, series.y, s=34, label=series.name, color=colours[index], alpha=0.85, zorder=3)
    _category_ticks(axes, chart)


def _category_ticks(axes: Axes, chart: Chart) -> None:
    if chart.categorical:
        crowded = sum(len(category) for category in chart.categories) > 7 * _CROWDED
        axes.set_xticks(
            range(len(chart.categories)), chart.categories, rotation=35 if crowded else 0,
            ha="right" if crowded else "center",
        )  # fmt: skip


def _pie(axes: Axes, chart: Chart, colours: tuple[str, ...], ink: str) -> None:
    values, names = chart.series[0].y, chart.categories
    many = len(values) > _LEGEND_SLICES
    total = sum(values)
    shades = [colours[index % len(colours)] for index in range(len(values))]
    wedges, _, shares_shown = axes.pie(
        values, labels=None if many else [textwrap.fill(name, 22) for name in names], colors=shades, startangle=90,
        counterclock=False, autopct=lambda share: f"{share:.0f} %" if share >= 4 else "", pctdistance=0.72,  # noqa: PLR2004
        textprops={"color": ink, "fontsize": 10.5}, wedgeprops={"edgecolor": "white", "linewidth": 1.5},
    )  # fmt: skip
    for text in shares_shown:
        text.set_color("white")
        text.set_fontweight("bold")
    if many:
        shares = [f"{name} ({100 * value / total:.0f} %)" for name, value in zip(names, values, strict=True)]
        axes.legend(wedges, shares, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    axes.set_aspect("equal")


def _style_axes(axes: Axes, chart: Chart, ink: str) -> None:
    axes.set_xlabel(chart.x_label, fontsize=11, color=ink)
    axes.set_ylabel(chart.y_label, fontsize=11, color=ink)
    axes.tick_params(colors=ink, labelsize=10, length=0)
    axes.grid(visible=True, axis="x" if chart.kind == "barh" else "y", color="#d5dae1", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#8a94a3")
    if len(chart.series) > 1:
        axes.legend(frameon=False, fontsize=10, labelcolor=ink, loc="best")


_DRAWERS = {"bar": _bars, "barh": _horizontal_bars, "line": _lines, "scatter": _points}
