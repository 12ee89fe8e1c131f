"""Refusals as problem documents (RFC 9457), in English and Arabic.

``type`` is ``urn:x-tarasul:error:<code>``; ``code`` is stable and is what a program looks at. Detail and next
step come from the catalogue in :mod:`schemas.errors`, so the API, the command line and ``docs/errors.md`` say
the same.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from schemas.errors import CATALOGUE, ErrorCode, Refused

MEDIA_TYPE = "application/problem+json"
MOST_FAULTS = 20
RETRY_AFTER_SECONDS = 30

TITLES: Mapping[int, tuple[str, str]] = {
    400: ("Malformed request", "طلب غير سليم"),
    401: ("Authentication required", "يلزم إثبات الهوية"),
    403: ("Not allowed", "غير مسموح"),
    404: ("Not found", "غير موجود"),
    405: ("Method not allowed", "الطريقة غير مسموحة"),
    408: ("Request not completed in time", "لم يكتمل الطلب في وقته"),
    409: ("Conflict with the present state", "تعارض مع الحالة الراهنة"),
    413: ("Too large", "الحجم أكبر من المسموح"),
    415: ("Unsupported media type", "نوع محتوى غير مدعوم"),
    422: ("Request refused", "الطلب مرفوض"),
    500: ("Internal error", "خطأ داخلي"),
    502: ("Unusable answer from another server", "جواب غير صالح من خادم آخر"),
    503: ("Not available now", "الخدمة غير متاحة الآن"),
}
"""Short titles by HTTP status, English and Arabic."""


class Fault(BaseModel):
    """One of several things that are wrong with a request."""

    model_config = ConfigDict(frozen=True)

    code: str
    pointer: str | None = None
    detail: str
    detail_ar: str


class Problem(BaseModel):
    """Why a request was not carried out. Nothing of it has been stored."""

    model_config = ConfigDict(frozen=True)

    type: Annotated[str, Field(description="urn:x-tarasul:error:<code>")]
    title: str
    title_ar: str
    status: int
    detail: str
    detail_ar: str
    code: Annotated[str, Field(description="Stable; see docs/errors.md.")]
    next_step: str
    next_step_ar: str
    pointer: Annotated[str | None, Field(description="JSON Pointer (RFC 6901) into the request body.")] = None
    errors: Annotated[
        tuple[Fault, ...] | None,
        Field(description="All faults, when there are several.", max_length=MOST_FAULTS),
    ] = None
    incident: Annotated[str | None, Field(description="Under this id the cause stands in the log.")] = None


def problem(refusals: Sequence[Refused], *, incident: str | None = None) -> Problem:
    """The document for ``refusals``; the first is the one that counts."""
    first = refusals[0]
    status = CATALOGUE[first.code].status
    title, title_ar = TITLES[status]
    return Problem(
        type=f"urn:x-tarasul:error:{first.code}",
        title=title,
        title_ar=title_ar,
        status=status,
        detail=first.text("en"),
        detail_ar=first.text("ar"),
        code=first.code,
        next_step=first.next_step("en"),
        next_step_ar=first.next_step("ar"),
        pointer=first.pointer,
        errors=tuple(
            Fault(code=each.code, pointer=each.pointer, detail=each.text("en"), detail_ar=each.text("ar"))
            for each in refusals[:MOST_FAULTS]
        )
        if len(refusals) > 1
        else None,
        incident=incident,
    )


def problem_response(
    *refusals: Refused,
    headers: Mapping[str, str] | None = None,
    incident: str | None = None,
    also: Mapping[str, Any] | None = None,
) -> Response:
    """``refusals`` as an HTTP answer; ``also`` are further members of the document."""
    document = problem(refusals, incident=incident)
    extra = dict(headers or {})
    if document.status == 503:  # noqa: PLR2004 - HTTP
        extra.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    content = document.model_dump(mode="json", exclude_none=True) | dict(also or {})
    return Response(
        json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(),
        status_code=document.status,
        headers=extra,
        media_type=MEDIA_TYPE,
    )


def internal_error(incident: str) -> Response:
    """The answer to an unexpected failure, whose cause stands in the log alone, under ``incident``."""
    return problem_response(Refused(ErrorCode.INTERNAL, incident=incident), incident=incident)
