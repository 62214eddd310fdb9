"""Pictures of web pages, taken with Chromium by Playwright."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from soma_providers.media.feedback import SHARPER, has_code, max_hint
from soma_providers.media.params import Params
from soma_providers.playwright_screenshot.chromium import SharedChromium, installed
from soma_providers.playwright_screenshot.routes import GuardedRoutes
from soma_providers.port import (
    Artefact,
    EgressError,
    EgressFailure,
    EgressRequest,
    Failure,
    FailureOrigin,
    InvocationResult,
    ProbeResult,
    ProviderError,
    Usage,
    invalid_input,
)

if TYPE_CHECKING:
    from playwright.async_api import Browser, FloatRect, Page

    from soma_providers.port import (
        Egress,
        EgressResponse,
        EstimateRequest,
        Invocation,
        JsonValue,
        Provider,
        ProviderContext,
    )

_MAX_FULL_SIDE = 12_000
_MAX_PIXELS = 40_000_000
_SETTLE_SHARE = 0.6
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


@dataclass(frozen=True)
class ScreenshotOptions:
    """What to take a picture of, and how; sizes in CSS pixels."""

    url: str
    width: int
    height: int
    full_page: bool
    wait_for: str
    scale: float


@dataclass(frozen=True)
class Picture:
    """A picture of a page. `scale` is what it was taken at; `cut` says that parts of the page are missing."""

    png: bytes
    scale: float
    cut: bool
    title: str
    browser_version: str


class PlaywrightScreenshot:
    """Opens a page in a fresh, networkless browser context and takes its picture."""

    provider = "local"

    def __init__(self, context: ProviderContext) -> None:
        self._egress: Egress = context.egress
        self._fetch_chromium = str(context.settings.get("fetch_chromium", "")).lower() == "true"
        self._chromium = SharedChromium(context.clock, fetch=self._fetch_chromium)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Take a picture of `url` at `width` by `height`, of the `full_page`, once `wait_for` (CSS) is visible.

        A full page that would have too many pixels is taken at a smaller scale, and cut where that is not enough.
        """
        options = _options(invocation)
        document = await self._document(options, invocation.timeout_s)
        routes = GuardedRoutes(self._egress, document, invocation.timeout_s)
        async with self._chromium.browser() as browser:
            taken = await _take(browser, options, document.url, routes, invocation.timeout_s)
        width, height = struct.unpack(">II", taken.png[16:24])
        metadata: dict[str, JsonValue] = {
            "width_px": width, "height_px": height, "scale": taken.scale, "cut": taken.cut, "url": document.url,
            "title": taken.title, "status": document.status, "requests": routes.requests,
            "refused_requests": routes.refused,
        }  # fmt: skip
        return InvocationResult(
            artefacts=(Artefact(taken.png, "image/png", "screenshot.png", "screenshot", metadata),),
            usage=Usage(images=1),
            model=f"chromium {taken.browser_version}",
            metadata={"scale": options.scale, "width": options.width, "height": options.height},
        )

    def estimate(self, request: EstimateRequest) -> Usage:  # noqa: ARG002 - a call makes one picture
        """One picture."""
        return Usage(images=1)

    async def probe(self) -> ProbeResult:
        """Say whether a Chromium is installed."""
        try:
            installed(fetch=False)
        except ProviderError as error:
            return ProbeResult(healthy=self._fetch_chromium, detail=error.message)
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """End the browser."""
        await self._chromium.aclose()

    async def _document(self, options: ScreenshotOptions, timeout_s: float) -> EgressResponse:
        request = EgressRequest("GET", options.url, headers={"accept": "text/html,*/*"}, timeout_s=timeout_s)
        try:
            document = await self._egress.fetch(request)
        except EgressError as error:
            raise _fetch_error(error) from error
        if document.status >= _SERVER_ERROR:
            raise ProviderError(
                Failure.UNAVAILABLE, f"the page answered {document.status}", origin=FailureOrigin.CALLER
            )
        if document.status >= _CLIENT_ERROR:
            raise invalid_input("/url", f"the page answered {document.status}")
        return document


def create(context: ProviderContext) -> Provider:
    """Build the adapter; Chromium starts with the first page."""
    return PlaywrightScreenshot(context)


