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
from schemas.incidents import IncidentNotice
from schemas.letter import Letter
from schemas.letter_request import LetterRequest
from schemas.letter_type import LetterType
from schemas.receipts import Receipt, ReceiptEvent, required_detail
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
        "incident-notice.schema.json": _schema("incident-notice", IncidentNotice),
        "asyncapi.json": asyncapi_document(),
    }
    for kind in all_types().values():
        name = kind.name.replace("/", "-")
        schema = _schema(f"fields:{kind.name.replace('/', ':')}", kind.fields)
        schema["title"] = f"Fields of {kind.name}: {kind.en}, {kind.ar}"
        found[f"fields.{name}.schema.json"] = schema
    return found


def written(document: Mapping[str, Any]) -> str:
    """A document as it stands in its file; what does not print (in patterns) is escaped."""
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def write(folder: Path = FOLDER) -> Iterator[Path]:
    """Write every document into ``folder``; gives the paths written."""
    folder.mkdir(exist_ok=True)
    for name, document in documents().items():
        path = folder / name
        path.write_text(written(document), encoding="utf-8")
        yield path


def _schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    schema, _ = _models([model])
    return {"$schema": DIALECT, "$id": f"urn:x-tarasul:schema:{name}", **schema}


def _models(models: Sequence[type[BaseModel]]) -> tuple[dict[str, Any], list[str]]:
    """Schema of the first model, with all of them among its definitions, and the references to the others."""
    references, schema = models_json_schema([(model, "validation") for model in models])
    definitions: dict[str, Any] = schema["$defs"]
    own, *others = (references[model, "validation"]["$ref"] for model in models)
    first = definitions.pop(own.removeprefix("#/$defs/"))
    return {**first, **({"$defs": definitions} if definitions else {})}, others


def _letter() -> dict[str, Any]:
    kinds = list(all_types().values())
    letter, fields = _models([Letter, *(kind.fields for kind in kinds)])
    schema = {"$schema": DIALECT, "$id": "urn:x-tarasul:schema:letter", **letter}
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
            "then": {"properties": {"content": _with_fields(kind, reference)}},
        }
        for kind, reference in zip(kinds, fields, strict=True)
    ]
    return schema


def _with_fields(kind: LetterType, reference: str) -> dict[str, Any]:
    needed = any(field.is_required() for field in kind.fields.model_fields.values())
    return {"properties": {"fields": {"$ref": reference}}, **({"required": ["fields"]} if needed else {})}


def _receipt() -> dict[str, Any]:
    schema = _schema("receipt", Receipt)
    details = {"$ref": "#/$defs/EventDetails"}
    schema["properties"]["events"] |= {
        "properties": {
            event.uri: details
            if needed is None
            else {"allOf": [details], "required": [needed], "properties": {needed: {"type": "string"}}}
            for event, needed in ((event, required_detail(event)) for event in ReceiptEvent)
        },
        "additionalProperties": False,
    }
    return schema


if __name__ == "__main__":
    for path in write():
        sys.stdout.write(f"{path}\n")
