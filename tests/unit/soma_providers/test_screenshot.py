"""Screenshots with a real Chromium of a site of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from soma_providers.playwright_screenshot import adapter as playwright_screenshot
from soma_providers.port import Failure, FailureOrigin
from tests.conformance import harness
from tests.conformance.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from soma_local.locate import Browser
    from soma_providers.port import JsonValue, Provider


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as server:
        assert isinstance(server, Site)
        yield server


@pytest.fixture(scope="module")
async def browser(chromium: Browser, site: Site) -> AsyncIterator[Provider]:
    async with harness.context(site.authority) as context:
        provider = playwright_screenshot.create(context)
        yield provider
        await provider.aclose()


async def test_a_page_is_shown_with_its_style_and_script(browser: Provider, site: Site) -> None:
    params: dict[str, JsonValue] = {"url": site.url, "width": 800, "height": 600, "wait_for": "#late:not(:empty)"}
    result = await browser.invoke(harness.invocation(params))
    image = harness.opened(result).convert("RGB")
    assert image.size == (1600, 1200)
    assert image.getpixel((1590, 1190)) == (0x0B, 0x3D, 0x91)
    assert len(image.getcolors(maxcolors=1 << 20) or ()) > 20


async def test_a_page_cannot_reach_what_the_guard_refuses(browser: Provider, site: Site) -> None:
    params: dict[str, JsonValue] = {"url": site.url, "wait_for": "#late:not(:empty)"}
    metadata = (await browser.invoke(harness.invocation(params))).artefacts[0].metadata
    assert metadata["title"] == "Sign in"
    assert isinstance(metadata["refused_requests"], int)
    assert metadata["refused_requests"] >= 2


async def test_scale_sets_the_pixels_and_rework_raises_them(browser: Provider, site: Site) -> None:
    params: dict[str, JsonValue] = {"url": site.url, "width": 640, "scale": 0.5}
    remark = harness.feedback("RESOLUTION_TOO_LOW", min_width_px=1600)
    assert harness.opened(await browser.invoke(harness.invocation(params))).width == 320
    assert harness.opened(await browser.invoke(harness.invocation(params, feedback=remark))).width == 1600


async def test_a_full_page_is_as_long_as_its_content(browser: Provider, site: Site) -> None:
    params: dict[str, JsonValue] = {"url": f"{site.url}/long", "full_page": True, "scale": 1}
    result = await browser.invoke(harness.invocation(params))
    assert harness.opened(result).height >= 3000
    assert result.artefacts[0].metadata["cut"] is False


@pytest.mark.parametrize(("width", "scale", "height"), [(1280, 4, 12_000), (3840, 2, 10_416)])
async def test_a_full_page_of_too_many_pixels_is_taken_at_a_smaller_scale(
    browser: Provider, site: Site, width: int, scale: float, height: int
) -> None:
    params: dict[str, JsonValue] = {"url": f"{site.url}/tall", "full_page": True, "width": width, "scale": scale}
    metadata = (await browser.invoke(harness.invocation(params))).artefacts[0].metadata
    assert (metadata["width_px"], metadata["height_px"]) == (width, height)
    assert (metadata["scale"], metadata["cut"]) == (1.0, True)


async def test_a_full_page_has_what_is_wider_than_the_window(browser: Provider, site: Site) -> None:
    params: dict[str, JsonValue] = {"url": f"{site.url}/wide", "full_page": True, "width": 800, "scale": 1}
    metadata = (await browser.invoke(harness.invocation(params))).artefacts[0].metadata
    assert metadata["width_px"] >= 2000  # type: ignore[operator]
    assert metadata["cut"] is False


async def test_a_picture_of_too_many_pixels_is_refused(browser: Provider, site: Site) -> None:
    params: dict[str, JsonValue] = {"url": site.url, "width": 3840, "height": 4320, "scale": 4}
    assert await harness.pointer_of_refusal(browser, params) == "/scale"


def test_rework_raises_the_pixels_within_their_bound() -> None:
    params: dict[str, JsonValue] = {"url": "https://example.org", "width": 3840, "height": 4320, "scale": 1}
    remark = harness.feedback("RESOLUTION_TOO_LOW", min_width_px=15_360)
    shot = playwright_screenshot._options(harness.invocation(params, feedback=remark))
    assert shot.scale > 1.5
    assert int(shot.width * shot.height * shot.scale**2) <= 40_000_000


async def test_the_page_after_a_redirect_is_the_one_shown(browser: Provider, site: Site) -> None:
    result = await browser.invoke(harness.invocation({"url": f"{site.url}/moved", "scale": 1}))
    assert result.artefacts[0].metadata["url"] == f"{site.url}/"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "http://example.com/",
        "file:///etc/passwd",
        "https://[::1",
    ],
)
async def test_an_address_that_is_not_public_is_refused(browser: Provider, url: str) -> None:
    assert await harness.pointer_of_refusal(browser, {"url": url}) == "/url"


async def test_a_missing_page_is_no_picture(browser: Provider, site: Site) -> None:
    assert await harness.pointer_of_refusal(browser, {"url": f"{site.url}/nowhere"}) == "/url"


async def test_a_page_that_fails_is_tried_elsewhere(browser: Provider, site: Site) -> None:
    error = await harness.refusal(browser, harness.invocation({"url": f"{site.url}/broken"}))
    assert (error.reason, error.origin) == (Failure.UNAVAILABLE, FailureOrigin.CALLER)


async def test_an_address_that_is_a_download_is_not_the_browsers_fault(browser: Provider, site: Site) -> None:
    error = await harness.refusal(browser, harness.invocation({"url": f"{site.url}/download"}))
    assert (error.reason, error.origin) == (Failure.UNAVAILABLE, FailureOrigin.CALLER)


async def test_a_silent_page_ends_in_time(browser: Provider, site: Site) -> None:
    error = await harness.refusal(browser, harness.invocation({"url": f"{site.url}/hang"}, timeout_s=0.3))
    assert (error.reason, error.origin) == (Failure.TIMEOUT, FailureOrigin.CALLER)


async def test_what_never_appears_is_named(browser: Provider, site: Site) -> None:
    params: dict[str, JsonValue] = {"url": site.url, "wait_for": "#never"}
    assert await harness.pointer_of_refusal(browser, params, timeout_s=6.0) == "/wait_for"


async def test_a_browser_that_was_killed_is_started_again(browser: Provider, site: Site) -> None:
    assert isinstance(browser, playwright_screenshot.PlaywrightScreenshot)
    async with browser._chromium.browser() as running:
        await running.close()
    assert (await browser.invoke(harness.invocation({"url": site.url}))).artefacts


async def test_it_is_healthy_where_a_chromium_is_installed(browser: Provider) -> None:
    assert (await browser.probe()).healthy
