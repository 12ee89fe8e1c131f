"""The stage of the demonstration: a private broker, a founded authority, and adapters as processes of their own.

    with Stage(Path("run/demo"), ("MPW", "MOF", "SAB")) as stage:
        stage.start("MPW")
        stage.client("MPW").post("/v1/letters", letter)

Everything is started by the commands that an operator would type, and ends with the stage, however that ends.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from agency_adapter.client import AdapterClient, ProblemAnswer
from agency_adapter.settings import read_settings
from broker.management import Credentials, Management
from broker.node import PrivateNode
from broker.node_identity import free_ports
from gateway.bootstrap import BrokerPlace, bootstrap, node_tls
from schemas.errors import ErrorCode, Refused

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
TIDYING_SECONDS = 5.0
LOG_TAIL_BYTES = 4000
LONGEST_LINE = 150
PR_SET_PDEATHSIG = 1
MARKER = ".tarasul-demo"
USERS = "broker-users.json"
COMMAND = (sys.executable, "-m", "deploy.command")

Answer = TypeVar("Answer")


def _end_with_the_stage(stage: int) -> None:
    """In the child before exec: an adapter never outlives the process ``stage``, should that be killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != stage:
        # It was killed before this one could ask to be told.
        os._exit(1)


def eventually(look: Callable[[], Answer], what: str, seconds: float = PATIENCE_SECONDS) -> Answer:
    """Look until there is something, and return it.

    Raises:
        Refused: ``not_ready`` with ``what`` when it has not come in time.
    """
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() >= deadline:
            raise Refused(ErrorCode.NOT_READY, reason=what)
        time.sleep(POLL_SECONDS)
    return found


