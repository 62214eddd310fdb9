"""What a Task DSL document looks like: its JSON Schema, with errors in words for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from svc_executor.domain.references import escape
from svc_executor.domain.task_dsl import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jsonschema.exceptions import ValidationError

    from soma_providers.port import JsonValue

_TYPES = {
    "object": "an object", "array": "a list", "string": "a text", "number": "a number", "integer": "a whole number",
    "boolean": "true or false", "null": "null",
}  # fmt: skip
_SHOWN = 60
_NUL = "\x00"


class Structure:
    """Checks documents against the published schema."""

    def __init__(self, schema: Mapping[str, JsonValue]) -> None:
        Draft202012Validator.check_schema(schema)
        self._validator = Draft202012Validator(schema)

    def errors(self, document: JsonValue) -> Iterator[PlanError]:
        """Every way in which the document breaks the schema, and every value that could not be stored."""
        for error in self._validator.iter_errors(document):
            yield from _explain(error)
        yield from _unstorable(document, "")


def _explain(error: ValidationError) -> Iterator[PlanError]:
    pointer = "".join(f"/{escape(str(token))}" for token in error.absolute_path)
    keyword = str(error.validator)
    if keyword == "additionalProperties":
        yield from _unknown(pointer, error)
    elif keyword == "required":
        for name in _absent(error):
            yield PlanError(f"{pointer}/{name}", "MISSING_FIELD", f"{name} is required")
    elif keyword == "anyOf":
        yield from _nearest(error, pointer)
    elif keyword in _SENTENCES:
        code, sentence = _SENTENCES[keyword]
        yield PlanError(pointer, code, sentence(error.validator_value, error.instance))
    else:
        yield PlanError(pointer, "INVALID_VALUE", f"{_show(error.instance)} breaks the rule {keyword}")


def _unknown(pointer: str, error: ValidationError) -> Iterator[PlanError]:
    known = sorted(error.schema["properties"]) if isinstance(error.schema, dict) else []
    for name in sorted(set(_keys(error.instance)) - set(known)):
        message = f"{_show(name)} is not a field here; the fields are {', '.join(known)}"
        yield PlanError(f"{pointer}/{escape(name)}", "UNKNOWN_FIELD", message)


def _absent(error: ValidationError) -> list[str]:
    """Required fields that are absent; each absence is an error of its own, all of them name the same ones."""
    wanted = error.validator_value
    return [name for name in wanted if name not in _keys(error.instance)] if isinstance(wanted, list) else []


def _keys(instance: object) -> list[str]:
    return list(instance) if isinstance(instance, dict) else []


def _nearest(error: ValidationError, pointer: str) -> Iterator[PlanError]:
    """The errors of the one alternative that has the right type, else one error for all of them."""
    branches: dict[object, list[ValidationError]] = {}
    for cause in error.context or ():
        branches.setdefault(cause.relative_schema_path[0], []).append(cause)
    fitting = [causes for causes in branches.values() if not any(_is_type_at_root(cause) for cause in causes)]
    if len(fitting) == 1:
        for cause in fitting[0]:
            yield from _explain(cause)
    else:
        yield PlanError(pointer, "WRONG_TYPE", f"{_show(error.instance)} has none of the accepted forms")


def _is_type_at_root(cause: ValidationError) -> bool:
    return cause.validator == "type" and not cause.relative_path


def _type_sentence(wanted: Any, instance: Any) -> str:  # noqa: ANN401 - values of any schema and document
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    return f"{_show(instance)} must be {' or '.join(_TYPES[name] for name in names)}"


_SENTENCES: Mapping[str, tuple[str, Callable[[Any, Any], str]]] = {
    "type": ("WRONG_TYPE", _type_sentence),
    "const": ("UNKNOWN_VALUE", lambda want, got: f"{_show(got)} must be {_show(want)}"),
    "enum": ("UNKNOWN_VALUE", lambda want, got: f"{_show(got)} must be one of {', '.join(map(str, want))}"),
    "pattern": ("BAD_FORMAT", lambda want, got: f"{_show(got)} must match {want}"),
    "minimum": ("OUT_OF_RANGE", lambda want, got: f"{_show(got)} must be at least {want}"),
    "maximum": ("OUT_OF_RANGE", lambda want, got: f"{_show(got)} must be at most {want}"),
    "exclusiveMinimum": ("OUT_OF_RANGE", lambda want, got: f"{_show(got)} must be above {want}; leave it out for none"),
    "minItems": ("TOO_FEW", lambda want, _: f"at least {want} must be given"),
    "maxItems": ("TOO_MANY", lambda want, got: f"{len(got)} are too many, at most {want} may be given"),
    "minLength": ("TOO_SHORT", lambda want, _: f"the text must have at least {want} characters"),
    "maxLength": ("TOO_LONG", lambda want, got: f"the text has {len(got)} characters, at most {want} may be given"),
}


def _unstorable(value: JsonValue, pointer: str) -> Iterator[PlanError]:
    """Numbers and texts that JSON Schema lets pass but that cannot be kept as JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        yield PlanError(pointer, "OUT_OF_RANGE", "the number must be finite")
    elif isinstance(value, str) and _NUL in value:
        yield PlanError(pointer, "BAD_TEXT", "the text must not contain the character U+0000")
    elif isinstance(value, dict):
        for key, item in value.items():
            if _NUL in key:
                yield PlanError(pointer, "BAD_TEXT", "a name must not contain the character U+0000")
            else:
                yield from _unstorable(item, f"{pointer}/{escape(key)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unstorable(item, f"{pointer}/{index}")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
