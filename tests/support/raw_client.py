"""A hostile AMQP client: a real account, and no library between it and the wire.

It logs in as an agency does (mutual TLS 1.3, EXTERNAL) and publishes whatever bytes it is given as the
content header, so that a test can say what no honest library would.
"""

import socket
import ssl
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

import pamqp.frame
from pamqp import commands, header
from pamqp.body import ContentBody
from pamqp.exceptions import UnmarshalingException
from pamqp.heartbeat import Heartbeat

VHOST = "tarasul"
_FRAME_END = b"\xce"
_HEADERS = 1 << 13
_TIMESTAMP = 1 << 6
_MESSAGE_ID = 1 << 7


class RawClient:
    """One connection with one channel, blocking."""

    def __init__(self, port: int, *, certificate: Path, key: Path, authority: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(authority)
        context.load_cert_chain(certificate, key)
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self._received = b""
        try:
            self._log_in()
        except BaseException:
            self._socket.close()
            raise

    def _log_in(self) -> None:
        self._socket.sendall(header.ProtocolHeader().marshal())
        self._expect(commands.Connection.Start)
        self._send(0, commands.Connection.StartOk(mechanism="EXTERNAL", response="", client_properties={}))
        tune = self._expect(commands.Connection.Tune)
        self.frame_max = tune.frame_max
        self._send(0, commands.Connection.TuneOk(channel_max=8, frame_max=tune.frame_max, heartbeat=0))
        self._send(0, commands.Connection.Open(virtual_host=VHOST))
        self._expect(commands.Connection.OpenOk)
        self.open_channel()

    def open_channel(self) -> None:
        """Open channel 1, also after the broker has closed it."""
        self._send(1, commands.Channel.Open())
        self._expect(commands.Channel.OpenOk)
        self._send(1, commands.Confirm.Select())
        self._expect(commands.Confirm.SelectOk)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        headers: dict[str, object] | None = None,
        expiration: str | None = None,
        content_type: str = "application/jose",
    ) -> str:
        """Publish with well-formed properties; answers ``ack``, ``nack`` or the broker's refusal."""
        properties = commands.Basic.Properties(
            content_type=content_type, delivery_mode=2, headers=headers, expiration=expiration
        )
        return self._publish(exchange, routing_key.encode(), properties.marshal(), body)

    def publish_raw_headers(self, exchange: str, routing_key: str, table: bytes, body: bytes) -> str:
        """Publish with ``table`` as the bytes of the header table, whatever they are."""
        properties = struct.pack(">HI", _HEADERS, len(table)) + table
        return self._publish(exchange, routing_key.encode(), properties, body)

    def publish_raw_message_id(self, exchange: str, routing_key: str, message_id: bytes, body: bytes) -> str:
        """Publish with ``message_id`` as the bytes of that property."""
        properties = struct.pack(">HB", _MESSAGE_ID, len(message_id)) + message_id
        return self._publish(exchange, routing_key.encode(), properties, body)

    def publish_raw_timestamp(self, exchange: str, routing_key: str, timestamp: int, body: bytes) -> str:
        """Publish with a timestamp that no calendar has."""
        return self._publish(exchange, routing_key.encode(), struct.pack(">HQ", _TIMESTAMP, timestamp), body)

    def publish_raw_routing_key(self, exchange: str, routing_key: bytes, body: bytes) -> str:
        """Publish with ``routing_key`` as it stands, UTF-8 or not."""
        return self._publish(exchange, routing_key, struct.pack(">H", 0), body)

    def purge(self, queue: str) -> str:
        self._send(1, commands.Queue.Purge(queue=queue))
        return self._answer()

    def get(self, queue: str) -> str:
        """Take one message from ``queue`` without acknowledging it."""
        self._send(1, commands.Basic.Get(queue=queue, no_ack=False))
        return self._answer()

    def get_body(self, queue: str) -> bytes | None:
        """Take and acknowledge one message; None when there is none."""
        self._send(1, commands.Basic.Get(queue=queue, no_ack=True))
        frame = self._receive()
        if not isinstance(frame, commands.Basic.GetOk):
            return None
        size = self._receive().body_size
        body = b""
        while len(body) < size:
            body += self._receive().value
        return body

    def depth(self, queue: str) -> int:
        """Messages in ``queue`` that nobody has taken, by a passive declaration: exact, and nothing is touched."""
        self._send(1, commands.Queue.Declare(queue=queue, passive=True))
        return int(self._expect(commands.Queue.DeclareOk).message_count)

    def send(self, method: object) -> str:
        """Send any method on channel 1 and name the answer: its class, or the code of the refusal."""
        self._send(1, method)
        return self._answer()

    # -- wire ------------------------------------------------------------------------------------------------

    def _publish(self, exchange: str, routing_key: bytes, properties: bytes, body: bytes) -> str:
        method = (
            struct.pack(">HHHB", 60, 40, 0, len(exchange))
            + exchange.encode()
            + struct.pack(">B", len(routing_key))
            + routing_key
            + b"\x00"
        )
        content = struct.pack(">HHQ", 60, 0, len(body)) + properties
        chunk = self.frame_max - 8
        message = _frame(1, method) + _frame(2, content)
        for at in range(0, len(body), chunk):
            message += pamqp.frame.marshal(ContentBody(body[at : at + chunk]), 1)
        self._socket.sendall(message)
        return self._answer()

    def _answer(self) -> str:
        frame = self._receive()
        match frame:
            case commands.Basic.Ack():
                return "ack"
            case commands.Basic.Nack():
                return "nack"
            case commands.Channel.Close():
                self._send(1, commands.Channel.CloseOk())
                self.open_channel()
                return str(frame.reply_code)
            case commands.Connection.Close():
                return str(frame.reply_code)
            case commands.Basic.GetOk():
                size = self._receive().body_size
                while size > 0:
                    size -= len(self._receive().value)
                return "GetOk"
            case _:
                return type(frame).__name__

    def _send(self, channel: int, method: object) -> None:
        self._socket.sendall(pamqp.frame.marshal(method, channel))

    def _expect(self, kind: type) -> object:
        frame = self._receive()
        if not isinstance(frame, kind):
            raise ConnectionError(f"{kind.__name__} expected, {frame} came")
        return frame

    def _receive(self) -> object:
        while True:
            consumed, frame = self._decode() if self._complete() else (0, None)
            if consumed:
                self._received = self._received[consumed:]
                if not isinstance(frame, Heartbeat):
                    return frame
                continue
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError("the broker hung up")
            self._received += more

    def _decode(self) -> tuple[int, object]:
        try:
            consumed, _, frame = pamqp.frame.unmarshal(self._received)
        except UnmarshalingException:
            # The broker quotes our own bytes back at us in the text of its refusal.
            (size,) = struct.unpack(">I", self._received[3:7])
            (code,) = struct.unpack(">H", self._received[11:13])
            return size + 8, commands.Channel.Close(code, "", 0, 0)
        return consumed, frame

    def _complete(self) -> bool:
        if len(self._received) < 7:
            return False
        (size,) = struct.unpack(">I", self._received[3:7])
        return len(self._received) >= size + 8


def _frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + _FRAME_END
