"""The methods of the contracts whose request has an id that makes the call idempotent."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import soma

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.descriptor import MethodDescriptor


@cache
def methods_with_request_id() -> Sequence[MethodDescriptor]:
    """All of them, in the order of their names."""
    found = []
    root = Path(next(iter(soma.__path__)))
    for path in sorted(root.rglob("*_pb2.py")):
        module = import_module("soma." + ".".join(path.relative_to(root).with_suffix("").parts))
        for service in module.DESCRIPTOR.services_by_name.values():
            found += [method for method in service.methods if "request_id" in method.input_type.fields_by_name]
    return sorted(found, key=lambda method: method.full_name)
