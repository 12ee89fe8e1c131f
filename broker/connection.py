"""Opening a connection to the broker: mutual TLS 1.3 and EXTERNAL log-in, nothing else."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractConnection
from yarl import URL

from broker.frames import tolerate

HEARTBEAT_SECONDS = 10
CONNECT_TIMEOUT_SECONDS = 15

tolerate()


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and who we are to it.

    Attributes:
        nodes: ``host:port`` of each cluster node; one is picked, the others follow when it fails.
        certificate: PEM chain of the transport certificate; its common name is the broker's user name.
        key: PEM private key of that certificate.
        authority: PEM certificate to which the broker's certificate must chain.
        vhost: the virtual host.
    """

    nodes: tuple[str, ...]
    certificate: Path
    key: Path
    authority: Path
    vhost: str = "tarasul"

    def tls(self) -> ssl.SSLContext:
        """A client context that accepts TLS 1.3 and this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.authority)
        context.load_cert_chain(self.certificate, self.key)
        return context


async def connect(address: BrokerAddress, node: str, name: str, tls: ssl.SSLContext) -> AbstractConnection:
    """Open one plain connection (never ``connect_robust``, which re-declares topology and hides losses).

    Args:
        address: see there.
        node: which of its nodes.
        name: shown in the broker's list of connections.
        tls: made for each life of a session by :meth:`BrokerAddress.tls`.

    Raises:
        Exception: whatever aio-pika, aiormq, ssl or the socket raise; the session's supervisor counts every
            failure to connect as the same thing.
    """
    host, _, port = node.rpartition(":")
    url = URL.build(
        scheme="amqps",
        host=host.strip("[]"),
        port=int(port),
        path="/" + address.vhost,
        query={"auth": "external", "heartbeat": str(HEARTBEAT_SECONDS), "name": name},
    )
    connection = aio_pika.Connection(url, ssl_context=tls)
    try:
        await connection.connect(timeout=CONNECT_TIMEOUT_SECONDS)
    except BaseException:
        # Left to the library it would be closed by a finaliser, in whatever thread that happens to run.
        await connection.close()
        raise
    return connection
