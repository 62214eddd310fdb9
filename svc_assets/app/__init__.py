"""Use cases of the asset store."""

from svc_assets.app.assets import Assets
from svc_assets.app.deadline import upload_deadline
from svc_assets.app.ingest import Ingest, IngestLimits
from svc_assets.app.ports import IngestUseCase
from svc_assets.app.reconcile import Reconciler, SweepTimes

__all__ = ["Assets", "Ingest", "IngestLimits", "IngestUseCase", "Reconciler", "SweepTimes", "upload_deadline"]
