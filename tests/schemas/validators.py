"""The independent judge of the published schemas: the package jsonschema, without network."""

from typing import Any

import jsonschema


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """A validator of ``schema``, which must itself be valid JSON Schema 2020-12."""
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
