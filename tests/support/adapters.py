"""Real adapters as processes of their own, on a real broker, for tests that kill, cut and starve them.

    with Bed(folder, ("MPW", "MOF")) as bed:
        bed.start("MPW")
        bed.start("MOF", kill_at="committed_unacked")
        letter_id = send_until_answered(bed, "MPW", "key-1", ["MOF"])
        assert bed.close_books().delivered == 1

Nothing here waits for a time to pass: every wait is for a condition, and bounded.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from broker.management import Credentials, Management, path
from broker.names import VHOST
from broker.node import PrivateNode
from broker.topology import TRIAL_SIZES, build_topology
from broker.topology_apply import apply
from deploy.demo.account import Books
from deploy.demo.books import read_books
from gateway.bootstrap import bootstrap, node_tls
from gateway.settings_files import BrokerPlace

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
TREE = Path(__file__).parents[2]
RUN = "from deploy.command import main; main()"
QUICK_RUN = f"import broker.session; broker.session.LONGEST_WAIT_SECONDS = 0.1; {RUN}"
SHORT_LEASES = f"from gateway import duty, lease; lease.LASTING_MS = {{}}; duty.RENEWED_EVERY_SECONDS = 0.3; {RUN}"
OPEN = """
    SELECT (SELECT count(*) FROM transmissions WHERE state NOT IN ('delivered', 'not_delivered', 'refused'))
    + (SELECT count(*) FROM receipts_issued WHERE relay_state < 2)
