"""A client of the local API, for the command line: standard library only, every wait bounded.

Example::

    client = AdapterClient.of(read_settings(Path("adapter.toml")))
    page = client.get("/v1/inbox", limit=10)
"""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from agency_adapter.settings import Settings
from schemas.errors import ErrorCode, Language, Refused

TIMEOUT_SECONDS = 30.0
LARGEST_ANSWER = 64 * 1024 * 1024

_AS_GIVEN = "surrogateescape"
"""Bytes of a command line that are no UTF-8 go out as they are: it is for the adapter to refuse them."""

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - read, not bound


class ProblemAnswer(Refused):
    """A refusal by the adapter, in the words that it sent.

    Attributes:
        document: the problem document (RFC 9457) as it came.
    """

    def __init__(self, code: ErrorCode, document: Mapping[str, Any]) -> None:
        pointer = document.get("pointer")
        super().__init__(code, pointer=pointer if isinstance(pointer, str) else None)
        self.document = document

    def text(self, language: Language) -> str:
        return self._word("detail", language) or super().text(language)

    def next_step(self, language: Language) -> str:
        return self._word("next_step", language) or super().next_step(language)

    def as_document(self) -> dict[str, Any]:
        return dict(self.document)

    def _word(self, member: str, language: Language) -> str | None:
        word = self.document.get(member if language == "en" else f"{member}_ar")
        return word if isinstance(word, str) else None


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, read whole."""

    status: int
    media_type: str
    body: bytes


class AdapterClient:
    """Speaks to one adapter.

    Args:
        host, port: of its API.
        token: the bearer token.
        timeout: seconds for each wait on the network.
    """

    def __init__(self, host: str, port: int, token: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self._host = _EVERYWHERE.get(host, host)
        self._port = port
        self._token = token
        self._timeout = timeout

    @classmethod
    def of(cls, settings: Settings) -> "AdapterClient":
        """The client of the adapter that runs with ``settings``.

        Raises:
            Refused: ``file_unreadable`` when the token cannot be read: not started yet, or not ours to read.
        """
        file = settings.path(settings.api.token_file)
        try:
            token = file.read_text("ascii").strip()
        except OSError as error:
            problem = error.strerror or type(error).__name__
            raise Refused(ErrorCode.FILE_UNREADABLE, path=str(file), problem=problem) from error
        except UnicodeDecodeError as error:
            raise _no_token(file) from error
        if not token.isprintable():
            raise _no_token(file)
        return cls(settings.api.host, settings.api.port, token)

    @property
    def address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    def get(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """The JSON object at ``path``; parameters that are None are left out.

        Raises:
            ProblemAnswer: the adapter refused.
            Refused: ``not_reachable`` or ``answer_unreadable``.
        """
        return self._object(self._accepted(self._ask("GET", _with_query(path, query))))

    def get_bytes(self, path: str, **query: str | int | None) -> bytes:
        """What stands at ``path``, as it is. Raises as :meth:`get` does."""
        return self._accepted(self._ask("GET", _with_query(path, query))).body

    def post(
        self, path: str, document: bytes | Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send ``document`` (bytes go as they are) and return the answer. Raises as :meth:`get` does."""
        body = (
            document
            if isinstance(document, bytes)
            else json.dumps(document, ensure_ascii=False).encode(errors=_AS_GIVEN)
        )
        content = {"Content-Type": "application/json", **(headers or {})}
        return self._object(self._accepted(self._ask("POST", path, body, content)))

    def _ask(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            connection.request(method, target, body, {"Authorization": f"Bearer {self._token}", **(headers or {})})
            response = connection.getresponse()
            content = response.read(LARGEST_ANSWER)
            if response.length:  # of what was announced, so much has not come
                raise Refused(ErrorCode.ANSWER_UNREADABLE, address=self.address)
            media_type = response.headers.get_content_type()
            return Reply(response.status, media_type, content)
        except (OSError, http.client.HTTPException) as error:
            raise Refused(ErrorCode.NOT_REACHABLE, address=self.address) from error
        finally:
            connection.close()

    def _accepted(self, reply: Reply) -> Reply:
        if reply.status < 400:  # noqa: PLR2004 - HTTP
            return reply
        if reply.media_type != "application/problem+json":
            raise Refused(ErrorCode.ANSWER_UNREADABLE, address=self.address)
        document = self._object(reply)
        named = document.get("code")
        # A code of a later release than ours is still a refusal; its own words stand in the document.
        code = next((code for code in ErrorCode if code == named), ErrorCode.REQUEST_MALFORMED)
        raise ProblemAnswer(code, document)

    def _object(self, reply: Reply) -> dict[str, Any]:
        try:
            document = json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            raise Refused(ErrorCode.ANSWER_UNREADABLE, address=self.address) from error
        if not isinstance(document, dict):
            raise Refused(ErrorCode.ANSWER_UNREADABLE, address=self.address)
        return document


def segment(text: str) -> str:
    """``text`` as one segment of a path."""
    return quote(text, safe="", errors=_AS_GIVEN)


def _no_token(file: Path) -> Refused:
    return Refused(ErrorCode.FILE_UNREADABLE, path=str(file), problem_ar="ليس رمز دخول", problem="not a token")


def _with_query(path: str, query: Mapping[str, str | int | None]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return path + ("?" + urlencode(given, errors=_AS_GIVEN) if given else "")
