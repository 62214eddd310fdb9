"""The events that the asset store publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.events.topics import facts_of
from mesh.redaction import Redactor
from soma.events.v1 import facts_pb2
from svc_assets.rpc.convert import asset_to_proto

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message

    from mesh.ids import Ids
    from soma.assets.v1 import asset_pb2
    from svc_assets.domain.model import Asset

TOPIC = facts_of("assets")


class AssetEvents:
    """Makes the events of assets. Their key is the job of the asset, else the asset, so that a job's are in order."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def stored(self, asset: Asset) -> Event:
        """Returns AssetStored."""
        return self._event(asset, facts_pb2.AssetStored(asset=_without_metadata(asset)), asset.created_at)

    def tombstoned(self, asset: Asset, reason: str) -> Event:
        """Returns AssetTombstoned."""
        payload = facts_pb2.AssetTombstoned(asset=_without_metadata(asset), reason=Redactor().text(reason))
        return self._event(asset, payload, asset.deleted_at or asset.created_at)

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


def _without_metadata(asset: Asset) -> asset_pb2.Asset:
    """The asset as events carry it: without metadata, which only this context stores, and with a redacted filename."""
    message = asset_to_proto(asset)
    message.ClearField("metadata")
    message.ClearField("dropped_fields")
    message.filename = Redactor().text(message.filename)
    return message
