"""A private RabbitMQ node: the real broker, for the demo, trials, tests and benchmarks.

    with PrivateNode() as node:
        client = node.client("MPW")          # files of a certificate that logs in as MPW
        ...                                  # amqps://127.0.0.1:{node.amqps_port}

It uses the RabbitMQ that is installed, touches nothing of it, and needs neither its service nor its account.
It has its own folder, Erlang cookie, node name and ports, its own ``epmd``; every listener is on loopback. It
is configured from the template of the authority's broker (:mod:`broker.configuration`): TLS 1.3 and EXTERNAL
log-in alone, no guest. Several run side by side. A keeper process (:mod:`broker.node_keeper`) sees to it that
nothing stays when the owner ends, in whatever way.

Every method blocks; asynchronous callers use ``asyncio.to_thread``.
"""

import os
import secrets
import select
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from broker.configuration import (
    MIB,
    BrokerTls,
    Configuration,
    Listener,
    write,
)
from broker.first_account import write_first_account
from broker.node_certificates import CertificateFiles, NodeTls, ThrowawayAuthority, write_secret
from broker.node_identity import LOOPBACK, NodeIdentity
from broker.node_installation import Installation, find_installation
from broker.node_link import KeeperLink
from broker.node_probe import answers_amqp, answers_management, probe_context
from schemas.errors import ErrorCode, Refused

READY_SECONDS = 90.0
STOP_SECONDS = 20.0
CTL_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.05
PORT_TRIES = 3
LOG_TAIL_BYTES = 16_000
ADDRESS_IN_USE = "eaddrinuse"
# Two schedulers, no busy waiting: a test machine has other things to do.
ERLANG_ARGUMENTS = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"


