"""Reading a request body: bounded in size and time, strict JSON, strict model.

The body never reaches the framework's own parser, which keeps the last of duplicate members and lets NaN
through.
"""

import asyncio
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from agency_adapter.api.faults import Faulty, body_faults
from schemas.errors import ErrorCode, Refused
from trust.ijson import dump, parse

BODY_TIMEOUT_SECONDS = 30.0

Model = TypeVar("Model", bound=BaseModel)


class Body(Generic[Model]):
    """A dependency that reads the request's body as ``model``.

    Args:
        model: frozen, unknown members forbidden.
        largest: bytes of the document at most, written compactly; judged before its members, so that what is too
            large as a whole is told so, and not that one member of it has a limit of its own.
    """

    def __init__(self, model: type[Model], largest: int | None = None) -> None:
        self.model = model
        self.largest = largest

    async def __call__(self, request: Request) -> Model:
        """The body.

        Raises:
            Refused: ``media_type_wrong``, ``body_too_large``, ``request_timeout``, ``payload_too_large``, or what
                :func:`trust.ijson.parse` finds.
            Faulty: what is wrong with its members.
        """
        _require_json(request)
        limit: int = request.app.state.largest_body
        raw = await _read(request, limit)
        document = parse(raw, max_bytes=limit)
        if self.largest is not None and len(raw) > self.largest and (size := len(dump(document))) > self.largest:
            raise Refused(ErrorCode.PAYLOAD_TOO_LARGE, size=size, limit=self.largest)
        try:
            # From JSON, not from the parsed object: only so do dates and codes pass strict models.
            return self.model.model_validate_json(raw)
        except ValidationError as error:
            raise Faulty(body_faults(error.errors(include_url=False, include_input=False))) from None


def _require_json(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if (
        media_type.strip().lower() != "application/json"
        or charset not in {"", "charset=utf-8"}
        or request.headers.get("content-encoding", "identity").lower() != "identity"
    ):
        raise Refused(ErrorCode.MEDIA_TYPE_WRONG)


async def _read(request: Request, limit: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise Refused(ErrorCode.BODY_TOO_LARGE, size=announced[:20], limit=limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise Refused(ErrorCode.BODY_TOO_LARGE, size=f"> {limit}", limit=limit)
                parts.append(part)
    except TimeoutError:
        raise Refused(ErrorCode.REQUEST_TIMEOUT, seconds=int(BODY_TIMEOUT_SECONDS)) from None
    return b"".join(parts)
