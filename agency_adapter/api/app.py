"""Putting the local REST API together."""

from collections.abc import Callable

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agency_adapter.api import arrivals, letters, lookups, operation
from agency_adapter.api.boundary import Boundary
from agency_adapter.api.documentation import DocumentedApi
from agency_adapter.api.faults import Faulty, parameter_faults, shown
from agency_adapter.api.problems import problem_response
from agency_adapter.correspondence import Correspondence
from agency_adapter.readiness import Readiness
from schemas.errors import ErrorCode, Refused

_DESCRIPTION = (
    "Letters of one agency, out and in. Every `/v1` route takes `Authorization: Bearer <token>`; "
    "`/healthz`, `/readyz`, `/metrics` and `/openapi.json` take none. "
    "Times are RFC 3339 in Kuwait's time. "
    "Every refusal is a problem document (RFC 9457) in English and Arabic."
)


def create_app(
    correspondence: Correspondence,
    *,
    token: str,
    readiness: Callable[[], Readiness],
    metrics: Callable[[], tuple[bytes, str]],
    largest_body: int,
    version: str,
) -> FastAPI:
    """The ASGI application.

    Args:
        correspondence: the adapter.
        token: the bearer token of ``/v1``.
        readiness: what is there and what is missing, now.
        metrics: the Prometheus exposition, and its media type.
        largest_body: bytes of a request body at most.
        version: of the release.

    Raises:
        Refused: ``api_token_unusable``.
    """
    app = DocumentedApi(
        title="Tarasul agency adapter",
        description=_DESCRIPTION,
        version=version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.correspondence = correspondence
    app.state.readiness = readiness
    app.state.metrics = metrics
    app.state.largest_body = largest_body
    for router in (letters.router, arrivals.router, lookups.router, operation.router):
        app.include_router(router)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Faulty, _faulty)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unroutable)
    Boundary(app, token)  # refuses an unusable token now, not at the first request
    app.add_middleware(Boundary, token=token)
    return app


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Refused):
        raise error
    return problem_response(error)


async def _faulty(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Faulty):
        raise error
    return problem_response(*error.refusals)


async def _invalid(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return problem_response(*parameter_faults(error.errors()))


async def _unroutable(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405:  # noqa: PLR2004 - HTTP
        refusal = Refused(ErrorCode.METHOD_NOT_ALLOWED, method=shown(request.method))
    elif error.status_code == 404:  # noqa: PLR2004 - HTTP
        refusal = Refused(ErrorCode.NOT_FOUND, path=shown(request.url.path))
    else:
        refusal = Refused(ErrorCode.REQUEST_MALFORMED)
    return problem_response(refusal, headers=error.headers)