"""
"""Rows of a store for which something is still to come."""
BODY = "نفيدكم بأن أعمال صيانة الطرق قد أنجزت وفق الجدول المعتمد، ونأمل صرف الدفعة المستحقة."

Result = TypeVar("Result")


def eventually(
    condition: Callable[[], Result], what: str | Callable[[], object], seconds: float = PATIENCE_SECONDS
) -> Result:
    """Ask until ``condition`` is true, and return its answer.

    Args:
        condition: asked again and again; cheap.
        what: in words, what is waited for; called when the wait was in vain.
        seconds: patience, not an expectation.
    """
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"never came: {what() if callable(what) else what}")
        time.sleep(POLL_SECONDS)
    return answer


def free_port() -> int:
    """A port on loopback, below those that Linux gives to outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(12_000, 20_000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


@dataclass(frozen=True)
class Reply:
    """An answer of the local API."""

    status: int
    body: Any


class NoAnswerError(Exception):
    """The adapter was not there, or went away before it answered."""


@dataclass
class AdapterProcess:
    """One ``tarasul agency run``, or ``tarasul authority run``.

    Attributes:
        code: its agency.
        folder: of its settings, store and keys.
        port: of its API.
        log: file with everything it printed.
        store: file in its folder.
    """

    code: str
    folder: Path
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    store: str = "store.db"

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_ready(self) -> "AdapterProcess":
        """Until ``/readyz`` says so; fails at once when the process ends."""

        def ready() -> bool:
            assert self.running, f"{self.code} ended with {self.process.returncode}\n{self.tail()}"
            with contextlib.suppress(NoAnswerError):
                return self.get("/readyz").status == 200
            return False

        eventually(ready, lambda: f"{self.code} ready\n{self.tail()}")
        return self

    def wait_answering(self) -> "AdapterProcess":
        """Until the API answers, ready or not."""

        def alive() -> bool:
            assert self.running, f"{self.code} ended with {self.process.returncode}\n{self.tail()}"
            with contextlib.suppress(NoAnswerError):
                return self.get("/healthz").status == 200
            return False

        eventually(alive, lambda: f"{self.code} alive\n{self.tail()}")
        return self

    def wait_exit(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Until it has ended by itself; returns its exit code, negative for a signal."""
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait_stopped(self) -> int:
        """After :meth:`terminate`: wait; returns the exit code."""
        try:
            return self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.code} does not stop\n{self.tail()}") from None

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    # The local API

    def get(self, where: str) -> Reply:
        return self._ask("GET", where, None, {})

    def post(self, where: str, document: object, key: str | None = None) -> Reply:
        return self._ask("POST", where, document, {"Idempotency-Key": key} if key else {})

    def send(
        self, key: str, to: Sequence[str], *, body: str = BODY, urgency: str = "ROUTINE", type_name: str | None = None
    ) -> Reply:
        """Ask for a letter to be sent. Raises :class:`NoAnswerError` when no answer came."""
        letter: dict[str, Any] = {
            "recipients": [{"agency": code} for code in to],
            "urgency": urgency,
            "content": {"subject": f"صيانة الطرق {key}", "body": body},
        }
        if type_name is not None:
            letter["type"] = type_name
        return self.post("/v1/letters", letter, key)

    def transmissions(self, letter_id: str) -> dict[str, dict[str, Any]]:
        """Recipient → transmission of one letter."""
        reply = self.get(f"/v1/letters/{letter_id}")
        assert reply.status == 200, reply
        return {each["recipient"]: each for each in reply.body["transmissions"]}

    def state(self, letter_id: str, recipient: str) -> str:
        """State of one transmission."""
        return str(self.transmissions(letter_id)[recipient]["state"])

    def metrics(self) -> dict[str, float]:
        """Every metric of one reading, the samples of each summed."""
        found: dict[str, float] = {}
        for line in self.get("/metrics").body.splitlines():
            if not line.startswith("#"):
                name, value = line.partition("{")[0].partition(" ")[0], float(line.rpartition(" ")[2])
                found[name] = found.get(name, 0) + value
        return found

    def check(self, name: str) -> dict[str, Any]:
        """One dependency as ``/readyz`` shows it, with the status of the whole answer."""
        reply = self.get("/readyz")
        found: dict[str, Any] = next(each for each in reply.body["checks"] if each["name"] == name)
        return found | {"status": reply.status}

    def _ask(self, method: str, where: str, document: object, headers: dict[str, str]) -> Reply:
        body = None if document is None else json.dumps(document, ensure_ascii=False).encode()
        headers = headers | {"Content-Type": "application/json"}
        token = self.folder / "token"
        if token.exists():
            headers["Authorization"] = f"Bearer {token.read_text('ascii').strip()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, where, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswerError(str(error)) from error
        finally:
            connection.close()
        text = "json" in response.headers.get_content_type()
        return Reply(response.status, json.loads(content) if text else content.decode())

    # Its store, read beside it

    def rows(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        return store_rows(self.folder / self.store, statement, *arguments)


def store_rows(store: Path, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Rows of a store, read-only."""
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5)) as connection:
        return connection.execute(statement, arguments).fetchall()


