"""Limits the validation of an update to the fields of the resource that its `update_mask` names."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from google.api import field_behavior_pb2
from google.protobuf import field_mask_pb2

from mesh.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

MASK = "update_mask"
ALL = "*"
_MASK_TYPE = field_mask_pb2.FieldMask.DESCRIPTOR.full_name
_BEHAVIOUR = "google.api.field_behavior"
_UNCHANGEABLE = frozenset({field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IMMUTABLE})
_WELL_KNOWN = "google.protobuf."
_MAX_PATHS = 200


@cache
def resource_of(request: Descriptor) -> str | None:
    """The name of the resource that an update request carries; None for a request without an `update_mask`.

    Raises TypeError for a request whose mask cannot be applied: it must be called `update_mask`, and there must be one
    field of a message type of ours.
    """
    masks = [field.name for field in request.fields if field.message_type and _is_mask(field.message_type)]
    if not masks:
        return None
    resources = [field.name for field in request.fields if field.message_type and _is_resource(field.message_type)]
    if masks != [MASK] or len(resources) != 1:
        raise TypeError(f"{request.full_name} must have one {MASK} and one resource, not {masks} and {resources}")
    return resources[0]


def _is_mask(message: Descriptor) -> bool:
    return message.full_name == _MASK_TYPE


def _is_resource(message: Descriptor) -> bool:
    return not message.full_name.startswith(_WELL_KNOWN)


@cache
def unchangeable_of(request: Descriptor, resource: str) -> frozenset[str]:
    """The fields of the resource that the contract calls IMMUTABLE or OUTPUT_ONLY."""
    message = request.fields_by_name[resource].message_type
    fields = message.fields if message is not None else ()
    return frozenset(field.name for field in fields if _UNCHANGEABLE & set(_behaviour(field)))


def _behaviour(field: FieldDescriptor) -> Iterable[int]:
    return next((values for option, values in field.GetOptions().ListFields() if option.full_name == _BEHAVIOUR), ())


class UpdateMask:
    """The fields of its resource that a request names.

    A mask without paths, and "*", name all that an update can change: not those that the contract calls IMMUTABLE or
    OUTPUT_ONLY.
    """

    def __init__(self, resource: str, paths: Sequence[tuple[str, ...]], unchangeable: frozenset[str]) -> None:
        self._resource = resource
        self._paths = paths
        self._unchangeable = unchangeable

    @classmethod
    def from_request(cls, request: Message) -> UpdateMask | None:
        """The mask of an update request; None for any other. INVALID_ARGUMENT for a path that the resource lacks."""
        resource = resource_of(request.DESCRIPTOR)
        if resource is None:
            return None
        paths: Sequence[str] = getattr(request, MASK).paths
        if len(paths) > _MAX_PATHS:
            raise invalid(MASK, f"must name at most {_MAX_PATHS} fields")
        for path in paths:
            if path == ALL and len(paths) == 1:
                paths = ()
                break
            if not _exists(request.DESCRIPTOR, [resource, *path.split(".")]):  # type: ignore[arg-type] # two kinds, one API
                raise invalid(MASK, f"{path[:100]!r} is no field of {resource!r}")
        named = [tuple(path.split(".")) for path in paths]
        return cls(resource, named, unchangeable_of(request.DESCRIPTOR, resource))

    def covers(self, path: Sequence[str]) -> bool:
        """Whether a rule at this path of the request holds: outside of the resource, or on what the mask names."""
        if not path or path[0] != self._resource or len(path) == 1:
            return True
        inside = tuple(path[1:])
        if not self._paths:
            return inside[0] not in self._unchangeable
        return any(named[: len(inside)] == inside[: len(named)] for named in self._paths)


def _exists(message: Descriptor, names: Sequence[str]) -> bool:
    field = message.fields_by_name.get(names[0])
    if field is None or len(names) == 1:
        return field is not None
    return field.message_type is not None and not field.is_repeated and _exists(field.message_type, names[1:])
