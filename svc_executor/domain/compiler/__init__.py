"""Compiling a Task DSL document: a plan in topological order with its layers, or every error at once."""

from __future__ import annotations

from svc_executor.domain.compiler.compiler import Compiler, PlanRefusedError, pointer_order

__all__ = ["Compiler", "PlanRefusedError", "pointer_order"]