@dataclass
class Bed:
    """A private node, a bootstrapped folder of agencies, and their adapters.

    Attributes:
        folder: laid out as ``tarasul authority bootstrap`` does it.
        codes: agencies that exist; none of their adapters runs before :meth:`start`.
        node_type: the node in which the broker runs.
    """

    folder: Path
    codes: Sequence[str]
    node_type: type[PrivateNode] = PrivateNode
    adapters: dict[str, AdapterProcess] = field(default_factory=dict)
    authorities: dict[str, AdapterProcess] = field(default_factory=dict)
    _node: PrivateNode | None = None
    _ahead: float = 0
    _ports: dict[str, int] = field(default_factory=dict)

    @property
    def node(self) -> PrivateNode:
        assert self._node is not None
        return self._node

    def __enter__(self) -> Self:
        place = BrokerPlace(sizes="trial")
        bootstrap(self.folder, self.codes, datetime.now(UTC), broker=place, api_ports=range(1, len(self.codes) + 1))
        self._node = self.node_type(directory=self.folder / "broker-node", tls=node_tls(self.folder))
        try:
            self._node.start()
            self.apply_topology()
        except BaseException:
            self._node.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in (*self.adapters.values(), *self.authorities.values()):
            running.kill()
        self.node.close()

    # The broker

    @contextlib.contextmanager
    def management(self) -> Iterator[Management]:
        with Management(self.node.management_url, Credentials.read(self.node.credentials)) as management:
            yield management

    def apply_topology(self) -> None:
        """What ``tarasul authority topology apply`` does."""
        with self.management() as management:
            applied = apply(management, build_topology(self.codes, TRIAL_SIZES))
            assert not applied.left
            assert not applied.refusals

    def ready_messages(self, queue: str) -> int:
        """Messages in a queue, by looking and not by the statistics, which lag; -1 when there is no such queue."""
        with self.management() as management:
            where = path("queues", VHOST, queue)
            if management.get(where) is None:
                return -1
            seen = management.post(
                f"{where}/get",
                {"count": 1, "ackmode": "ack_requeue_true", "encoding": "base64", "truncate": 1},
            )
            return len(seen) + sum(int(each["message_count"]) for each in seen)

    def wait_queues_empty(self) -> None:
        """Until nothing waits for any running adapter."""
        for code, adapter in self.adapters.items():
            if adapter.running:
                for queue in (f"inbox.{code}.urgent", f"inbox.{code}.routine", f"notices.{code}"):
                    eventually(partial(self._empty, queue), lambda: f"empty queues\n{self.tails()}")

    def _empty(self, queue: str) -> bool:
        return self.ready_messages(queue) == 0

    # The adapters

    def agency(self, code: str) -> Path:
        return self.folder / "agencies" / code

    def adapter(self, code: str) -> AdapterProcess:
        return self.adapters[code]

    def begin(
        self,
        code: str,
        *,
        kill_at: str | None = None,
        clock_offset: float = 0,
        broker_port: int | None = None,
        store: Path | None = None,
        quick_to_reconnect: bool = False,
    ) -> AdapterProcess:
        """Start an adapter without waiting for it.

        Args:
            code: its agency.
            kill_at: ``name`` or ``name:n`` of a kill point.
            clock_offset: seconds by which its clock is ahead.
            broker_port: of a proxy before the broker; None for the broker itself.
            store: another place for the store than its folder.
            quick_to_reconnect: its back-off stays short, for tests that cut its connections again and again.
        """
        assert code not in self.adapters or not self.adapters[code].running
        folder = self.agency(code)
        port = self._ports.setdefault(code, free_port())
        settings = folder / "adapter.toml"
        settings.write_text(
            "\n".join(
                (
                    f'agency = "{code}"',
                    f'store = "{store or "store.db"}"',
                    f"[api]\nport = {port}",
                    f'[broker]\nnodes = ["localhost:{broker_port or self.node.amqps_port}"]',
                )
            ),
            "utf-8",
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TARASUL_")}
        environment["PYTHONPATH"] = str(TREE)
        if kill_at is not None:
            environment["TARASUL_KILL_AT"] = kill_at
        if clock_offset:
            environment["TARASUL_CLOCK_OFFSET"] = str(clock_offset)
            self._ahead = max(self._ahead, clock_offset)
        log = folder / "adapter.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", QUICK_RUN if quick_to_reconnect else RUN, "agency", "run", "--config", settings],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.adapters[code] = AdapterProcess(code, folder, port, process, log)
        return self.adapters[code]

    def start(self, code: str, **arguments: Any) -> AdapterProcess:
        """:meth:`begin`, then wait until it is ready."""
        return self.begin(code, **arguments).wait_ready()

    def stop(self, *codes: str) -> None:
        """Stop adapters in good order; all of them unless named."""
        running = [self.adapters[code] for code in codes or self.adapters if self.adapters[code].running]
        for adapter in running:
            adapter.terminate()
        for adapter in running:
            code = adapter.wait_stopped()
            assert code == 0, f"{adapter.code} ended with {code}\n{adapter.tail()}"

    # The authority

    def begin_authority(
        self,
        name: str = "one",
        *,
        kill_at: str | None = None,
        store: str = "authority.db",
        lease_ms: int = 2_000,
        clock_offset: float = 0,
    ) -> AdapterProcess:
        """Start ``tarasul authority run`` without waiting for it.

        Args:
            name: of this process: several may run on one store.
            kill_at: ``name`` or ``name:n`` of a kill point.
            store: see :class:`gateway.settings.AuthoritySettings`.
            lease_ms: how long a standby waits for a holder that was killed.
            clock_offset: seconds by which its clock is ahead.
        """
        assert name not in self.authorities or not self.authorities[name].running
        folder = self.folder / "authority"
        port = self._ports.setdefault(f"authority {name}", free_port())
        settings = folder / f"{name}.toml"
        settings.write_text(
            "\n".join(
                (
                    f'store = "{store}"',
                    f"[watch]\nport = {port}",
                    f'[broker]\naddresses = ["localhost:{self.node.amqps_port}"]',
                    f'management = "{self.node.management_url}"',
                    f'credentials = "{self.node.credentials}"',
                    'sizes = "trial"',
                )
            ),
            "utf-8",
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TARASUL_")}
        environment["PYTHONPATH"] = str(TREE)
        if kill_at is not None:
            environment["TARASUL_KILL_AT"] = kill_at
        if clock_offset:
            environment["TARASUL_CLOCK_OFFSET"] = str(clock_offset)
        log = folder / f"{name}.log"
        program = SHORT_LEASES.format(lease_ms)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", program, "authority", "run", "--config", settings],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.authorities[name] = AdapterProcess("TRSL", folder, port, process, log, store)
        return self.authorities[name]

    def start_authority(self, name: str = "one", **arguments: Any) -> AdapterProcess:
        """:meth:`begin_authority`, then wait until it is ready."""
        return self.begin_authority(name, **arguments).wait_ready()

    def reset(self) -> None:
        """Empty stores and queues, for the next test. Adapters are killed."""
        for adapter in self.adapters.values():
            adapter.kill()
        self.adapters.clear()
        self._ahead = 0
        for code in self.codes:
            for file in self.agency(code).glob("store.*"):
                file.unlink()
            (self.agency(code) / "adapter.log").unlink(missing_ok=True)
        with self.management() as management:
            for queue in build_topology(self.codes, TRIAL_SIZES).queues:
                if queue != "journal":
                    management.delete(f"{path('queues', VHOST, queue)}/contents")

    # What became of the letters

    def books(self) -> Books:
        """The books, by the independent reader, judged at the time of the adapter whose clock is furthest ahead."""
        return read_books(self.folder, datetime.now(UTC) + timedelta(seconds=self._ahead))

    def settle(self) -> Books:
        """Wait until the books balance: every letter has its outcome and every receipt has left."""
        last = [Books()]

        def balanced() -> bool:
            # Read in full only when nothing is open any more: it takes the time that the adapters need.
            if any(adapter.rows(OPEN)[0][0] for adapter in self.adapters.values()):
                return False
            last[0] = self.books()
            return last[0].balanced

        eventually(balanced, lambda: f"balanced books: {last[0]}\n{self.tails()}")
        return last[0]

    def close_books(self) -> Books:
        """:meth:`settle`, let every copy that is still under way arrive, stop all in good order, and read again."""
        self.settle()
        self.wait_queues_empty()
        self.stop()
        books = self.books()
        assert books.balanced, books
        return books

    def tails(self) -> str:
        return "\n".join(f"--- {code}\n{adapter.tail(15)}" for code, adapter in self.adapters.items())


def send_until_answered(bed: Bed, code: str, key: str, to: Sequence[str], **letter: Any) -> str:
    """Send one letter, with the same idempotency key until an answer comes; returns the letter's id."""

    def once() -> str | None:
        with contextlib.suppress(NoAnswerError):
            reply = bed.adapter(code).send(key, to, **letter)
            assert reply.status == 202, reply
            return str(reply.body["id"])
        return None

    return str(eventually(once, lambda: f"an answer of {code}\n{bed.adapter(code).tail()}"))
