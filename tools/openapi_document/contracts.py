"""Descriptors as the generator needs them: with their options, comments and rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

    Options = Sequence[tuple[descriptor.FieldDescriptor, Any]]

OURS = "soma."
# Places of declarations in a file (descriptor.proto).
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _NESTED, _NESTED_ENUM, _VALUE, _METHOD = 2, 3, 4, 2, 2


class Contracts:
    """A descriptor set with source text."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        self._comments: dict[str, str] = {}
        for file in files.file:
            self._pool.Add(file)
            self._read_comments(file)
        self._files = [file.name for file in files.file if file.package.startswith(OURS)]

    def services(self) -> Iterator[descriptor.ServiceDescriptor]:
        """The mesh's services, in the order of the set."""
        for name in self._files:
            yield from self._pool.FindFileByName(name).services_by_name.values()

    def packages(self) -> list[str]:
        """The mesh's protobuf packages, ordered by name."""
        return sorted({str(self._pool.FindFileByName(name).package) for name in self._files})

    def comment(self, full_name: str) -> str:
        """The comment above a declaration, as one paragraph."""
        return self._comments.get(full_name, "")

    def option(self, described: descriptor.DescriptorBase, extension: str) -> Message | None:
        """A message-typed option by its full name; None when it is not set."""
        return next((value for field, value in self._options(described) if field.full_name == extension), None)

    def behaviors(self, field: descriptor.FieldDescriptor) -> set[str]:
        """Names of the `google.api.field_behavior` values of a field."""
        names = self._pool.FindEnumTypeByName("google.api.FieldBehavior").values_by_number
        found = (value for option, value in self._options(field) if option.full_name == "google.api.field_behavior")
        return {names[number].name for values in found for number in values}

    def _options(self, described: descriptor.DescriptorBase) -> Options:
        """The options that are set, extensions included."""
        plain = described.GetOptions()
        kind = message_factory.GetMessageClass(self._pool.FindMessageTypeByName(plain.DESCRIPTOR.full_name))
        return kind.FromString(plain.SerializeToString()).ListFields()

    def _read_comments(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        texts = {
            tuple(place.path): " ".join(place.leading_comments.split())
            for place in file.source_code_info.location
            if place.leading_comments
        }
        for path, name in _declarations(file):
            if path in texts:
                self._comments[name] = texts[path]


def _declarations(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, message in enumerate(file.message_type):
        yield from _of_message(message, (_MESSAGE, index), file.package)
    for index, enum in enumerate(file.enum_type):
        yield from _of_enum(enum, (_ENUM, index), file.package)
    for index, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield (_SERVICE, index), name
        for number, method in enumerate(service.method):
            yield (_SERVICE, index, _METHOD, number), f"{name}.{method.name}"


def _of_message(
    message: descriptor_pb2.DescriptorProto, path: tuple[int, ...], scope: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{scope}.{message.name}"
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, _FIELD, index), f"{name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _of_message(nested, (*path, _NESTED, index), name)
    for index, enum in enumerate(message.enum_type):
        yield from _of_enum(enum, (*path, _NESTED_ENUM, index), name)


def _of_enum(
    enum: descriptor_pb2.EnumDescriptorProto, path: tuple[int, ...], scope: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, f"{scope}.{enum.name}"
    for index, value in enumerate(enum.value):
        yield (*path, _VALUE, index), f"{scope}.{enum.name}.{value.name}"
