"""Measures of pixels, against pictures whose values are known."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from svc_critic.adapters.heuristics.decoding import MAX_SIDE_PX, UndecodableError, decode
from svc_critic.adapters.heuristics.ocr import MAX_BEGINNING_WIDTH, _allocate_widths
from svc_critic.adapters.heuristics.pixels import Luma, measure_letters


def plain(color: tuple[int, int, int], size: tuple[int, int] = (300, 200)) -> Image.Image:
    return Image.new("RGB", size, color)


def bars(dark: int, light: int) -> Image.Image:
    values = np.full((200, 300, 3), light, dtype=np.uint8)
    values[60:140:20, 50:250] = dark
    return Image.fromarray(values)


def luma(image: Image.Image) -> Luma:
    return Luma(np.asarray(image.convert("RGB")))


def written(image: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def test_one_colour_has_no_foreground() -> None:
    assert luma(plain((200, 220, 240))).foreground.share == 0


def test_a_single_thin_line_is_foreground_even_in_a_large_picture() -> None:
    values = np.full((3000, 3000, 3), 255, dtype=np.uint8)
    values[1501, 100:2900] = 0
    found = Luma(values).foreground
    assert 0 < found.share < 0.01


def test_black_on_white_has_the_largest_contrast() -> None:
    assert luma(bars(0, 255)).drawn_contrast == pytest.approx(21, abs=0.1)


def test_mid_gray_on_white_is_known_from_the_norm() -> None:
    assert luma(bars(0x76, 255)).drawn_contrast == pytest.approx(4.54, abs=0.05)


def test_blur_lowers_sharpness() -> None:
    sharp = bars(20, 240)
    values = [luma(sharp.filter(ImageFilter.GaussianBlur(radius))).acutance for radius in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.7
    assert values[3] < 0.2


def test_empty_space_does_not_change_sharpness() -> None:
    alone, framed = bars(20, 240), plain((240, 240, 240), (1200, 900))
    framed.paste(alone, (400, 300))
    assert luma(framed).acutance == pytest.approx(luma(alone).acutance, rel=0.15)


def test_noise_has_neighbours_that_do_not_agree() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    assert abs(Luma(noise).coherence) < 0.1
    assert luma(bars(20, 240).filter(ImageFilter.GaussianBlur(2))).coherence > 0.8


def test_height_and_contrast_of_letters() -> None:
    strip = np.full((40, 120, 3), 255, dtype=np.uint8)
    strip[10:28, 20:100:6] = 0
    found = measure_letters(strip)
    assert found.height == 18
    assert found.contrast == pytest.approx(21, abs=0.1)


@given(st.integers(1, 6), st.integers(1, 6))
def test_tiny_pictures_are_measured_too(width: int, height: int) -> None:
    found = luma(plain((10, 20, 30), (width, height)))
    assert found.foreground.share == 0
    assert 0 <= found.acutance <= 1


def test_transparent_pictures_are_seen_on_white() -> None:
    image = Image.new("RGBA", (50, 50), (0, 0, 0, 0))
    assert decode(written(image)).rgb.min() == 255


def test_pictures_are_turned_upright() -> None:
    image = plain((1, 2, 3), (80, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif)
    assert (decode(out.getvalue()).width, decode(out.getvalue()).height) == (40, 80)


def test_very_large_pictures_are_shrunk_and_keep_their_size() -> None:
    picture = decode(written(plain((0, 90, 0), (6000, 300))))
    assert (picture.width, picture.height) == (6000, 300)
    assert picture.rgb.shape[1] == MAX_SIDE_PX


def test_sixteen_bits_are_scaled() -> None:
    values = np.linspace(0, 65_535, 100, dtype=np.uint16).reshape(10, 10)
    assert decode(written(Image.fromarray(values))).rgb.max() == 255


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"hello"])
def test_what_is_no_picture_is_told(content: bytes) -> None:
    with pytest.raises(UndecodableError):
        decode(content)


def test_a_picture_that_is_cut_off_is_told() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    with pytest.raises(UndecodableError):
        decode(written(Image.fromarray(noise))[:20_000])


@given(st.lists(st.tuples(st.integers(64, 3_000), st.integers(8, 200)), max_size=40), st.integers(0, 5_000))
def test_reading_never_spends_more_than_its_budget(lines: list[tuple[int, int]], budget: int) -> None:
    spent = _allocate_widths([width for width, _ in lines], [height for _, height in lines], budget)
    assert sum(spent.values()) <= budget
    assert all(0 < part <= lines[place][0] for place, part in spent.items())


def test_large_letters_are_read_first_and_in_full() -> None:
    assert _allocate_widths([700, 700, 700], [20, 80, 20], 1_300) == {0: 600, 1: 700}


def test_all_beginnings_come_before_any_rest() -> None:
    assert _allocate_widths([2_000, 2_000], [20, 20], 2 * MAX_BEGINNING_WIDTH) == {
        0: MAX_BEGINNING_WIDTH,
        1: MAX_BEGINNING_WIDTH,
    }
