"""Between the protos and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.events.topics import facts_of
from mesh.redaction import Redactor
from mesh.rpc.access import check_job_fields
from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import has_more_values, json_object, struct, timestamp
from soma.assets.v1 import asset_pb2
from soma.events.v1 import facts_pb2
from svc_assets.domain.model import Origin, UploadMetadata
from svc_assets.domain.rules import MAX_METADATA_BYTES, metadata_too_large

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message
    from google.protobuf.struct_pb2 import Struct

    from mesh.context import Caller
    from mesh.ids import Ids
    from soma.assets.v1.asset_service_pb2 import UploadAssetRequest
    from svc_assets.domain.model import Asset, JsonObject

_STATUSES = EnumCodec(asset_pb2.AssetStatus)
TOPIC = facts_of("assets")
_BYTES_OF_JSON = 6
"""A message of JSON has at most so many bytes for each of its text."""


def declared_from(proto: UploadAssetRequest, who: Caller) -> UploadMetadata:
    """What the first message of an upload says.

    INVALID_ARGUMENT for metadata that are too large, before they are read, and for a job that no service names: the
    asset would be the job's, held by it and told in its trace.
    """
    origin = proto.origin
    check_job_fields(origin, "origin", who)
    return UploadMetadata(
        filename=proto.filename,
        media_type=proto.content.content_type,
        asset_type=proto.asset_type,
        classification=proto.classification or "internal",
        parent_id=proto.parent_id,
        replaces_id=proto.replaces_id,
        origin=Origin(origin.session_id, origin.job_id, origin.step_id, origin.execution_id),
        metadata=_metadata_from(proto.metadata),
        request_id=proto.request_id,
        size_bytes=proto.size_bytes,
    )


def _metadata_from(proto: Struct) -> JsonObject:
    """The metadata; those that must be longer than the limit are refused by what costs nothing to look at.

    JSON has at least two bytes a value, and the message at most eleven, a number in a list, beside those of its texts.
    """
    if proto.ByteSize() > _BYTES_OF_JSON * MAX_METADATA_BYTES or has_more_values(proto, MAX_METADATA_BYTES // 2):
        raise metadata_too_large()
    return json_object(proto)


def asset_to(item: Asset) -> asset_pb2.Asset:
    """The message of an asset."""
    origin = item.origin
    return asset_pb2.Asset(
        asset_id=item.asset_id,
        asset_type=item.asset_type,
        format=item.format,
        media_type=item.media_type,
        filename=item.filename,
        size_bytes=item.size_bytes,
        checksum_sha256=item.checksum,
        classification=item.classification,
        status=_STATUSES.number(item.status.name),
        metadata=struct(item.metadata or None),
        parent_id=item.parent_id,
        origin=asset_pb2.Origin(
            session_id=origin.session_id,
            job_id=origin.job_id,
            step_id=origin.step_id,
            execution_id=origin.execution_id,
        ),
        created_by=item.created_by,
        create_time=timestamp(item.created_at),
        delete_time=timestamp(item.deleted_at),
        reference_count=item.reference_count,
        deduplicated=item.deduplicated,
        replaces_id=item.replaces_id,
        dropped_fields=item.dropped_fields,
    )


class AssetFacts:
    """What others are told of assets."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def stored(self, asset: Asset) -> Event:
        """AssetStored, in order within its job."""
        return self._event(asset, facts_pb2.AssetStored(asset=self._without_metadata(asset)), asset.created_at)

    def tombstoned(self, asset: Asset, reason: str) -> Event:
        """AssetTombstoned, in order within its job."""
        payload = facts_pb2.AssetTombstoned(asset=self._without_metadata(asset), reason=Redactor().text(reason))
        return self._event(asset, payload, asset.deleted_at or asset.created_at)

    @staticmethod
    def _without_metadata(asset: Asset) -> asset_pb2.Asset:
        """The asset as others are told of it: its metadata stay here."""
        message = asset_to(asset)
        message.ClearField("metadata")
        message.ClearField("dropped_fields")
        message.filename = Redactor().text(message.filename)
        return message

    def _event(self, asset: Asset, payload: Message, occurred_at: datetime) -> Event:
        key = asset.origin.job_id or asset.asset_id
        return Event.from_message(
            payload,
            event_id=self._ids.new(),
            topic=TOPIC,
            key=key,
            tenant_id=asset.tenant_id,
            occurred_at=occurred_at,
            correlation_id=key,
        )