class PrivateNode:
    """One private node; see the module's docstring.

    Attributes:
        installation: the RabbitMQ that is used.
        directory: folder of everything the node has.
        tls: its certificates.
    """

    def __init__(
        self,
        *,
        directory: Path | None = None,
        tls: NodeTls | None = None,
        amqps_port: int | None = None,
        management_port: int | None = None,
        memory_limit: int = 1024 * MIB,
        disk_free_limit: int = 256 * MIB,
        wal_max_size_bytes: int = 64 * MIB,
    ) -> None:
        """Prepare a node; :meth:`start` or ``with`` starts it.

        Args:
            directory: a folder that stays; None for a temporary one that goes with the node.
            tls: certificates; None makes throwaway ones, see :meth:`client`.
            amqps_port: None for a free one.
            management_port: None for a free one.
            memory_limit: bytes of memory past which publishers are blocked.
            disk_free_limit: bytes of free disk below which publishers are blocked.
            wal_max_size_bytes: see :class:`broker.configuration.Configuration`.

        Raises:
            Refused: ``rabbitmq_not_found``.
        """
        self.installation: Installation = find_installation()
        self.temporary = directory is None
        self.directory = (
            Path(tempfile.gettempdir(), f"tarasul-node-{secrets.token_hex(6)}")
            if directory is None
            else directory.absolute()
        )
        self._given_tls = tls
        self._wanted_ports = {"amqps": amqps_port, "management": management_port}
        self._limits = (memory_limit, disk_free_limit, wal_max_size_bytes)
        self._identity: NodeIdentity | None = None
        self._throwaway: ThrowawayAuthority | None = None
        self._clients: dict[str, CertificateFiles] = {}
        self._keeper = KeeperLink(self.directory, temporary=self.temporary)
        self._pid = 0
        self._lock = threading.RLock()
        self._probe: ssl.SSLContext | None = None

    # What it is

    @property
    def version(self) -> str:
        return self.installation.version

    @property
    def identity(self) -> NodeIdentity:
        if self._identity is None:
            raise RuntimeError("the node has not been started")
        return self._identity

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def pid(self) -> int:
        """Process of the broker's Erlang machine; 0 before the first start."""
        return self._pid

    @property
    def amqps_port(self) -> int:
        return self.identity.amqps

    @property
    def management_port(self) -> int:
        return self.identity.management

    @property
    def management_url(self) -> str:
        return f"http://{LOOPBACK}:{self.identity.management}"

    @property
    def credentials(self) -> Path:
        """File (0600) with user name and password of the management interface, JSON."""
        return self.directory / "management.json"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "logs" / f"{self.name}.log"

    @property
    def tls(self) -> NodeTls:
        if self._given_tls is not None:
            return self._given_tls
        authority = self._authority()
        server = self._issued("broker", server=True)
        return NodeTls(BrokerTls(authority.root, server.certificate, server.key), self._issued("tarasul-probe"))

    def client(self, user: str) -> CertificateFiles:
        """Certificate and key that log in as ``user``; only when the node makes its own certificates."""
        if self._given_tls is not None:
            raise RuntimeError("this node was given certificates and cannot make any")
        return self._issued(user)

    def _authority(self) -> ThrowawayAuthority:
        if self._throwaway is None:
            self._keeper.hold()
            self._throwaway = ThrowawayAuthority(self.directory / "tls")
        return self._throwaway

    def _issued(self, name: str, *, server: bool = False) -> CertificateFiles:
        if name not in self._clients:
            self._clients[name] = self._authority().issue(name, server=server)
        return self._clients[name]

    # What it does

    def start(self) -> None:
        """Start the node and return when it answers an AMQP handshake over mutual TLS, and management requests.

        Raises:
            Refused: ``node_not_started`` with the reason and the place of its log.
        """
        with self._lock:
            for tries_left in reversed(range(PORT_TRIES)):
                self._keeper.hold()
                fresh = self._prepare()
                try:
                    self._start_once()
                except Refused:
                    # Somebody took a port between our look and the broker's: other ports, unless the caller
                    # chose them or has seen them.
                    own_choice = fresh and not any(self._wanted_ports.values())
                    if not tries_left or not own_choice or ADDRESS_IN_USE not in self._log_tail():
                        if self.temporary:
                            self.close()
                        raise
                    self._identity = None
                    NodeIdentity.forget(self.directory)
                else:
                    return

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End the broker in good order; after ``seconds`` by SIGKILL. Data and ports stay."""
        with self._lock:
            if self._keeper.there:
                self._keeper.ask({"do": "stop", "seconds": seconds}, seconds + 15)

    def kill(self) -> None:
        """SIGKILL the broker, as a power cut would. Data and ports stay."""
        with self._lock:
            if self._keeper.there:
                self._keeper.ask({"do": "kill"}, 15)

    def wipe(self) -> None:
        """Delete the data of the stopped broker: queues, messages, users. Certificates and ports stay."""
        with self._lock:
            if self.running:
                raise RuntimeError("stop the node before wiping it")
            shutil.rmtree(self.data, ignore_errors=True)

    @property
    def running(self) -> bool:
        """Whether the broker's process runs."""
        with self._lock:
            return self._keeper.there and self._keeper.ask({"do": "status"}, 15) == "running"

    def close(self) -> None:
        """End everything; a temporary folder is gone when this returns. Safe to call twice."""
        with self._lock:
            self._keeper.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ctl(self, *arguments: str, seconds: float = CTL_SECONDS) -> str:
        """Run ``rabbitmqctl`` on this node (about two seconds) and return what it prints.

        Raises:
            subprocess.CalledProcessError: with what it printed.
        """
        done = subprocess.run(
            [str(self.installation.ctl), "--quiet", *arguments],
            env=self._environment(),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=True,
        )
        return done.stdout.decode("utf-8", "replace")

    # How it does it

    def _prepare(self) -> bool:
        """Write what the node needs; True when its ports were chosen just now."""
        fresh = self._identity is None
        if fresh:
            self._identity = NodeIdentity.remembered(self.directory)
            fresh = self._identity is None
        if self._identity is None:
            self._identity = NodeIdentity.chosen(**self._wanted_ports)
            self._identity.remember(self.directory)
        self._write_secrets()
        write(self._configuration(), self.directory / "configuration")
        return fresh

    def _write_secrets(self) -> None:
        for folder in ("home", "logs", "data"):
            (self.directory / folder).mkdir(mode=0o700, exist_ok=True)
        cookie = self.directory / "home" / ".erlang.cookie"
        if not cookie.exists():
            write_secret(cookie, secrets.token_hex(20).encode())
            cookie.chmod(0o400)
        write_first_account(self.credentials, self.directory / "definitions.json")

    def _configuration(self) -> Configuration:
        memory, disk, wal = self._limits
        identity = self.identity
        return Configuration(
            amqps=Listener(LOOPBACK, identity.amqps),
            tls=self.tls.broker,
            management=Listener(LOOPBACK, identity.management),
            management_tls=False,
            prometheus=Listener(LOOPBACK, identity.prometheus),
            node_name=identity.name,
            distribution=Listener(LOOPBACK, identity.distribution),
            epmd_port=identity.epmd,
            definitions=self.directory / "definitions.json",
            disk_free_limit=disk,
            memory_limit=memory,
            wal_max_size_bytes=wal,
            erlang_arguments=ERLANG_ARGUMENTS,
        )

    def _environment(self) -> dict[str, str]:
        """Of the caller's environment only the path: a RABBITMQ_… set there must not reach the node."""
        configuration = self.directory / "configuration"
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(self.directory / "home"),
            "ERL_EPMD_PORT": str(self.identity.epmd),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": self.identity.name,
            "RABBITMQ_CONF_ENV_FILE": str(configuration / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(configuration / "rabbitmq.conf"),
            # Or it would read those of the machine's own broker, in /etc/rabbitmq/conf.d, and obey them.
            "RABBITMQ_CONFIG_FILES": str(configuration / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(configuration / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(configuration / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_MNESIA_DIR": str(self.data / "node"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(self.data / "feature_flags"),
            "RABBITMQ_LOG_BASE": str(self.directory / "logs"),
            # The script then replaces itself by Erlang instead of waiting beside it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _start_once(self) -> None:
        self._refuse_taken_ports()
        for old in (self.directory / "startup.log", self.log):
            if old.exists():
                old.replace(old.with_suffix(".previous"))
        epmd = [str(self.installation.epmd), "-port", str(self.identity.epmd), "-address", LOOPBACK]
        state = self._keeper.ask(
            {
                "do": "start",
                "command": [str(self.installation.server)],
                "environment": self._environment(),
                "epmd": epmd,
                "epmd_port": self.identity.epmd,
            },
            30,
        )
        word, _, pid = state.partition(" ")
        if word != "started":
            raise Refused(ErrorCode.NODE_NOT_STARTED, problem=state, log=str(self.directory / "startup.log"))
        self._pid = int(pid)
        self._wait_until_ready(self._pid)

    def _refuse_taken_ports(self) -> None:
        """The broker would start without the listener, and say so only in its log."""
        port = self.identity.taken_port()
        if port is not None:
            raise Refused(
                ErrorCode.NODE_NOT_STARTED,
                problem_ar=f"المنفذ {port} مستخدم من قبل",
                problem=f"port {port} is taken",
                log=str(self.directory / "logs"),
            )

    def _wait_until_ready(self, pid: int) -> None:
        tls = self.tls
        if self._probe is None:
            self._probe = probe_context(tls.broker.authority, tls.probe.certificate, tls.probe.key)
        deadline = time.monotonic() + READY_SECONDS
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            process = -1
        try:
            while process >= 0 and time.monotonic() < deadline:
                if answers_amqp(LOOPBACK, self.identity.amqps, self._probe, "localhost") and answers_management(
                    self.management_url, self.credentials
                ):
                    return
                ended = bool(select.select([process], [], [], LOOK_AGAIN_SECONDS)[0])
                if ended or ADDRESS_IN_USE in self._log_tail():
                    break
        finally:
            if process >= 0:
                os.close(process)
        self._keeper.ask({"do": "kill"}, 15)
        raise Refused(
            ErrorCode.NODE_NOT_STARTED, problem=self._log_tail()[-250:].strip(), log=str(self.directory / "logs")
        )

    def _log_tail(self) -> str:
        files = (self.directory / "startup.log", self.log)
        return "\n".join(
            file.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace") for file in files if file.exists()
        )
