"""The provenance summary of a document: assets, tools, execution times, costs, quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soma_documents.document import Document, File
    from soma_documents.model import JsonValue, OriginSpec


def provenance_summary(document: Document) -> dict[str, JsonValue]:
    """Returns the summary as JSON; costs in millionths of a US dollar, times in milliseconds."""
    origins = document.origins
    timed = [(name, origin) for name, origin in origins.items() if origin.execution_id or origin.latency_ms]
    scores = [origin.quality_score for origin in origins.values() if origin.quality_score is not None]
    return {
        "document": {
            "title": document.spec.title,
            "kind": document.spec.kind,
            "version": document.spec.version,
            "content_sha256": document.digest,
        },
        "assets": [*_files(document), *_texts(document)],
        "tools_used": _tools(list(origins.values())),
        "execution_times": [
            {"name": name, "execution_id": origin.execution_id, "latency_ms": origin.latency_ms}
            for name, origin in timed
        ],
        "costs": {
            "currency": "USD",
            "total_micro_usd": sum(origin.cost_micro_usd for origin in origins.values()),
            "by_capability": _costs(list(origins.values())),
        },
        "quality": {
            "scored": len(scores),
            "mean": round(sum(scores) / len(scores), 4) if scores else None,
            "lowest": min(scores, default=None),
        },
    }


def _files(document: Document) -> list[JsonValue]:
    figures = {file.name: figure for figure in document.figures for file in figure.files}
    assets: list[JsonValue] = []
    for file in document.files:
        figure = figures.get(file.name)
        assets.append(
            {
                "name": file.name,
                "asset_id": file.asset_id,
                "path": file.path,
                "media_type": file.media_type,
                "sha256": file.sha256,
                "shown_as": figure.label if figure else "",
                "origin": _origin(document.find_origin(file)),
            }
        )
    return assets


def _texts(document: Document) -> list[JsonValue]:
    """Returns the origins of texts that were given in sections and have no file."""
    named = {name for file in document.files for name in _names(file)}
    return [
        {
            "name": name,
            "asset_id": origin.asset_id,
            "path": "",
            "media_type": "text/markdown",
            "sha256": origin.checksum_sha256,
            "shown_as": "Text",
            "origin": _origin(origin),
        }
        for name, origin in document.origins.items()
        if name not in named
    ]


def _names(file: File) -> tuple[str, str, str]:
    return file.name, file.asset_id, file.name.rpartition(".")[0]


def _origin(origin: OriginSpec | None) -> JsonValue:
    if origin is None:
        return None
    return {
        "capability_id": origin.capability_id,
        "model": origin.model,
        "selection_id": origin.selection_id,
        "execution_id": origin.execution_id,
        "license": origin.license,
        "quality_score": origin.quality_score,
        "cost_micro_usd": origin.cost_micro_usd,
        "latency_ms": origin.latency_ms,
    }


def _tools(origins: Sequence[OriginSpec]) -> list[JsonValue]:
    seen = {(origin.capability_id, origin.model, origin.license) for origin in origins if origin.capability_id}
    return [
        {
            "capability_id": capability_id,
            "model": model,
            "license": license_,
            "assets": sum(
                (origin.capability_id, origin.model, origin.license) == (capability_id, model, license_)
                for origin in origins
            ),
        }
        for capability_id, model, license_ in sorted(seen)
    ]


def _costs(origins: Sequence[OriginSpec]) -> dict[str, JsonValue]:
    names = sorted({origin.capability_id for origin in origins if origin.capability_id})
    return {name: sum(origin.cost_micro_usd for origin in origins if origin.capability_id == name) for name in names}
