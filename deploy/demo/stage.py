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
from gateway.bootstrap import bootstrap, node_tls
from gateway.settings_files import BrokerPlace, write_settings
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import AUTHORITY

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


class _Program:
    """A process of ours that runs until it is told to stop, and its log."""

    def __init__(self, log: Path, arguments: Sequence[str]) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A Ctrl-C in the terminal is the stage's to pass on, in good order.
                start_new_session=True,
                preexec_fn=partial(_end_with_the_stage, os.getpid()),  # noqa: PLW1509 - this process has one thread
            )

    def last_words(self) -> str:
        """How it ended, the last line of its log, and where the rest is."""
        lines = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "–")
        return f"ended with {self.process.returncode}: {last[:LONGEST_LINE]} ({self.log})"


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
        self._programs: dict[str, _Program] = {}

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
        """Process that hosts the adapter of ``code``."""
        return self._programs[code].process.pid

    @property
    def processes(self) -> int:
        """Processes that run now, besides the broker's."""
        return len({id(program) for program in self._programs.values()})

    @property
    def authority(self) -> Path:
        """Settings of the authority."""
        return self.folder / "authority" / "authority.toml"

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
        self._found()
        self._node = PrivateNode(directory=self.folder / "broker-node", tls=node_tls(self.folder))
        self._node.start()
        # Only now are the node's ports known: it takes any that are free, also those that a program is to have later.
        watch, *ports = free_ports(1 + len(self.codes))
        place = BrokerPlace(
            port=self._node.amqps_port,
            management=self._node.management_url,
            credentials=Path("../broker-node/management.json"),
            sizes="trial",
            disk_bytes=shutil.disk_usage(self.folder).total,
        )
        write_settings(self.folder, place, dict(zip(self.codes, ports, strict=True)), watch_port=watch)
        self.run("authority", "topology", "apply", "--config", str(self.authority))

    def _found(self) -> None:
        """The authority, with the marker in it from the start: a stage killed here leaves nothing in the next's way."""
        if self.folder.exists() and not (self.folder.is_dir() and not any(self.folder.iterdir())):
            raise Refused(ErrorCode.ALREADY_BOOTSTRAPPED, path=str(self.folder))
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{self.folder.name}.", dir=self.folder.parent) as beside:
                founded = Path(beside) / "founded"
                # Where broker and adapters listen is written again once the node has its ports.
                none_yet = [0] * len(self.codes)
                bootstrap(founded, self.codes, datetime.now(UTC), broker=BrokerPlace(), api_ports=none_yet)
                (founded / MARKER).write_text("Made by 'tarasul demo run', which clears this folder.\n", "utf-8")
                founded.replace(self.folder)
        except OSError as error:
            problem = error.strerror or type(error).__name__
            raise Refused(ErrorCode.FILE_UNREADABLE, path=str(self.folder), problem=problem) from error

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
                    raise Refused(
                        ErrorCode.NODE_NOT_STARTED,
                        problem_ar=f"يجري عرض آخر في {self.folder}",
                        problem=f"another demonstration is up in {self.folder}",
                        log=str(lock.parent / "logs"),
                    ) from None
        shutil.rmtree(self.folder)

    def _end(self) -> None:
        for name in list(self._programs):
            self.kill(name)
        if self._node is not None:
            self._node.close()

    def note_users(self) -> int:
        """Write down the broker's accounts, for the books; returns how many there are."""
        with self.management() as management:
            users = sorted(str(user["name"]) for user in management.get("/api/users"))
        (self.folder / USERS).write_text(json.dumps(users), "utf-8")
        return len(users)

    # Adapters, and the authority's readers

    def begin(self, *codes: str) -> None:
        """Start one process that hosts the adapters of ``codes``, without waiting for them."""
        configs = [word for code in codes for word in ("--config", str(self.config(code)))]
        program = _Program(self.agency(codes[0]) / "adapter.log", ["agency", "run", *configs])
        self._programs.update(dict.fromkeys(codes, program))

    def begin_authority(self) -> None:
        """Start the authority's readers."""
        log = self.folder / "authority" / "authority.log"
        self._programs[AUTHORITY] = _Program(log, ["authority", "run", "--config", str(self.authority)])

    def wait_ready(self, code: str) -> Mapping[str, Any]:
        """Until the adapter of ``code`` says that it is ready; returns what it says.

        Raises:
            Refused: ``not_ready`` when its process ends, or it is not ready in time; with the end of its log.
        """
        program = self._programs[code]

        def ready() -> Mapping[str, Any] | None:
            if program.process.poll() is not None:
                raise Refused(ErrorCode.NOT_READY, reason=f"{code} {program.last_words()}")
            # Before its first answer there may be no token yet; before the broker's, no readiness.
            with contextlib.suppress(Refused, ProblemAnswer):
                return self.client(code).get("/readyz")
            return None

        return eventually(ready, code) or {}

    def start(self, *groups: str | Sequence[str]) -> None:
        """Start processes side by side, one for each group of agencies, and wait until each adapter is ready."""
        hosted = [(group,) if isinstance(group, str) else tuple(group) for group in groups]
        for codes in hosted:
            self.begin(*codes)
        for codes in hosted:
            for code in codes:
                self.wait_ready(code)

    def kill(self, name: str) -> None:
        """SIGKILL for the process that hosts the adapter of agency ``name``, or for the authority's, as a power cut."""
        if (program := self._programs.get(name)) is None:
            return
        self._forget(program)
        program.process.kill()
        program.process.wait()

    def stop(self, *names: str) -> None:
        """Stop processes in good order; all of them unless named.

        Raises:
            Refused: ``not_ready`` for one that does not end with 0.
        """
        programs = {
            id(program): program for name in names or list(self._programs) for program in [self._programs[name]]
        }
        for program in programs.values():
            program.process.terminate()
        for program in programs.values():
            if program.process.wait(PATIENCE_SECONDS) != 0:
                raise Refused(ErrorCode.NOT_READY, reason=f"{program.log.parent.name} {program.last_words()}")
            self._forget(program)

    def _forget(self, program: "_Program") -> None:
        self._programs = {name: each for name, each in self._programs.items() if each is not program}

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
