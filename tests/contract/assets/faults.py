"""Adapters that stop an upload, an erasure or a sweep at a chosen call, as a crash or a lost answer does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from svc_assets.app.ports import BlobStore
    from tests.contract.assets.store import Store


class CrashError(BaseException):
    """The process ends here: nothing handles it."""


class Faulty:
    """Stands before an adapter; a call of `method` raises `error` before it has an effect, or after it had it."""

    def __init__(self, target: object, method: str, *, after: bool, error: BaseException) -> None:
        self._target, self._method = target, method
        self._after, self._error = after, error
        self.struck = False

    def __getattr__(self, name: str) -> object:
        found = getattr(self._target, name)
        return self._wrapped(found) if name == self._method else found

    def _wrapped(self, method: object) -> object:
        async def call(*args: object, **named: object) -> object:
            self.struck = True
            if self._after:
                await method(*args, **named)  # type: ignore[operator]
            raise self._error

        return call


class Together:
    """Stands before the bytes: two puts end at the same moment, when both uploads have found no asset to join."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._both = asyncio.Barrier(2)

    def __getattr__(self, name: str) -> object:
        return getattr(self._blobs, name)

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        await self._blobs.put(path, body)
        await self._both.wait()


def faulty(store: Store, part: str, method: str, *, after: bool, error: BaseException) -> tuple[Store, Faulty]:
    """A store whose `part` ("rows" or "blobs") is faulty."""
    fault = Faulty(getattr(store, part), method, after=after, error=error)
    return replace(store, **{part: fault}), fault  # type: ignore[arg-type]


def outage() -> SomaError:
    return SomaError(Reason.DEPENDENCY_UNAVAILABLE, "the store does not answer")
