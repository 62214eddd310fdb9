"""Assets: a case of each method whose request has an id."""

from __future__ import annotations

import base64
import os

from tests.e2e.contexts.request_ids.api import Api, Case, Json


def content(text: str) -> Json:
    data = base64.b64encode(text.encode()).decode()
    return {"filename": "once.txt", "content": {"content_type": "text/plain", "data": data}}


def upload(api: Api) -> Case:
    read = ("assets.v1.AssetService.ListAssets", {"page_size": 5})
    one, other = os.urandom(300).hex(), os.urandom(300).hex()
    return Case(content(one), content(other), "asset_id", read)


CASES = {
    "assets.v1.AssetService.UploadAsset": upload,
}
WITHOUT = {
    "assets.v1.AssetService.EraseAsset": "its contract promises no more than that erasing twice changes nothing",
}
