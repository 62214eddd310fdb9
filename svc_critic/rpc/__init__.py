"""gRPC services of the critic."""

from svc_critic.rpc.critic_service import CriticServicer
from svc_critic.rpc.rubric_service import RubricServicer

__all__ = ["CriticServicer", "RubricServicer"]
