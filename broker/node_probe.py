"""Is the broker there? Not its port, not its log: its own answer to the AMQP protocol header and to a request."""

import socket
import ssl
import struct
from pathlib import Path

from broker.management import Credentials, Management
from schemas.errors import Refused

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
CONNECTION_START = (10, 10)
METHOD_FRAME = 1
FRAME_HEADER_BYTES = 7
PROBE_SECONDS = 3.0


def probe_context(authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.3 with a client certificate, to a broker whose certificate chains to ``authority``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(authority)
    context.load_cert_chain(certificate, key)
    return context


def answers_amqp(host: str, port: int, context: ssl.SSLContext, server_name: str) -> bool:
    """True when the broker offers to start an AMQP connection over mutual TLS (``connection.start``)."""
    try:
        with (
            socket.create_connection((host, port), PROBE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=server_name) as secure,
        ):
            secure.sendall(PROTOCOL_HEADER)
            frame = b""
            while len(frame) < FRAME_HEADER_BYTES + 4:
                received = secure.recv(4096)
                if not received:
                    return False
                frame += received
    except OSError:
        return False
    kind = frame[0]
    method = struct.unpack_from(">HH", frame, FRAME_HEADER_BYTES)
    return kind == METHOD_FRAME and method == CONNECTION_START


def answers_management(url: str, credentials: Path) -> bool:
    """True when the management interface gives its overview to the account in ``credentials``.

    It listens before it can: for a moment after the start it fails with 500.
    """
    with Management(url, Credentials.read(credentials), seconds=PROBE_SECONDS) as management:
        try:
            return management.get("/api/overview") is not None
        except Refused:
            return False
