"""Rego policy: evaluated in this process, or by a central OPA, with the same answers."""

from __future__ import annotations

from mesh.policy.authorization import RegoAuthorizer
from mesh.policy.bundle import Bundle
from mesh.policy.central import CentralOpa
from mesh.policy.embedded import EmbeddedRego
from mesh.policy.evaluator import Evaluator, PolicyUnavailable
from mesh.policy.policy import Policy

__all__ = ["Bundle", "CentralOpa", "EmbeddedRego", "Evaluator", "Policy", "PolicyUnavailable", "RegoAuthorizer"]
