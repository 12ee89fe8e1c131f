"""The keeper of one private node: a process of its own that outlives nobody it should not.

The owner (a test, the demo, a benchmark) may die by SIGKILL at any moment; it can then tidy up nothing. So it
never starts the broker itself. It starts this keeper, in a session of its own (a Ctrl-C in the terminal does
not reach it), and holds one end of a socket. The keeper starts ``epmd`` and the broker as its own children.
When the socket closes, or the owner is no longer its parent, the keeper kills both with everything they
started and removes the folder if it was a temporary one.

Run by path with nothing but the standard library, so that it starts in a few hundredths of a second and works
whatever the owner's import path is. Its language is lines of JSON: ``{"do": ...}`` in, one answer out, in
turn.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOOK_FOR_OWNER_SECONDS = 0.25
EPMD_READY_SECONDS = 10.0
KILLED_WITHIN_SECONDS = 5.0


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the keeper works without these two further fences."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _die_with_keeper() -> None:
    """In the child before exec: should the keeper itself be killed, the broker goes with it."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _descendants(of: int) -> set[int]:
    """All processes below ``of``, read from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                stat = (entry / "stat").read_text("ascii", "replace")
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: set[int] = set()
    level = {of}
    while level:
        level = {child for child, parent in parents.items() if parent in level and child not in found}
        found |= level
    return found


class Keeper:
    """Holds the folder, ``epmd`` and the broker of one node."""

    def __init__(self, directory: Path, *, temporary: bool) -> None:
        self.directory = directory
        self.temporary = temporary
        self.broker: subprocess.Popen[bytes] | None = None
        self.epmd: subprocess.Popen[bytes] | None = None
        self.lock: int | None = None

    def take_directory(self) -> str:
        """Make the folder (0700) and lock it, so that two nodes never share one."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=not self.temporary)
        self.lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + KILLED_WITHIN_SECONDS
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # The keeper of an owner killed a moment ago may still be clearing up here.
                if time.monotonic() > deadline:
                    return "in_use"
                time.sleep(0.05)
            else:
                return "ready"

    def start(self, command: list[str], environment: dict[str, str], epmd: list[str], epmd_port: int) -> str:
        if self.broker is not None and self.broker.poll() is None:
            return "already_running"
        with (self.directory / "startup.log").open("ab") as log:
            if self.epmd is None or self.epmd.poll() is not None:
                self.epmd = self._child(epmd, environment, log.fileno())
                if not self._listens(epmd_port):
                    self.kill()
                    return "epmd_failed"
            self.broker = self._child(command, environment, log.fileno())
        return f"started {self.broker.pid}"

    def _child(self, command: list[str], environment: dict[str, str], log: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command,
            env=environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_keeper,  # noqa: PLW1509 - the keeper has one thread
        )

    def _listens(self, port: int) -> bool:
        deadline = time.monotonic() + EPMD_READY_SECONDS
        while time.monotonic() < deadline and self.epmd is not None and self.epmd.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                return True
            time.sleep(0.01)
        return False

    def status(self) -> str:
        if self.broker is None:
            return "none"
        code = self.broker.poll()
        return "running" if code is None else f"exited {code}"

    def stop(self, seconds: float) -> str:
        """Ask the broker to end in good order, then kill what is left."""
        if self.broker is not None and self.broker.poll() is None:
            self.broker.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.broker.wait(seconds)
        return self.kill()

    def kill(self) -> str:
        """SIGKILL for the broker and everything below it; ``epmd`` stays for the next start."""
        epmd = self.epmd.pid if self.epmd is not None else None
        deadline = time.monotonic() + KILLED_WITHIN_SECONDS
        while time.monotonic() < deadline:
            left = _descendants(os.getpid()) - {epmd}
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.broker is not None:
                self.broker.poll()
            for pid in left - {self.broker.pid if self.broker is not None else 0}:
                # As subreaper the keeper inherits what the broker leaves behind, and must collect it.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            if not left:
                break
            time.sleep(0.005)
        if self.broker is not None and self.broker.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.broker.wait(1)
        return self.status()

    def end(self) -> None:
        """Leave nothing."""
        self.kill()
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait()
        if self.temporary:
            shutil.rmtree(self.directory, ignore_errors=True)
        if self.lock is not None:
            os.close(self.lock)

    def answer(self, request: dict[str, Any]) -> str:
        wanted = request["do"]
        if wanted == "start":
            return self.start(request["command"], request["environment"], request["epmd"], int(request["epmd_port"]))
        if wanted == "stop":
            return self.stop(float(request["seconds"]))
        if wanted == "kill":
            return self.kill()
        return self.status()


def main() -> None:
    owner_fd, owner_pid, directory, temporary = sys.argv[1:5]
    owner = socket.socket(fileno=int(owner_fd))
    owner.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    keeper = Keeper(Path(directory), temporary=temporary == "temporary")
    try:
        with contextlib.suppress(OSError):
            state = keeper.take_directory()
            owner.sendall(json.dumps({"state": state}).encode() + b"\n")
            if state == "ready":
                _serve(keeper, owner, int(owner_pid))
    finally:
        if keeper.lock is not None:
            keeper.end()


def _serve(keeper: Keeper, owner: socket.socket, owner_pid: int) -> None:
    """Until the owner closes its end, or is gone though a child it forked still holds the socket open."""
    pending = b""
    while os.getppid() == owner_pid:
        if not select.select([owner], [], [], LOOK_FOR_OWNER_SECONDS)[0]:
            continue
        received = owner.recv(65536)
        if not received:
            return
        pending += received
        while b"\n" in pending:
            line, _, pending = pending.partition(b"\n")
            owner.sendall(json.dumps({"state": keeper.answer(json.loads(line))}).encode() + b"\n")


if __name__ == "__main__":
    main()