class Stage:
    """See the module's docstring.

    Args:
        folder: of the demonstration. One that an earlier demonstration left is cleared; any other must be empty.
        codes: agencies.

    Raises:
        Refused: on entry, ``already_bootstrapped`` for a folder that is not a demonstration's, ``node_not_started``
            when another demonstration is up in it, ``not_ready`` when something did not start.
    """

    def __init__(self, folder: Path, codes: Sequence[str]) -> None:
        self.folder = folder.resolve()
        self.codes = tuple(codes)
        self._node: PrivateNode | None = None
        self._adapters: dict[str, subprocess.Popen[bytes]] = {}

    # What stands on it

    @property
    def node(self) -> PrivateNode:
        if self._node is None:
            raise RuntimeError("the stage has not been set")
        return self._node

    def agency(self, code: str) -> Path:
        return self.folder / "agencies" / code

    def config(self, code: str) -> Path:
        return self.agency(code) / "adapter.toml"

    def client(self, code: str) -> AdapterClient:
        """Of a running adapter's local API."""
        return AdapterClient.of(read_settings(self.config(code)))

    def pid(self, code: str) -> int:
        return self._adapters[code].pid

    def management(self) -> Management:
        return Management(self.node.management_url, Credentials.read(self.node.credentials))

    # Setting and clearing it

    def __enter__(self) -> Self:
        try:
            self._set()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _set(self) -> None:
        if (self.folder / MARKER).exists():
            self._clear()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        amqps, management, *api_ports = free_ports(2 + len(self.codes))
        place = BrokerPlace(
            port=amqps,
            management=f"http://127.0.0.1:{management}",
            credentials=Path("../broker-node/management.json"),
            sizes="trial",
            disk_bytes=shutil.disk_usage(self.folder.parent).total,
        )
        self._found(place, api_ports)
        self._node = PrivateNode(
            directory=self.folder / "broker-node",
            tls=node_tls(self.folder),
            amqps_port=amqps,
            management_port=management,
        )
        self._node.start()
        self.run("authority", "topology", "apply", "--config", str(self.folder / "authority" / "authority.toml"))

    def _found(self, place: BrokerPlace, api_ports: Sequence[int]) -> None:
        """The authority, with the marker in it from the start: a stage killed here leaves nothing in the next's way."""
        if self.folder.exists() and not (self.folder.is_dir() and not any(self.folder.iterdir())):
            raise Refused(ErrorCode.ALREADY_BOOTSTRAPPED, path=str(self.folder))
        with tempfile.TemporaryDirectory(prefix=f".{self.folder.name}.", dir=self.folder.parent) as beside:
            founded = Path(beside) / "founded"
            bootstrap(founded, self.codes, datetime.now(UTC), broker=place, api_ports=api_ports)
            (founded / MARKER).write_text("Made by 'tarasul demo run', which clears this folder.\n", "utf-8")
            founded.replace(self.folder)

    def _clear(self) -> None:
        """Remove what an earlier demonstration left; never one that is up."""
        lock = self.folder / "broker-node" / "lock"
        if lock.exists():
            with lock.open("rb") as held:

                def ended() -> bool:
                    try:
                        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        return False
                    return True

                try:
                    # One that was killed a moment ago may still be tidying up.
                    eventually(ended, "", TIDYING_SECONDS)
                except Refused:
                    problem = f"another demonstration is up in {self.folder}"
                    raise Refused(ErrorCode.NODE_NOT_STARTED, problem=problem, log=str(lock.parent / "logs")) from None
        shutil.rmtree(self.folder)

    def _end(self) -> None:
        for code in list(self._adapters):
            self.kill(code)
        if self._node is not None:
            self._node.close()

    def note_users(self) -> int:
        """Write down the broker's accounts, for the books; returns how many there are."""
        with self.management() as management:
            users = sorted(str(user["name"]) for user in management.get("/api/users"))
        (self.folder / USERS).write_text(json.dumps(users), "utf-8")
        return len(users)

    # The adapters

    def begin(self, code: str) -> None:
        """Start the adapter of ``code`` without waiting for it."""
        with (self.agency(code) / "adapter.log").open("ab") as log:
            self._adapters[code] = subprocess.Popen(
                [*COMMAND, "agency", "run", "--config", str(self.config(code))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the terminal is ours to pass on, in good order.
                start_new_session=True,
                preexec_fn=partial(_end_with_the_stage, os.getpid()),  # noqa: PLW1509 - this process has one thread
            )

    def wait_ready(self, code: str) -> Mapping[str, Any]:
        """Until the adapter of ``code`` says that it is ready; returns what it says.

        Raises:
            Refused: ``not_ready`` when it ends, or is not ready in time; with the end of its log.
        """
        process = self._adapters[code]

        def ready() -> Mapping[str, Any] | None:
            if process.poll() is not None:
                raise Refused(ErrorCode.NOT_READY, reason=f"{code} ended with {process.returncode}: {self._tail(code)}")
            # Before its first answer there may be no token yet; before the broker's, no readiness.
            with contextlib.suppress(Refused, ProblemAnswer):
                return self.client(code).get("/readyz")
            return None

        return eventually(ready, code) or {}

    def start(self, *codes: str) -> None:
        """Start adapters side by side and wait until each is ready."""
        for code in codes:
            self.begin(code)
        for code in codes:
            self.wait_ready(code)

    def kill(self, code: str) -> None:
        """SIGKILL, as a power cut would."""
        process = self._adapters.pop(code)
        process.kill()
        process.wait()

    def stop(self, *codes: str) -> None:
        """Stop adapters in good order.

        Raises:
            Refused: ``not_ready`` for one that does not end with 0.
        """
        for code in codes:
            self._adapters[code].terminate()
        for code in codes:
            returned = self._adapters[code].wait(PATIENCE_SECONDS)
            if returned != 0:
                raise Refused(ErrorCode.NOT_READY, reason=f"{code} ended with {returned}: {self._tail(code)}")
            del self._adapters[code]

    def _tail(self, code: str) -> str:
        """The last line of an adapter's log, and where the rest is."""
        log = self.agency(code) / "adapter.log"
        lines = log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "–")
        return f"{last[:LONGEST_LINE]} ({log})"

    # Commands

    def run(self, *arguments: str) -> str:
        """Carry out ``tarasul ARGUMENTS…`` and return what it prints.

        Raises:
            Refused: ``not_ready`` with its messages when it fails.
        """
        done = subprocess.run(
            [*COMMAND, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PATIENCE_SECONDS
        )
        if done.returncode != 0:
            messages = " · ".join((done.stderr or done.stdout).decode("utf-8", "replace").split("\n"))
            raise Refused(ErrorCode.NOT_READY, reason=f"tarasul {' '.join(arguments[:3])}: {messages}")
        return done.stdout.decode("utf-8", "replace")
