"""Use cases of the critic."""

from svc_critic.app.erasure import EraseQuotes
from svc_critic.app.evaluate import Evaluate, EvaluationRequest
from svc_critic.app.evaluators import Evaluators
from svc_critic.app.rubrics import RubricUseCases
from svc_critic.app.slots import EvaluationSlots

__all__ = ["EraseQuotes", "Evaluate", "EvaluationRequest", "EvaluationSlots", "Evaluators", "RubricUseCases"]
