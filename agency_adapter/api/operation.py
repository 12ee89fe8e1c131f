"""For whoever watches the machine: is it alive, can it work, how is it doing. No token, no content."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from agency_adapter.api.answers import Dependency, Live, Ready
from agency_adapter.api.documentation import answer, refusals
from agency_adapter.api.problems import problem_response
from agency_adapter.readiness import Check, Readiness
from schemas.errors import ErrorCode, Refused

router = APIRouter(tags=["operation"])


@router.get("/healthz", summary="The process answers")
async def alive(request: Request) -> Live:
    return Live(version=request.app.version)


@router.get(
    "/readyz",
    summary="Everything it needs is there",
    response_model=Ready,
    responses=refusals(ErrorCode.NOT_READY, token=False),
)
async def ready(request: Request) -> Response:
    """503 names each missing dependency in `checks`, with its reason."""
    readiness: Callable[[], Readiness] = request.app.state.readiness
    found = readiness()
    state = Ready(ready=found.ready, version=request.app.version, checks=tuple(map(_dependency, found.checks)))
    if found.ready:
        return Response(state.model_dump_json(), media_type="application/json")
    missing = ", ".join(check.name for check in found.checks if not check.ok)
    return problem_response(Refused(ErrorCode.NOT_READY, reason=missing), also=state.model_dump(mode="json"))


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses=answer("text/plain", "Text exposition") | refusals(token=False),
)
async def metrics(request: Request) -> Response:
    exposition: Callable[[], tuple[bytes, str]] = request.app.state.metrics
    content, media_type = exposition()
    return Response(content, headers={"Content-Type": media_type})


def _dependency(check: Check) -> Dependency:
    cause = None if check.code is None else Refused(check.code)
    return Dependency(
        name=check.name,
        ok=check.ok,
        code=check.code,
        detail=check.detail,
        text=cause.text("en") if cause else None,
        text_ar=cause.text("ar") if cause else None,
    )
