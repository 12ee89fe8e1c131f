"""The keeper of one PostgreSQL cluster: runs the commands of its owner, and ends the cluster when the owner has gone.

The owner (pytest) may die by SIGKILL at any moment, so it starts nothing itself: it holds one end of a socket and asks,
a line of JSON for each command, in turn. When the socket closes, or the owner is no longer the keeper's parent, the
server is stopped and the folder removed.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LOOK_FOR_OWNER_SECONDS = 0.25


class Keeper:
    """``user`` and ``group`` are those of the server, which refuses to run as root."""

    def __init__(self, folder: Path, user: int, group: int) -> None:
        self._folder = folder
        self._identity = {"user": user, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}

    def run(self, command: Sequence[str]) -> int:
        """Run ``command`` in the folder to its end; what it says is added to the file ``output`` there."""
        with (self._folder / "output").open("ab") as output:
            return subprocess.run(
                command,
                cwd=self._folder,
                env={"LC_ALL": "C", "PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **self._identity,
            ).returncode

    def end(self, pg_ctl: str) -> None:
        """Leave nothing."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self.run([pg_ctl, "-D", "data", "-w", "-m", "immediate", "stop"])
        shutil.rmtree(self._folder)


def main() -> None:
    owner_fd, owner_pid, folder, user, group, pg_ctl = sys.argv[1:]
    owner = socket.socket(fileno=int(owner_fd))
    owner.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    keeper = Keeper(Path(folder), int(user), int(group))
    try:
        with contextlib.suppress(OSError):
            _serve(keeper, owner, int(owner_pid))
    finally:
        keeper.end(pg_ctl)


def _serve(keeper: Keeper, owner: socket.socket, owner_pid: int) -> None:
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
            owner.sendall(b"%d\n" % keeper.run(json.loads(line)))


if __name__ == "__main__":
    main()
