"""Terms of retention and dead letters: what is audited, and a call of every method that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma.provenance.v1 import receipt_service_pb2
from svc_provenance.adapters.postgres.receipts import PostgresReceiptStore
from svc_provenance.adapters.postgres.retention import PostgresRetentionStore
from svc_provenance.app.receipts import Receipts
from svc_provenance.app.retention import TenantRetentions
from svc_provenance.domain.retention import RetentionDays
from svc_provenance.rpc.receipt_service import ReceiptServicer
from tests.integration.contexts.audit.observer import CLOCK, AuditObserver
from tests.integration.contexts.audit.table import ContextAudit, Entry

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.events.audit import Auditor


async def drive(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """For how long the record keeps what it has."""
    platform = RetentionDays(90, 90, 400, 30)
    terms = TenantRetentions(PostgresRetentionStore(observer.postgres, platform, auditor), platform, CLOCK)
    servicer = ReceiptServicer(Receipts(PostgresReceiptStore(observer.postgres)), terms)
    days = {"receipts_days": 80, "traces_days": 80, "audit_days": 400, "dead_letters_days": 20}
    request = receipt_service_pb2.SetRetentionRequest(retention=days)  # type: ignore[arg-type]
    await observer.call("soma.provenance.v1.ReceiptService", servicer, "SetRetention", request)


AUDIT = ContextAudit(
    drive,
    audited={
        "ReceiptService.SetRetention": Entry("retention.write", "retention"),
        "DeadLetterService.RequeueDeadLetter": Entry("dead_letter.write", "dead_letter"),
        "DeadLetterService.RequeueDeadLetters": Entry("dead_letter.write", "dead_letter"),
        "DeadLetterService.DiscardDeadLetter": Entry("dead_letter.write", "dead_letter"),
    },
    driven_elsewhere=(
        "DeadLetterService.RequeueDeadLetter",
        "DeadLetterService.RequeueDeadLetters",
        "DeadLetterService.DiscardDeadLetter",
    ),
)
