"""gRPC face of the asset store."""

from svc_assets.rpc.asset_service import AssetServicer
from svc_assets.rpc.convert import AssetFacts

__all__ = ["AssetFacts", "AssetServicer"]