def _options(invocation: Invocation) -> ScreenshotOptions:
    params = Params(invocation.params)
    url = params.text("url", max_chars=2000)
    if not _is_web(url):
        raise params.error("url", "must be an http or https address")
    width = params.integer("width", 1280, low=320, high=3840)
    height = params.integer("height", 800, low=240, high=4320)
    scale = params.number("scale", 2.0, low=0.25, high=4)
    largest_scale = math.sqrt(_MAX_PIXELS / (width * height))
    if scale > largest_scale:
        raise params.error("scale", f"makes more than {_MAX_PIXELS:,} pixels of {width} x {height}")
    if has_code(invocation.feedback, SHARPER):
        wanted = max(scale, 2.0, max_hint(invocation.feedback, "min_width_px") / width)
        scale = min(4.0, wanted, largest_scale)
    return ScreenshotOptions(
        url=url,
        width=width,
        height=height,
        full_page=params.boolean("full_page", default=False),
        wait_for=params.text("wait_for", "", max_chars=500),
        scale=scale,
    )


def _is_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in {"http", "https"}
    except ValueError:  # brackets that hold no address
        return False


async def _take(
    browser: Browser, options: ScreenshotOptions, url: str, routes: GuardedRoutes, timeout_s: float
) -> Picture:
    from playwright.async_api import Error
    from playwright.async_api import TimeoutError as PlaywrightTimeoutError

    milliseconds = timeout_s * 1000
    try:
        context = await browser.new_context(
            viewport={"width": options.width, "height": options.height}, device_scale_factor=options.scale,
            locale="en-US", timezone_id="UTC", reduced_motion="reduce", service_workers="block", accept_downloads=False,
        )  # fmt: skip
        try:
            context.set_default_timeout(milliseconds)
            await context.route("**/*", routes.answer)
            await context.route_web_socket("**/*", routes.refuse_socket)
            page = await context.new_page()
            await page.goto(url, wait_until="load", timeout=milliseconds)
            await _settle(page, options, milliseconds)
            png, scale, cut = await _picture(page, options, milliseconds)
            return Picture(png, scale, cut, await page.title(), browser.version)
        finally:
            await context.close()
    except PlaywrightTimeoutError:
        raise ProviderError(
            Failure.TIMEOUT, f"the page was not ready within {timeout_s:.0f} s", origin=FailureOrigin.CALLER
        ) from None
    except Error as error:
        # A page that is a download, or ends its own renderer, is its caller's; a browser that is gone is ours.
        origin = FailureOrigin.CALLER if browser.is_connected() else FailureOrigin.PROVIDER
        raise ProviderError(Failure.UNAVAILABLE, "the browser could not show the page", origin=origin) from error


async def _settle(page: Page, options: ScreenshotOptions, milliseconds: float) -> None:
    from playwright.async_api import Error
    from playwright.async_api import TimeoutError as PlaywrightTimeoutError

    if not options.wait_for:
        await page.evaluate("document.fonts.ready.then(() => true)")
        return
    try:
        await page.wait_for_selector(options.wait_for, state="visible", timeout=milliseconds * _SETTLE_SHARE)
    except PlaywrightTimeoutError:
        raise invalid_input("/wait_for", f"nothing matching {options.wait_for!r} appeared") from None
    except Error as error:
        raise invalid_input("/wait_for", "is not a CSS selector") from error


async def _picture(page: Page, options: ScreenshotOptions, milliseconds: float) -> tuple[bytes, float, bool]:
    if not options.full_page:
        return await page.screenshot(animations="disabled", timeout=milliseconds), options.scale, False
    page_width, page_height = await _content_size(page)
    width = min(max(page_width, options.width), _MAX_FULL_SIDE)
    fits = width * min(page_height, _MAX_FULL_SIDE) * options.scale**2 <= _MAX_PIXELS
    scale = options.scale if fits else min(options.scale, 1.0)
    height = min(_MAX_FULL_SIDE, _MAX_PIXELS // (width * scale**2))
    # The browser cuts this to the page as it is then, which may have grown meanwhile.
    clip: FloatRect = {"x": 0.0, "y": 0.0, "width": float(width), "height": float(height)}
    png = await page.screenshot(
        full_page=True, clip=clip, animations="disabled", timeout=milliseconds,
        scale="device" if scale == options.scale else "css",
    )  # fmt: skip
    return png, scale, page_width > width or page_height > height


async def _content_size(page: Page) -> tuple[float, float]:
    """Width and height of the whole page in CSS pixels, as the browser measures them.

    A script of the page can change what `scrollWidth` and `scrollHeight` say.
    """
    session = await page.context.new_cdp_session(page)
    size = (await session.send("Page.getLayoutMetrics"))["cssContentSize"]
    return float(size["width"]), float(size["height"])


def _fetch_error(error: EgressError) -> ProviderError:
    if error.reason is EgressFailure.REFUSED:
        return invalid_input("/url", error.message)
    reason = Failure.TIMEOUT if error.reason is EgressFailure.TIMEOUT else Failure.UNAVAILABLE
    return ProviderError(reason, error.message, origin=FailureOrigin.CALLER)
