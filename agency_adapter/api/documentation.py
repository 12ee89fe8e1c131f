"""The OpenAPI document: what FastAPI derives, and what only we know (strict bodies, problems, the token)."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from agency_adapter.api.boundary import GUARDED
from agency_adapter.api.problems import MEDIA_TYPE, TITLES, Problem
from agency_adapter.api.requests import RegistrationRequest, ReturnRequest
from schemas.envelope import LetterRequest
from schemas.errors import CATALOGUE, ErrorCode

REFERENCE = "#/components/schemas/{model}"

COMMON = (ErrorCode.UNAUTHORISED, ErrorCode.INTERNAL)

OF_BODY = (
    ErrorCode.JSON_MALFORMED,
    ErrorCode.PAYLOAD_NOT_OBJECT,
    ErrorCode.PAYLOAD_MEMBER_DUPLICATE,
    ErrorCode.PAYLOAD_TOO_DEEP,
    ErrorCode.NUMBER_NOT_FINITE,
    ErrorCode.NUMBER_NOT_INTEGER,
    ErrorCode.NUMBER_OUT_OF_RANGE,
    ErrorCode.SURROGATE_LONE,
    ErrorCode.TEXT_NOT_NFC,
    ErrorCode.TEXT_FORBIDDEN_CHARACTER,
    ErrorCode.MEDIA_TYPE_WRONG,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.REQUEST_TIMEOUT,
    ErrorCode.UNKNOWN_MEMBER,
    ErrorCode.MEMBER_MISSING,
    ErrorCode.VALUE_WRONG_TYPE,
    ErrorCode.VALUE_OUT_OF_RANGE,
    ErrorCode.VALUE_NOT_LISTED,
    ErrorCode.SCHEMA_INVALID,
)
"""What any route with a body may answer."""

OF_STORE = (ErrorCode.STORAGE_FULL, ErrorCode.STORE_UNAVAILABLE)


def refusals(*codes: ErrorCode, token: bool = True) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may answer with ``codes``."""
    by_status: dict[int, list[ErrorCode]] = {}
    for code in (*codes, *(COMMON if token else (ErrorCode.INTERNAL,))):
        by_status.setdefault(CATALOGUE[code].status, []).append(code)
    return {
        status: {
            "description": _description(status, found),
            "content": {MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(model=Problem.__name__)}}},
        }
        for status, found in sorted(by_status.items())
    }


def answer(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` entry of a route that answers with something else than JSON."""
    return {200: {"description": description, "content": {media_type: {"schema": {"type": "string"}}}}}


def body(model: type[BaseModel]) -> dict[str, Any]:
    """The ``openapi_extra`` of a route whose body is read by :class:`agency_adapter.api.bodies.Body`."""
    schema = {"$ref": REFERENCE.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add to FastAPI's ``document`` the models of bodies and problems, and the token."""
    components = document.setdefault("components", {})
    models = components.setdefault("schemas", {})
    for model in (Problem, LetterRequest, RegistrationRequest, ReturnRequest):
        schema = model.model_json_schema(ref_template=REFERENCE)
        models.update(schema.pop("$defs", {}))
        models[model.__name__] = schema
    models.pop("HTTPValidationError", None)
    models.pop("ValidationError", None)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith(GUARDED):
                operation["security"] = [{"token": []}]
            # FastAPI's own 422 where we name none: there is nothing in these routes that it could refuse.
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
    return document


class DocumentedApi(FastAPI):
    """FastAPI, with the whole truth in its OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = complete(super().openapi())
        return self.openapi_schema


def _description(status: int, codes: Sequence[ErrorCode]) -> str:
    title, title_ar = TITLES[status]
    return f"{title} / {title_ar}: " + ", ".join(f"`{code}`" for code in dict.fromkeys(codes))
