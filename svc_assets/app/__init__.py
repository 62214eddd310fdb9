"""Use cases of the asset store."""

from svc_assets.app.assets import Assets
from svc_assets.app.ingest import Ingest, Ingesting
from svc_assets.app.reconcile import Reconciler

__all__ = ["Assets", "Ingest", "Ingesting", "Reconciler"]
