"""A client of the broker's management interface: the standard library, bounded, one connection kept open.

Only the authority's topology commands and tests use it. The password comes from a file and never stands on a
command line, in a log or in an error.
"""

import base64
import http.client
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

from broker.versions import BrokerVersion
from schemas.errors import ErrorCode, Refused

LARGEST_ANSWER = 64 * 1024 * 1024
SECONDS = 20.0
NOT_FOUND = 404
REFUSED_FROM = 400


@dataclass(frozen=True, slots=True)
class Credentials:
    """A management account."""

    user: str
    password: str = field(repr=False)

    @classmethod
    def read(cls, file: Path) -> Self:
        """From a JSON file with ``user`` and ``password``.

        Raises:
            Refused: ``settings_invalid``.
        """
        try:
            content = json.loads(file.read_text("utf-8"))
            return cls(str(content["user"]), str(content["password"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise Refused(ErrorCode.SETTINGS_INVALID, path=str(file), problem=problem) from error


def path(*parts: str) -> str:
    """``path("queues", "tarasul", "inbox.MPW.urgent")``: every part quoted."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


class Management:
    """One management interface. Not for use by several threads at once.

    Args:
        url: ``http://127.0.0.1:15672`` or ``https://…``; plain HTTP only to loopback.
        credentials: the account.
        authority: PEM file to which an HTTPS certificate must chain; None trusts the system's authorities.
        seconds: limit for each request.

    Raises:
        Refused: ``settings_invalid`` for an address that is neither HTTPS nor loopback.
    """

    def __init__(
        self, url: str, credentials: Credentials, *, authority: Path | None = None, seconds: float = SECONDS
    ) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        loopback = host in {"127.0.0.1", "::1", "localhost"}
        if parts.scheme not in {"http", "https"} or not host or (parts.scheme == "http" and not loopback):
            raise Refused(
                ErrorCode.SETTINGS_INVALID,
                path=url,
                problem_ar="يلزم HTTPS ما لم يكن العنوان محلياً",
                problem="HTTPS is needed unless the host is loopback",
            )
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=authority)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            self._connection = http.client.HTTPSConnection(host, parts.port or 15671, timeout=seconds, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, parts.port or 15672, timeout=seconds)
        token = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self.user = credentials.user
        self.url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def version(self) -> BrokerVersion:
        """The broker's release."""
        return BrokerVersion.parse(str(self.get("/api/overview").get("rabbitmq_version", "")))

    def get(self, where: str) -> Any:
        """The answer, or None when there is no such thing."""
        return self._request("GET", where, None)

    def put(self, where: str, content: object) -> None:
        self._request("PUT", where, content)

    def post(self, where: str, content: object, *, seconds: float | None = None) -> Any:
        return self._request("POST", where, content, seconds)

    def delete(self, where: str) -> None:
        """Delete it; what is not there already is no error."""
        self._request("DELETE", where, None)

    def _request(self, method: str, where: str, content: object, seconds: float | None = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        status, reason, answer = self._exchange(method, where, body, seconds)
        if status == NOT_FOUND and method in {"GET", "DELETE"}:
            return None
        if status >= REFUSED_FROM:
            problem = answer[:200].decode("utf-8", "replace") or reason
            raise Refused(ErrorCode.BROKER_REFUSED, request=f"{method} {where}", problem=f"{status} {problem}")
        if not answer:
            return None
        try:
            return json.loads(answer)
        except ValueError as error:
            raise Refused(ErrorCode.BROKER_UNREACHABLE, address=self.url) from error

    def _exchange(self, method: str, where: str, body: bytes | None, seconds: float | None) -> tuple[int, str, bytes]:
        connection = self._connection
        usual = connection.timeout
        try:
            if seconds is not None:
                connection.timeout = seconds
                if connection.sock is not None:
                    connection.sock.settimeout(seconds)
            return self._try(method, where, body, again=connection.sock is not None)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Refused(ErrorCode.BROKER_UNREACHABLE, address=f"{self.url} ({_reason(error)})") from error
        finally:
            connection.timeout = usual
            if connection.sock is not None:
                connection.sock.settimeout(usual)

    def _try(self, method: str, where: str, body: bytes | None, *, again: bool) -> tuple[int, str, bytes]:
        try:
            self._connection.request(method, where, body, self._headers)
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # A connection kept open since the last request may have been closed meanwhile. Each request of
            # ours may be made twice.
            self._connection.close()
            if not again:
                raise
            return self._try(method, where, body, again=False)
        content = answer.read(LARGEST_ANSWER + 1)
        if len(content) > LARGEST_ANSWER:
            raise http.client.HTTPException("the answer is too large")
        return answer.status, answer.reason, content


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
