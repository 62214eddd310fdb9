"""Keeps one headless Chromium for as long as it is used."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from mesh.processes import ProcessLimits, session_of
from soma_local.locate.chromium import Browser as Installed
from soma_local.locate.chromium import chromium
from soma_local.locate.wheels import MissingError
from soma_providers.port import Failure, ProviderError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from playwright.async_api import Browser, Playwright

    from mesh.clock import Clock

IDLE_S = 60.0
# No request may leave by itself: names resolve to nothing, and the only proxy is a port where nobody listens.
_ARGUMENTS = (
    "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=<-loopback>",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--font-render-hinting=none",
    "--disable-dev-shm-usage", "--disable-gpu",
)  # fmt: skip


def installed(*, fetch: bool) -> Installed:
    """Find Chromium; raise ProviderError(UNAVAILABLE) with what to do."""
    try:
        return chromium(fetch=fetch)
    except MissingError as error:
        raise ProviderError(Failure.UNAVAILABLE, str(error)) from error


class SharedChromium:
    """Starts Chromium with the first page, again after a crash, and ends it after a minute without pages."""

    def __init__(self, clock: Clock, *, fetch: bool) -> None:
        self._clock = clock
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._pages = 0
        self._ending: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        """Lend the browser."""
        async with self._lock:
            if self._ending is not None:
                self._ending.cancel()
                self._ending = None
            browser = await self._started()
            self._pages += 1
        try:
            yield browser
        finally:
            self._pages -= 1
            if self._pages == 0:
                self._ending = asyncio.create_task(self._end_when_idle())

    async def aclose(self) -> None:
        """End the browser."""
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        async with self._lock:
            await self._end()

    async def _started(self) -> Browser:
        if self._browser is not None and self._browser.is_connected():
            return self._browser
        await self._end()
        from playwright.async_api import Error, async_playwright

        program = await asyncio.to_thread(installed, fetch=self._fetch)
        self._playwright = await async_playwright().start()
        environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        try:
            self._browser = await self._playwright.chromium.launch(
                executable_path=program.path, args=list(_ARGUMENTS), chromium_sandbox=os.geteuid() != 0,
                env={**environ, **program.environ}, handle_sigint=False, handle_sigterm=False, handle_sighup=False,
            )  # fmt: skip
        except Error as error:
            await self._end()
            raise ProviderError(Failure.UNAVAILABLE, "Chromium could not be started") from error
        await _set_nice(self._browser)
        return self._browser

    async def _end_when_idle(self) -> None:
        await self._clock.sleep(IDLE_S)
        async with self._lock:
            if self._pages == 0:
                await self._end()

    async def _end(self) -> None:
        browser, self._browser = self._browser, None
        playwright, self._playwright = self._playwright, None
        if browser is not None and browser.is_connected():
            await browser.close()
        if playwright is not None:
            await playwright.stop()


async def _set_nice(browser: Browser) -> None:
    """Let event loops come before pages."""
    session = await browser.new_browser_cdp_session()
    info = await session.send("SystemInfo.getProcessInfo")
    await session.detach()
    main = [process["id"] for process in info["processInfo"] if process["type"] == "browser"]
    await asyncio.to_thread(_nice, main)


def _nice(leaders: Sequence[int]) -> None:
    for leader in leaders:
        for process in session_of(leader):
            process.set_nice(ProcessLimits.nice)
