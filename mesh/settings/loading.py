"""Reads a settings model from the environment, and lists the variables that it reads."""

from __future__ import annotations

import json
import os
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from mesh.settings.renamed import renamed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

B = TypeVar("B", bound=BaseModel)
PREFIX = "SA01"
_CONTAINERS = (tuple, list, set, frozenset, dict)


@dataclass(frozen=True)
class Env:
    """Annotation of a field that is also read from a variable with a name of its own."""

    name: str


@dataclass(frozen=True)
class EnvEach:
    """Annotation of a mapping that has a variable for each key: `SA01_<BLOCK>_<KEY>`. `key` says what a key names."""

    key: str


@dataclass(frozen=True)
class Variable:
    """One setting as an operator sees it. `names` are the variables that set it, the strongest first.

    Where `each` is true they end with `<KEY>`, which stands for any key of a mapping.
    """

    path: tuple[str, ...]
    names: tuple[str, ...]
    description: str
    required: bool
    secret: bool
    default: str
    container: bool
    each: bool = False


class SettingsError(Exception):
    """The environment does not make valid settings; names the variables, never their values."""


def load(cls: type[B], context: str, environ: Mapping[str, str] = os.environ) -> B:
    """Build `cls` for a context: `SA01_<CONTEXT>_<BLOCK>_<FIELD>` wins over `SA01_<BLOCK>_<FIELD>`.

    A variable that is set to nothing counts as unset. Sequences and mappings are written as JSON, or as
    comma-separated text. Raises SettingsError with every problem at once, and for a variable that has
    another name now.
    """
    values: dict[str, object] = {}
    if old := renamed((name for name, value in environ.items() if value), context):
        raise SettingsError("; ".join(f"{name} is called {new} now" for name, new in sorted(old.items())))
    known = list(variables(cls, context))
    for variable in known:
        if variable.each:
            for key, value in _each(variable, environ).items():
                _put(values, (*variable.path, key), value)
            continue
        raw = next((environ[name] for name in variable.names if environ.get(name)), None)
        if raw is not None:
            _put(values, variable.path, _parse(raw) if variable.container else raw)
    _fill_blocks(cls, values)
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, known, context)) from None


def variables(cls: type[BaseModel], context: str) -> Iterator[Variable]:
    """Every variable that `load(cls, context)` reads, in the order of the model."""
    yield from _walk(cls, context, ())


def _walk(cls: type[BaseModel], context: str, path: tuple[str, ...]) -> Iterator[Variable]:
    for name, info in cls.model_fields.items():
        here = (*path, name)
        block = _block(info.annotation)
        if block is not None:
            yield from _walk(block, context, here)
            continue
        plain = "_".join((PREFIX, *here)).upper()
        own = "_".join((PREFIX, context, *here)).upper()
        also = tuple(mark.name for mark in info.metadata if isinstance(mark, Env))
        key = next((mark.key for mark in info.metadata if isinstance(mark, EnvEach)), "")
        ending = f"_<{key.upper()}>" if key else ""
        yield Variable(
            path=here,
            names=(own + ending, plain + ending, *also),
            description=info.description or "",
            required=info.is_required(),
            secret=_mentions(info.annotation, SecretStr),
            default="" if info.is_required() else _text(info),
            container=any(_mentions(info.annotation, kind) for kind in _CONTAINERS),
            each=bool(key),
        )


def _each(variable: Variable, environ: Mapping[str, str]) -> dict[str, str]:
    """The values of a mapping by key, in lower case; a variable that is set to nothing gives none."""
    found: dict[str, str] = {}
    for name in reversed(variable.names):
        prefix = name.partition("<")[0]
        found |= {
            key.removeprefix(prefix).lower(): raw for key, raw in environ.items() if raw and key.startswith(prefix)
        }
    return found


def _text(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=True, validated_data={})
    return "" if value is None else str(value)


def _block(annotation: object) -> type[BaseModel] | None:
    """The model of a field that is a block, also of an optional one."""
    for kind in (annotation, *_alternatives(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _alternatives(annotation: object) -> tuple[object, ...]:
    return get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else ()


def _mentions(annotation: object, kind: type) -> bool:
    return any(part is kind or get_origin(part) is kind for part in (annotation, *_alternatives(annotation)))


def _parse(raw: str) -> object:
    if raw.lstrip().startswith(("[", "{")):
        try:
            return json.loads(raw)
        except ValueError:
            return raw
    return [part.strip() for part in raw.split(",") if part.strip()]


def _put(values: dict[str, object], path: tuple[str, ...], value: object) -> None:
    for part in path[:-1]:
        child = values.setdefault(part, {})
        if not isinstance(child, dict):
            raise TypeError(f"settings field {part!r} is both a block and a value")
        values = child
    values[path[-1]] = value


def _fill_blocks(cls: type[BaseModel], values: dict[str, object]) -> None:
    """Give required blocks an empty input, so that what is missing is named variable by variable."""
    for name, info in cls.model_fields.items():
        block = _block(info.annotation)
        if block is None or (name not in values and not info.is_required()):
            continue
        child = values.setdefault(name, {})
        if isinstance(child, dict):
            _fill_blocks(block, child)


def _explain(error: ValidationError, known: list[Variable], context: str) -> str:
    lines = [f"invalid settings for {context!r}:"]
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        path = tuple(str(part) for part in problem["loc"])
        variable = next((v for v in known if path[: len(v.path)] == v.path), None)
        where = " or ".join(_names(variable, path)) if variable else "_".join((PREFIX, *path, "*")).upper()
        meaning = f" ({variable.description})" if variable and variable.description else ""
        lines.append(f"  {where}: {problem['msg']}{meaning}")
    return "\n".join(lines)


def _names(variable: Variable, path: tuple[str, ...]) -> Iterator[str]:
    """The variables of a problem at a path, which names the key of a mapping."""
    for name in variable.names:
        yield name.partition("<")[0] + path[len(variable.path)].upper() if variable.each else name
