"""The stores of the critic in Postgres."""

from svc_critic.adapters.postgres.erasure import PostgresErasureMarks, PostgresPendingErasures
from svc_critic.adapters.postgres.evaluations import PostgresEvaluationStore
from svc_critic.adapters.postgres.retention import RETENTION_RULES
from svc_critic.adapters.postgres.rubrics import PostgresRubricStore

__all__ = [
    "RETENTION_RULES",
    "PostgresErasureMarks",
    "PostgresEvaluationStore",
    "PostgresPendingErasures",
    "PostgresRubricStore",
]
