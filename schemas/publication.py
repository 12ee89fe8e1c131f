"""The published documents: JSON Schema 2020-12 of everything that is said, and AsyncAPI 3 of how it travels.

    python -m schemas.publication

writes them to ``schemas/generated/``, where they are checked in; a test fails when they have drifted from the
models.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.asyncapi import asyncapi_document
from schemas.directory import DirectoryPayload
from schemas.letter import Letter
from schemas.letter_request import LetterRequest
from schemas.receipts import Receipt, ReceiptEvent
from schemas.statements import DeadLetterStatement
from schemas.type_registry import all_types

FOLDER = Path(__file__).parent / "generated"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def documents() -> dict[str, dict[str, Any]]:
    """Every published document, by file name."""
    found = {
        "letter.schema.json": _letter(),
        "letter-request.schema.json": _schema("letter-request", LetterRequest),
        "receipt.schema.json": _receipt(),
        "directory.schema.json": _schema("directory", DirectoryPayload),
        "dead-letter-statement.schema.json": _schema("dead-letter-statement", DeadLetterStatement),
        "asyncapi.json": asyncapi_document(),
    }
    for kind in all_types().values():
        name = kind.name.replace("/", "-")
        schema = _schema(f"fields:{kind.name.replace('/', ':')}", kind.fields)
        schema["title"] = f"Fields of {kind.name}: {kind.en}, {kind.ar}"
        found[f"fields.{name}.schema.json"] = schema
    return found


def written(document: Mapping[str, Any]) -> str:
    """A document as it stands in its file."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def write(folder: Path = FOLDER) -> Iterator[Path]:
    """Write every document into ``folder``; gives the paths written."""
    folder.mkdir(exist_ok=True)
    for name, document in documents().items():
        path = folder / name
        path.write_text(written(document), encoding="utf-8")
        yield path


def _schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    return {"$schema": DIALECT, "$id": f"urn:x-tarasul:schema:{name}", **_models([model])}


def _models(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """Schema of the first model, with all of them among its definitions."""
    references, schema = models_json_schema([(model, "validation") for model in models])
    definitions: dict[str, Any] = schema["$defs"]
    first = definitions.pop(references[models[0], "validation"]["$ref"].removeprefix("#/$defs/"))
    return {**first, **({"$defs": definitions} if definitions else {})}


def _letter() -> dict[str, Any]:
    kinds = list(all_types().values())
    schema = {
        "$schema": DIALECT,
        "$id": "urn:x-tarasul:schema:letter",
        **_models([Letter, *(kind.fields for kind in kinds)]),
    }
    schema["oneOf"] = [
        {"required": ["content"], "properties": {"content": {"type": "object"}}},
        {"required": ["encrypted"], "properties": {"encrypted": {"type": "object"}}},
    ]
    schema["allOf"] = [
        {
            "if": {
                "properties": {"type": {"const": kind.name}, "content": {"type": "object"}},
                "required": ["type", "content"],
            },
            "then": {
                "properties": {"content": {"properties": {"fields": {"$ref": f"#/$defs/{kind.fields.__name__}"}}}}
            },
        }
        for kind in kinds
    ]
    return schema


def _receipt() -> dict[str, Any]:
    schema = _schema("receipt", Receipt)
    schema["properties"]["events"] |= {
        "minProperties": 1,
        "maxProperties": 1,
        "propertyNames": {"enum": [event.uri for event in ReceiptEvent]},
    }
    return schema


if __name__ == "__main__":
    for path in write():
        sys.stdout.write(f"{path}\n")
