"""A real adapter of MOF with its local API, for tests of the API and the command line.

Store, keys, directory, writer, registry and HTTP server are the real ones; the broker that it looks for is not
there, so that letters are accepted and wait. What a broker would deliver is handed to the inbox's own handler.
"""

import asyncio
import contextlib
import http.client
import json
import secrets
import socket
import sqlite3
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any, Self, TypeVar
from zoneinfo import ZoneInfo

import uvicorn
from fastapi import FastAPI

from agency_adapter.api.app import create_app
from agency_adapter.service import Adapter
from agency_adapter.settings import read_settings
from broker.clock import Clock
from broker.names import from_exchange, inbox_queue, letter_routing_key, notice_routing_key, notices_queue
from broker.session import Delivery
from schemas.composition import compose_letter
from schemas.envelope import Lane, LetterRequest
from schemas.identifiers import uuid7
from schemas.receipts import ReceiptEvent, build_receipt
from tests.support.authority import MadeAuthority
from trust import ijson
from trust.token import TokenType

T = TypeVar("T")

AGENCY = "MOF"
ARABIC_SUBJECT = "طلب تخصيص اعتماد لصيانة الطرق (المرحلة الثانية)"
ARABIC_BODY = (
    "تحية طيبة وبعد،\nنرجو تخصيص الاعتماد اللازم لصيانة طريق الملك فهد، وقدره 4,760,693.134 د.ك.\n"
    "وتفضلوا بقبول فائق الاحترام."
)


def letter_request(**changes: object) -> dict[str, Any]:
    """A request that any adapter accepts, with ``changes``."""
    request: dict[str, Any] = {
        "type": "letter.general/1",
        "recipients": [{"agency": "MPW", "role": "to"}],
        "content": {"subject": ARABIC_SUBJECT, "body": ARABIC_BODY, "fields": {}},
    }
    return request | changes


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def problem(self, status: int) -> dict[str, Any]:
        """The problem document, which must be one with ``status``."""
        assert self.status == status, self.body
        assert self.headers["Content-Type"] == "application/problem+json"
        document = self.json()
        assert document["status"] == status
        assert document["detail"]
        assert document["detail_ar"]
        return document


