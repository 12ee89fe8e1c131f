"""The outermost layer of the API: who may ask, and what happens when something unforeseen does.

Plain ASGI, so that it sees a request before anything of it is read: without the token not one byte of a body
is taken.
"""

import hmac
import secrets

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agency_adapter.api.problems import internal_error, problem_response
from broker.logs import places
from schemas.errors import ErrorCode, Refused

GUARDED = "/v1"
SHORTEST_TOKEN = 16

_log = structlog.get_logger("api")


class Boundary:
    """Checks the bearer token (RFC 6750) on everything under ``/v1``, and turns a failure into an incident.

    The other paths (``/healthz``, ``/readyz``, ``/metrics``, ``/openapi.json``) need no token: they carry
    counts and states, no letters, and whoever watches a machine should not hold the key to its
    correspondence.

    Args:
        app: what lies inside.
        token: the secret; at least :data:`SHORTEST_TOKEN` characters.

    Raises:
        Refused: ``api_token_unusable`` when the token is too short or not visible ASCII.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise Refused(ErrorCode.API_TOKEN_UNUSABLE, least=SHORTEST_TOKEN)
        self._app = app
        self._token = token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = scope["path"] == GUARDED or scope["path"].startswith(GUARDED + "/")
        if guarded and not self._knows_token(scope):
            await _ask_for_token(scope, receive, send)
            return
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if guarded:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        try:
            await self._app(scope, receive, note_start)
        except ClientDisconnect:
            _log.info("client_left", method=scope["method"])
        except Exception as error:  # noqa: BLE001 - the last line: whatever it is, the client gets a problem
            incident = secrets.token_hex(8)
            _log.error("request_failed", incident=incident, error=type(error).__name__, where=places(error))
            if not started:
                await internal_error(incident)(scope, receive, send)

    def _knows_token(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        kind, _, credentials = given[0].partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(credentials.strip(), self._token)


async def _ask_for_token(scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(Refused(ErrorCode.UNAUTHORISED), headers={"WWW-Authenticate": 'Bearer realm="tarasul"'})
    await response(scope, receive, send)
