"""The independent judge of the published schemas: the package jsonschema, without network."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
from jsonschema.validators import extend


def _pattern(_judge: Any, pattern: str, instance: object, _schema: object) -> Iterator[jsonschema.ValidationError]:
    # Patterns are ECMA-262, where $ is the very end; Python's $ also stands before a last line feed.
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


_Judge = extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


def validator(schema: dict[str, Any]) -> jsonschema.protocols.Validator:
    """A validator of ``schema``, which must itself be valid JSON Schema 2020-12."""
    jsonschema.Draft202012Validator.check_schema(schema)
    return _Judge(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