class Server:
    """An HTTP server on loopback, and requests to it."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        token: str | None = "",
    ) -> Reply:
        """Ask; with the server's own token unless another one (or None) is given."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())

    def get(self, path: str) -> Reply:
        return self.request("GET", path)

    def post(self, path: str, document: object, headers: dict[str, str] | None = None) -> Reply:
        body = document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()
        return self.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})

    @staticmethod
    def parsed(answer: bytes) -> Reply:
        """The bytes of an answer, taken apart."""
        head, _, body = answer.partition(b"\r\n\r\n")
        line, _, headers = head.partition(b"\r\n")
        return Reply(int(line.split()[1]), message_from_bytes(headers), body)

    def raw(self, request: bytes) -> bytes:
        """The bytes of the answer to the bytes of ``request``, which asks for the connection to be closed after it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))


class RunningAdapter(Server):
    """See the module's docstring."""

    kuwait = ZoneInfo("Asia/Kuwait")

    def __init__(
        self, adapter: Adapter, authority: MadeAuthority, loop: asyncio.AbstractEventLoop, port: int, config: Path
    ) -> None:
        super().__init__(port, (config.parent / "token").read_text("ascii").strip())
        self.adapter = adapter
        self.config = config
        self.largest_body = adapter.settings.api.largest_body
        self._authority = authority
        self._loop = loop

    @property
    def year(self) -> int:
        return datetime.now(self.kuwait).year

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` on the adapter's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def send(self, **changes: object) -> str:
        """Have a letter accepted; its id."""
        reply = self.post("/v1/letters", letter_request(**changes))
        assert reply.status == 202, reply.body
        return str(reply.json()["id"])

    def arrive(self, sender: str = "MPW", claims: dict[str, object] | None = None) -> str:
        """Deliver a genuine letter of ``sender``, with ``claims`` besides its own; its id."""
        clock = self.adapter.clock
        letter_id = uuid7(clock.unix_ms(), secrets.token_bytes(10))
        composed = compose_letter(
            LetterRequest.model_validate(letter_request(recipients=[{"agency": AGENCY}])),
            letter_id=letter_id,
            outgoing_no=f"{sender}/{secrets.token_hex(4)}",
            sender_agency=sender,
            issued_at=clock.now(),
            thread_id=letter_id,
        )
        composed |= claims or {}
        payload = ijson.dump(composed)
        [token] = self.run(self._authority.signer(sender).sign(TokenType.LETTER, [payload], int(clock.unix())))
        self._deliver(sender, token.text)
        return str(composed["id"])

    def forge(self, publisher: str) -> None:
        """Deliver something of ``publisher`` that is no letter."""
        self._deliver(publisher, secrets.token_hex(8).encode())

    def answer(self, letter_id: str, event: ReceiptEvent, signer: str = "MPW", **details: str) -> None:
        """Deliver a receipt of ``signer`` for a letter of ours."""
        clock = self.adapter.clock
        now = int(clock.unix())
        letter = self.get(f"/v1/letters/{letter_id}").json()
        claims = build_receipt(
            event=event,
            issuer=signer,
            audience=AGENCY,
            jti=uuid7(clock.unix_ms(), secrets.token_bytes(10)),
            issued_at=now,
            occurred_at=now,
            thread_id=letter["thread_id"],
            letter_id=letter_id,
            recipient=signer,
            digest=letter["digest"],
            details={"reason": "late"} | details,
        )
        signing = self._authority.signer(signer).sign(TokenType.RECEIPT, [ijson.dump(claims)], now)
        [token] = self.run(signing)
        delivery = self._delivery(signer, token.text, notices_queue(AGENCY), notice_routing_key(AGENCY))
        self.run(self.adapter.notices.receive([delivery]))

    def _deliver(self, publisher: str, body: bytes) -> None:
        queue, key = inbox_queue(AGENCY, Lane.ROUTINE), letter_routing_key(AGENCY, Lane.ROUTINE)
        self.run(self.adapter.incoming.receive(Lane.ROUTINE, [self._delivery(publisher, body, queue, key)]))

    @staticmethod
    def _delivery(publisher: str, body: bytes, queue: str, routing_key: str) -> Delivery:
        return Delivery(
            queue=queue,
            exchange=from_exchange(publisher),
            routing_key=routing_key,
            body=body,
            headers={},
            content_type="application/jose",
            expiration=None,
            redelivered=False,
        )

    @contextlib.contextmanager
    def directory(self, code: str, **members: object) -> Iterator[None]:
        """While it lasts the directory in force says so of ``code``."""
        self._authority.change_agency(code, **members)
        self._publish_directory()
        try:
            yield
        finally:
            del self._authority.changes[code]
            self._publish_directory()

    def _publish_directory(self) -> None:
        self._authority.version += 1
        file = self.config.parent / "directory.jws"
        self._authority.write_directory(file.with_suffix(".draft")).replace(file)

        async def take() -> None:
            self.adapter.directory.refresh()

        self.run(take())
        assert self.adapter.directory.current.version == self._authority.version

    @contextlib.contextmanager
    def locked_store(self) -> Iterator[None]:
        """While it lasts somebody else holds the store, as no adapter ever does."""
        store = self.adapter.settings.path(self.adapter.settings.store)
        with contextlib.closing(sqlite3.connect(store)) as holding:
            holding.execute("BEGIN IMMEDIATE")
            yield
            holding.rollback()

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """While it lasts the store's file may not grow: SQLite answers as it does on a full disk.

        The last pages of the file may have room for a small letter still; a large one finds none.
        """
        self.run(self.adapter.writer.submit(_limit_pages, 1))
        try:
            yield
        finally:
            self.run(self.adapter.writer.submit(_limit_pages, 1_000_000_000))


async def _limit_pages(connection: Any, items: Any) -> list[None]:
    for most in items:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {most}")  # never below what the file has already
    return [None] * len(items)


@contextlib.contextmanager
def running_adapter(folder: Path) -> Iterator[RunningAdapter]:
    """Make an authority and an agency in ``folder``, and run the agency's adapter."""
    with _Loop() as loop, _listener() as listener:
        authority = MadeAuthority(folder, datetime.now(UTC), [AGENCY, "MPW", "SAB"])
        home = authority.keys_folder(AGENCY).parent
        (home / "root.pem").write_bytes(authority.root_file.read_bytes())
        authority.write_directory(home / "directory.jws")
        config = home / "adapter.toml"
        config.write_text(
            f'agency = "{AGENCY}"\n[api]\nport = {listener.getsockname()[1]}\n[broker]\nnodes = ["127.0.0.1:1"]\n',
            "utf-8",
        )
        adapter = Adapter(read_settings(config), Clock())
        token = secrets.token_urlsafe(32)
        (config.parent / "token").write_text(token, "ascii")
        app = create_app(
            adapter.correspondence,
            token=token,
            readiness=adapter.readiness,
            metrics=adapter.metrics.exposition,
            largest_body=adapter.settings.api.largest_body,
            version="0.1.0",
        )
        loop.run(adapter.start())
        try:
            with _serving(app, loop, listener) as port:
                yield RunningAdapter(adapter, authority, loop.loop, port, config)
        finally:
            loop.run(adapter.stop())


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[Server]:
    """``app`` behind a server of its own."""
    with _Loop() as loop, _listener() as listener, _serving(app, loop, listener) as port:
        yield Server(port, "")


class _Loop:
    """An event loop in a thread."""

    def __enter__(self) -> Self:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        return self

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@contextlib.contextmanager
def _serving(app: FastAPI, loop: _Loop, listener: socket.socket) -> Iterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False, ws="none")
    )
    done = asyncio.run_coroutine_threadsafe(server.serve(sockets=[listener]), loop.loop)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        done.result(30)
