"""Reading jobs."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from mesh.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_executor.app.ports import JobStore
    from svc_executor.domain.job import Job, JobState


@dataclass(frozen=True)
class JobPage:
    """A page of jobs; `next_page_token` is empty at the end."""

    jobs: Sequence[Job]
    next_page_token: str = ""


class ListJobs:
    """Lists the jobs of a tenant, newest first."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def __call__(self, tenant_id: str, state: JobState | None, page_size: int, page_token: str) -> JobPage:
        """A page; INVALID_ARGUMENT for a token of another list."""
        size = page_size
        before = _decode_token(page_token, state) if page_token else ""
        found = await self._store.page(tenant_id, state, before, size + 1)
        shown = found[:size]
        more = len(found) > size
        return JobPage(shown, _encode_token(shown[-1].job_id, state) if more else "")


def _encode_token(job_id: str, state: JobState | None) -> str:
    return base64.urlsafe_b64encode(json.dumps([job_id, state]).encode()).decode()


def _decode_token(token: str, state: JobState | None) -> str:
    try:
        job_id, token_state = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
        is_same_filter = token_state == (state.value if state else None)
        return str(UUID(job_id)) if is_same_filter else _refuse_token()
    except (ValueError, TypeError, AttributeError, binascii.Error):
        return _refuse_token()


def _refuse_token() -> str:
    raise invalid("page_token", "is not the next_page_token of a list with the same filters")
