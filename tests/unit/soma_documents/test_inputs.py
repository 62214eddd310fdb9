"""What documents show: pictures, recordings and texts that are given to them."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from soma_documents.files import SvgInspection
from tests.unit.soma_documents.samples import (
    PNG,
    SVG,
    SVG_WITH_TEXT,
    composed,
    input_file,
    inputs,
    problems,
    simple,
    small,
    wav,
)

if TYPE_CHECKING:
    from soma_documents.document import Figure


def figure_of(**given: object) -> Figure:
    params = simple(figures=[{"id": "f", "asset": "x"}])
    return composed(params, {name.replace("_", "."): value for name, value in given.items()}).figures[0]  # type: ignore[misc]


def test_all_missing_inputs_are_named_at_once() -> None:
    found = problems(small(), {"other": "text"})
    assert found == {
        "/sections/1/figures/0/asset": "the input 'plan' is missing (inputs given: other)",
        "/sections/3/body": "the input 'functions' is missing (inputs given: other)",
        "/sections/6/figures/0/asset": "the input 'sound' is missing (inputs given: other)",
    }


def test_missing_inputs_are_marked_when_gaps_are_allowed() -> None:
    document = composed(small() | {"missing_assets": "mark"}, {})
    assert [figure.missing for figure in document.figures] == ["plan", "sound"]
    assert "the input 'plan' is missing" in document.gaps


def test_a_broken_picture_is_an_error_even_when_gaps_are_allowed() -> None:
    params = simple(figures=[{"id": "f", "asset": "x"}]) | {"missing_assets": "mark"}
    found = problems(params, {"x": input_file(PNG[:40], "image/png")})
    assert found == {"/sections/0/figures/0/asset": "the input 'x' is a broken picture"}


def test_a_picture_must_be_what_it_says() -> None:
    found = problems(simple(figures=[{"id": "f", "asset": "x"}]), {"x": input_file(PNG, "image/jpeg")})
    assert found["/sections/0/figures/0/asset"] == "the input 'x' says image/jpeg but is image/png"


def test_what_cannot_be_shown_is_refused() -> None:
    found = problems(simple(figures=[{"id": "f", "asset": "x"}]), {"x": input_file(b"%PDF-1.7", "application/pdf")})
    assert "cannot be shown as a figure" in found["/sections/0/figures/0/asset"]


def test_the_vector_variant_is_shown_and_printed() -> None:
    figure = figure_of(x=input_file(PNG, "image/png"), x_svg=input_file(SVG, "image/svg+xml"))
    assert figure.screen_file == figure.print_file == figure.vector
    assert [file.path for file in figure.files] == ["assets/x.png", "assets/x.svg"]


def test_a_vector_picture_with_live_text_is_shown_but_its_pixels_are_printed() -> None:
    figure = figure_of(x=input_file(PNG, "image/png"), x_svg=input_file(SVG_WITH_TEXT, "image/svg+xml"))
    assert (figure.screen_file, figure.print_file) == (figure.vector, figure.raster)


def test_a_vector_picture_alone_is_printed_whatever_it_holds() -> None:
    figure = figure_of(x=input_file(SVG_WITH_TEXT, "image/svg+xml"))
    assert figure.print_file == figure.vector


def test_a_vector_variant_that_may_not_be_shown_is_left_out() -> None:
    refused = replace(input_file(SVG, "image/svg+xml"), svg=SvgInspection(refusal="it runs code"))
    figure = figure_of(x=input_file(PNG, "image/png"), x_svg=refused)
    assert figure.vector is None
    found = problems(simple(figures=[{"id": "f", "asset": "x"}]), {"x": refused})
    assert found["/sections/0/figures/0/asset"] == "the input 'x' is no picture that can be shown: it runs code"


def test_a_vector_picture_that_nobody_inspected_is_not_shown() -> None:
    unseen = replace(input_file(SVG, "image/svg+xml"), svg=None)
    assert figure_of(x=input_file(PNG, "image/png"), x_svg=unseen).vector is None
    assert problems(simple(figures=[{"id": "f", "asset": "x"}]), {"x": unseen})


def test_pictures_are_as_large_as_their_density_says() -> None:
    packed = io.BytesIO()
    Image.new("RGB", (400, 200)).save(packed, "PNG", dpi=(200, 200))
    figure = figure_of(x=input_file(packed.getvalue(), "image/png"))
    assert [figure.width, figure.height] == pytest.approx([192, 96], rel=0.001)


def test_recordings_say_their_format_length_and_size() -> None:
    figure = figure_of(x=input_file(wav(75.2), "audio/wav"))
    assert (figure.label, figure.details) == ("Audio 1", "WAV, 1:15, 602 kB")


def test_a_body_may_come_from_a_text_or_from_a_stored_text() -> None:
    params = simple(body={"from": "t"})
    from_text = composed(params, {"t": "Hello\r\nthere\x07."})
    from_asset = composed(params, {"t": input_file(b"Hello\nthere.", "text/markdown")})
    assert from_text.sections[0].blocks == from_asset.sections[0].blocks
    assert [file.path for file in from_asset.files] == ["assets/t.md"]


def test_a_picture_is_no_body_and_a_text_no_figure() -> None:
    assert "is image/png, not text" in problems(simple(body={"from": "plan"}), inputs())["/sections/0/body"]
    found = problems(simple(figures=[{"id": "f", "asset": "functions"}]), inputs())
    assert "give it as the body of a section" in found["/sections/0/figures/0/asset"]


def test_paths_in_the_bundle_stay_apart_and_harmless() -> None:
    figures = [{"id": f"f{index}", "asset": name} for index, name in enumerate(("../a b", "a:b", "A-B"))]
    given = {name: input_file(PNG, "image/png") for name in ("../a b", "a:b", "A-B")}
    paths = [file.path for file in composed(simple(figures=figures), given).files]
    assert paths == ["assets/A-B-3.png", "assets/a-b-2.png", "assets/a-b.png"]


def test_only_files_below_the_limit_are_embedded() -> None:
    params = small() | {"embed_limit_bytes": len(PNG)}
    assert [figure.embedded for figure in composed(params).figures] == [len(SVG) <= len(PNG), False]
