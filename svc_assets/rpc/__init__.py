"""gRPC services of the asset store."""

from svc_assets.rpc.asset_service import AssetServicer

__all__ = ["AssetServicer"]
