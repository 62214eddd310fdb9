"""Use cases of the critic."""

from svc_critic.app.evaluate import Evaluate, Order
from svc_critic.app.evaluators import Evaluators
from svc_critic.app.rubrics import RubricBook
from svc_critic.app.slots import EvaluationSlots

__all__ = ["Evaluate", "EvaluationSlots", "Evaluators", "Order", "RubricBook"]
