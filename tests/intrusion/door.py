"""The broker's front door: a log-in with whatever the visitor shows, as far as the broker lets it.

with Door(port, tls_context(root, certificate)) as door:
    assert door.log_in() == OPEN
"""

import contextlib
import socket
import ssl
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pamqp.frame
from pamqp import commands, header
from pamqp.heartbeat import Heartbeat

from broker.names import VHOST

OPEN = "open"
HUNG_UP = "hung up"
NO_HANDSHAKE = "no handshake"
FRAME_OVERHEAD = 8


def tls_context(
    authority: Path, certificate: Path | None = None, *, newest: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """A client's context; ``certificate`` is a ``.pem`` with its ``.key`` beside it, or none is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority)
    if certificate is not None:
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    if newest is not None:
        context.maximum_version = newest
    return context


class _RefusedError(Exception):
    """The broker's no: reply code and text."""


class Door:
    """One connection, blocking. Whatever goes wrong at the broker's wish is an answer, not an exception."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._context = context
        self._received = b""
        self._channel_max = 0
        self._open = False
        self.mechanisms: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError, _RefusedError):
            if self._open:
                # A broker may never notice that a connection without heartbeats was only hung up.
                self._send(0, commands.Connection.Close(reply_code=200, reply_text="", class_id=0, method_id=0))
                while not isinstance(self._receive(), commands.Connection.CloseOk):
                    pass
        self._socket.close()

    def log_in(self, mechanism: str = "EXTERNAL", response: str = "", *, vhost: str = VHOST) -> str:
        """Shake hands and log in: :data:`OPEN`, :data:`NO_HANDSHAKE`, :data:`HUNG_UP` or the reply code."""
        try:
            self._socket = self._context.wrap_socket(self._socket, server_hostname="127.0.0.1")
            self._socket.sendall(header.ProtocolHeader().marshal())
            # With TLS 1.3 a client learns only from its first reading that its certificate was refused.
            start = self._receive()
        except OSError:
            return NO_HANDSHAKE
        self.mechanisms = str(start.mechanisms).split()
        try:
            self._send(0, commands.Connection.StartOk(mechanism=mechanism, response=response, client_properties={}))
            tune = self._receive()
            self._channel_max = int(tune.channel_max)
            self._send(
                0, commands.Connection.TuneOk(channel_max=self._channel_max, frame_max=tune.frame_max, heartbeat=0)
            )
            self._send(0, commands.Connection.Open(virtual_host=vhost))
            self._receive()
        except OSError:
            return HUNG_UP
        except _RefusedError as error:
            return str(error)
        self._open = True
        return OPEN

    def open_channel(self, number: int) -> str:
        """:data:`OPEN` or the reply code."""
        try:
            self._send(number, commands.Channel.Open())
            self._receive()
        except _RefusedError as error:
            return str(error)
        return OPEN

    def _send(self, channel: int, method: object) -> None:
        self._socket.sendall(pamqp.frame.marshal(method, channel))

    def _receive(self) -> Any:
        while True:
            if len(self._received) >= FRAME_OVERHEAD:
                (size,) = struct.unpack(">I", self._received[3:7])
                if len(self._received) >= size + FRAME_OVERHEAD:
                    consumed, _, frame = pamqp.frame.unmarshal(self._received)
                    self._received = self._received[consumed:]
                    if isinstance(frame, commands.Connection.Close | commands.Channel.Close):
                        raise _RefusedError(str(frame.reply_code))
                    if not isinstance(frame, Heartbeat):
                        return frame
                    continue
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionResetError(HUNG_UP)
            self._received += more
