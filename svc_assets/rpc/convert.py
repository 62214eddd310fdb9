"""Converters between the messages of the contract and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.access import check_job_fields
from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import has_more_values, json_object, struct, timestamp
from soma.assets.v1 import asset_pb2
from svc_assets.domain.model import Origin, UploadMetadata
from svc_assets.domain.rules import MAX_METADATA_BYTES, metadata_too_large

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct

    from mesh.context import Caller
    from soma.assets.v1.asset_service_pb2 import UploadAssetRequest
    from svc_assets.domain.model import Asset, JsonObject

_STATUSES = EnumCodec(asset_pb2.AssetStatus)
_MAX_BYTES_PER_JSON_BYTE = 6
"""Most bytes that a `Struct` takes for each byte of its JSON text."""


def upload_metadata_from_proto(proto: UploadAssetRequest, caller: Caller) -> UploadMetadata:
    """Returns what the first message of an upload declares.

    INVALID_ARGUMENT for metadata over the limit, before they are parsed, and for a job that a caller other than a
    service names: the job would hold the asset, and its trace would show it.
    """
    origin = proto.origin
    check_job_fields(origin, "origin", caller)
    return UploadMetadata(
        filename=proto.filename,
        media_type=proto.content.content_type,
        asset_type=proto.asset_type,
        classification=proto.classification or "internal",
        parent_id=proto.parent_id,
        replaces_id=proto.replaces_id,
        origin=Origin(origin.session_id, origin.job_id, origin.step_id, origin.execution_id),
        metadata=_metadata_from_proto(proto.metadata),
        request_id=proto.request_id,
        size_bytes=proto.size_bytes,
    )


def _metadata_from_proto(proto: Struct) -> JsonObject:
    """Returns the metadata; rejects those that must exceed the limit by the size and the value count of the message.

    Each value takes at least two bytes of JSON, and at most eleven bytes of the message (a number in a list) beside the
    bytes of its strings.
    """
    if proto.ByteSize() > _MAX_BYTES_PER_JSON_BYTE * MAX_METADATA_BYTES or has_more_values(
        proto, MAX_METADATA_BYTES // 2
    ):
        raise metadata_too_large()
    return json_object(proto)


def asset_to_proto(asset: Asset) -> asset_pb2.Asset:
    """Returns the message of an asset."""
    origin = asset.origin
    return asset_pb2.Asset(
        asset_id=asset.asset_id,
        asset_type=asset.asset_type,
        format=asset.format,
        media_type=asset.media_type,
        filename=asset.filename,
        size_bytes=asset.size_bytes,
        checksum_sha256=asset.checksum,
        classification=asset.classification,
        status=_STATUSES.number(asset.status.name),
        metadata=struct(asset.metadata or None),
        parent_id=asset.parent_id,
        origin=asset_pb2.Origin(
            session_id=origin.session_id,
            job_id=origin.job_id,
            step_id=origin.step_id,
            execution_id=origin.execution_id,
        ),
        created_by=asset.created_by,
        create_time=timestamp(asset.created_at),
        delete_time=timestamp(asset.deleted_at),
        reference_count=asset.reference_count,
        deduplicated=asset.deduplicated,
        replaces_id=asset.replaces_id,
        dropped_fields=asset.dropped_fields,
    )
